"""The words of the package and its docs are for readers who are no native speakers, and software is "it"."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import geventrelay

PACKAGE = Path(geventrelay.__file__).parent
ROOT = Path(__file__).resolve().parents[2]

AVOIDED = re.compile(r"\b(nobody|somebody|whoever|whom|himself|he|him|his)\b", re.IGNORECASE)
"""Write "no peer", "a peer", "the caller", "it" instead."""

TO_MEND = (
    "engine/", "devices/", "components/", "settings/", "server/server.py", "server/supervisor.py", "server/reload.py",
    "cli/commands/", "cli/top/", "cli/arguments.py", "cli/help.py", "cli/main.py", "cli/process.py",
    "dropin/foreign_socket.py", "web/report.py", "web/metrics.py", "web/scrape.py", "web/history.py",
    "docs/http.rst", "docs/configuration.rst",
)  # fmt: skip
"""Where such words still stand; this list only gets shorter."""


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every comment and every string of a module, docstrings and error texts among them, with its line."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def texts() -> Iterator[tuple[str, int, str]]:
    """All that is read by people: a file's name, a line, and the text that begins there."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in python_texts(path):
            yield path.relative_to(PACKAGE).as_posix(), line, text
    for path in sorted((PACKAGE / "web" / "page").iterdir()):
        if path.suffix in (".js", ".html"):
            yield path.relative_to(PACKAGE).as_posix(), 1, path.read_text(encoding="utf-8")
    for path in (ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))):
        yield path.relative_to(ROOT).as_posix(), 1, path.read_text(encoding="utf-8")
    # Below this heading stand old names.
    yield "CHANGES.rst", 1, (ROOT / "CHANGES.rst").read_text(encoding="utf-8").partition("\nNames\n~~~")[0]


def test_no_text_has_a_word_to_avoid():
    found = [
        f"{name}:{start + text.count(chr(10), 0, match.start())}: {match.group()!r}"
        for name, start, text in texts()
        if not name.startswith(TO_MEND)
        for match in AVOIDED.finditer(text)
    ]
    assert not found, "\n".join(found)
