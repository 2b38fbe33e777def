"""What README.rst and docs show is run: every Python block, and every option in a shell block exists.

A block that needs something around it says so in a comment before it: ``.. runs-with: gunicorn``.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
from support.process import GEVENTRELAY, Program, Server, environment

from geventrelay.access.rights import Rights
from geventrelay.access.rights_file import RightsFile
from geventrelay.cli import arguments, command
from geventrelay.cli import help as grammar
from geventrelay.cli.commands import pattern
from geventrelay.settings import PATTERNS
from geventrelay.settings.file.load import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]
_BLOCK = re.compile(
    r"(?:^\.\. runs-with: (?P<runner>.+)\n\n)?^\.\. code-block:: (?P<language>\w+)\n\n(?P<text>(?:(?:    .*)?\n)+)",
    re.MULTILINE,
)


class Block(NamedTuple):
    """A code block: where it stands, its language, what it needs around it, and its text."""

    place: str
    language: str
    runner: str | None
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text() + "\n"
    return [
        Block(
            f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start('text')) + 1}",
            found["language"], found["runner"], textwrap.dedent(found["text"]),
        )
        for found in _BLOCK.finditer(text)
    ]  # fmt: skip


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language == "sh"]
TOML = [block for block in BLOCKS if block.language == "toml"]
# Held to what the server answers by tests/unit/test_http_docs.py; and what others than we read.
SHOWN = [block for block in BLOCKS if block.language in ("json", "yaml")]


def under(page: str) -> list[Block]:
    return [block for block in PYTHON if block.place.startswith(page)]


def test_no_block_is_overlooked():
    marked = sum(page.read_text().count(".. code-block::") for page in PAGES)
    assert len(BLOCKS) == marked
    assert len(PYTHON) + len(SHELL) + len(TOML) + len(SHOWN) == marked, "give the other languages a test of their own"
    assert {block.runner for block in BLOCKS} <= {None, "gunicorn", "pytest", "rights", "the relay for known peers"}
    assert under("README.rst")
    assert under("docs/embedding.rst")


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in PYTHON if block.runner is None], ids=lambda block: block.place)
def test_a_python_example_runs(block):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", block.text],
        capture_output=True, text=True, timeout=30, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in PYTHON if block.runner == "gunicorn"], ids=lambda block: block.place
)
def test_an_example_for_gunicorn_answers_in_its_workers(block, folder):
    if importlib.util.find_spec("gunicorn") is None:
        pytest.skip("gunicorn is not installed")
    (folder / "example.py").write_text(block.text)
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "2", "--bind", "127.0.0.1:0"]
    # A worker that is told to stop while it boots does not hear it, and is killed in the end. gunicorn writes to HOME.
    command += ["--graceful-timeout", "2", "--worker-tmp-dir", str(folder), "example:application"]
    with Program(command, folder=folder, env=environment(HOME=str(folder))) as server:
        server.until_logged("Listening at: ")
        page = re.search(r"Listening at: (http://\S+)", server.errors)[1]
        for _ in range(10):
            with urllib.request.urlopen(f"{page}/hello", timeout=10) as response:
                assert response.read() == b"/HELLO", server.report()
        server.signal(15)
        assert server.wait() == 0, server.report()
    assert "Traceback" not in server.errors, server.report()


@pytest.mark.parametrize("block", [block for block in TOML if block.runner is None], ids=lambda block: block.place)
def test_a_configuration_is_one(block, tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(block.text)
    assert load(path, {}).devices


@pytest.mark.parametrize("block", [block for block in TOML if block.runner == "rights"], ids=lambda block: block.place)
def test_a_file_of_rights_is_one(block, tmp_path):
    path = tmp_path / "rights.toml"
    path.write_text(block.text)
    assert RightsFile(path).of("") != Rights()


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_a_shell_example_names_programs_and_options_that_exist(block):
    for line in block.text.splitlines():
        words = line.partition(" #")[0].split()
        if not words or words[0] in ("pip", "python", "curl", "head") or words[0].startswith("PATH="):
            continue
        if words[0] == "geventrelay":
            name = words[1] if words[1] in command.names() else command.DEFAULT
            known = grammar.text(command.load(name))
        else:
            assert words[0].startswith("scripts/"), f"{block.place}: what is {words[0]}?"
            known = (ROOT / words[0]).read_text()
        for option in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert re.search(rf"{option}\b(?!-)", known), f"{block.place}: {words[0]} has no {option}"


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_a_shell_example_of_the_server_is_understood(block):
    for line in block.text.replace("\\\n", " ").splitlines():
        words = [word.strip("'") for word in line.partition(" #")[0].partition(" > ")[0].split()]
        if words[:1] == ["geventrelay"] and not {"--help", "-h", "--version"} & set(words):
            parsed, options = arguments.parse(words[1:])
            if parsed.name in PATTERNS:
                pattern.settings(PATTERNS[parsed.name], options)


def test_the_relay_for_known_peers_serves_the_client_and_no_stranger(folder):
    (relay,) = (block for block in SHELL if block.place.startswith("docs/security.rst"))
    client, stranger = (block.text for block in PYTHON if block.runner == "the relay for known peers")
    *keygen, serve = (shlex.split(line, comments=True) for line in relay.text.strip().replace("\\\n", " ").splitlines())
    for words in keygen:
        with Program([*GEVENTRELAY, *words[1:]], folder=folder) as program:
            assert program.wait() == 0, program.report()
    ports = {"5555": "tcp://127.0.0.1:0", "5556": "tcp://127.0.0.1:0"}
    with Server(*(ports.get(word, word) for word in serve[1:]), folder=folder) as server:
        found = {port: server[key].rpartition(":")[2] for port, key in (("5555", "frontend"), ("5556", "backend"))}
        for text, answer in ((client, "b'task'\n"), (stranger, "400\n")):
            text = re.sub("5555|5556", lambda port: found[port[0]], text)
            with Program([sys.executable, "-c", text], folder=folder) as program:
                assert program.wait() == 0, program.report()
                assert program.output == answer, program.report()
        server.until_logged(" reason=unknown_key")
        shown = re.search(r"^    (denied .*)", (ROOT / "docs" / "security.rst").read_text(), re.MULTILINE)[1]
        told = re.search(r"denied .*", server.errors)[0]
        assert re.sub("key=[0-9a-f]{16}", "", told) == re.sub("key=[0-9a-f]{16}", "", shown)
        assert server.stop()["backend.sent"] == 1
