"""What the command says about itself."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata

import pytest
from support.process import GEVENTRELAY, environment

from geventrelay.cli import arguments, command, main
from geventrelay.cli import help as texts
from geventrelay.settings import PATTERNS

COMMANDS = [
    "run", "check", "init", "keygen", "passwd", "ctl", "tap", "last", "record", "replay", "top", "trace", "help",
]  # fmt: skip
# What users know. A new option need not stand here; one that stands here must not get another name unnoticed.
OPTIONS = [
    "--sub-port", "--pub-port", "--push-port", "--frontend", "--backend", "--frontend-type", "--backend-type",
    "--interface", "--ipv6", "--subscribe", "--push-payload", "--push-when-full", "--slow-subscriber", "--sndhwm",
    "--rcvhwm", "--max-message-size", "--heartbeat", "--drain", "--linger", "--io-threads", "--name", "--ready-file",
    "--tap", "--from", "--to", "--direction", "--topic", "--sample", "--count", "--seconds", "--format", "--append",
    "--type", "--speed", "--skip-parts", "--device", "--token-file", "--control", "--control-type", "--timeout",
    "--json", "--once", "--log-level", "--log-format", "--http", "--http-token-file", "--fail-fast",
    "--legacy-peers",
]  # fmt: skip


def explained(text: str) -> set[str]:
    """The options that a help text explains."""
    return set(re.findall(r"^  (?:-h )?(--[a-z0-9-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]], ids=" ".join)
def test_the_first_screen_names_every_command_and_has_examples(run, words):
    program = run([*GEVENTRELAY, *words])
    assert program.wait() == 0
    assert program.errors == ""
    text = program.output
    assert len(text.splitlines()) <= 45
    assert max(map(len, text.splitlines())) <= 100
    for name in [*PATTERNS, *COMMANDS]:
        assert re.search(rf"^  {name}  ", text, re.MULTILINE), name
    assert "Usage:" in text
    examples = re.findall(r"^  geventrelay (.*)", text.partition("Examples:")[2], re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        arguments.parse([word.strip("'") for word in example.partition(" > ")[0].split()])


def test_these_are_all_commands():
    assert command.names() == [*PATTERNS, *COMMANDS]


@pytest.mark.parametrize("name", [*PATTERNS, *COMMANDS])
def test_the_help_of_a_command_has_its_own_options_and_fits_75_lines(capsys, name):
    printed = []
    for words in ([name, "--help"], [name, "-h"], ["help", name]):
        try:
            assert main(words) == 0
        except SystemExit as end:
            assert not end.code
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    text = printed[0]
    assert text.startswith("Usage:\n  geventrelay ")
    assert len(text.splitlines()) <= 75
    assert max(map(len, text.splitlines())) <= 110
    common = [option for option in command.load(name).options if not option.rare]
    assert explained(text) == {option.flag for option in common} | {"--help", "--version"}
    assert ("help bounds" in text) == (len(common) < len(command.load(name).options))
    for option in common:
        assert option.help.split()[0] in text
        if not option.needed and option.takes_value:
            assert f"(default: {option.default_text})" in " ".join(text.split()), option.name


def test_help_goes_to_standard_output(run):
    program = run([*GEVENTRELAY, "queue", "--help"])
    assert program.wait() == 0
    assert program.errors == ""
    assert program.output == texts.shown(command.load("queue"))


def test_help_bounds_has_the_options_that_no_other_help_shows(run):
    program = run([*GEVENTRELAY, "help", "bounds"])
    assert program.wait() == 0
    rare = {option.flag: option for name in PATTERNS for option in command.load(name).options if option.rare}
    assert rare
    assert explained(program.output) == set(rare)
    assert max(map(len, program.output.splitlines())) <= 110
    text = " ".join(program.output.split())
    assert all(option.help + texts.default_of(option) in text for option in rare.values() if not option.many)


def test_an_option_that_only_the_bounds_show_is_read_from_the_command_line():
    words = ["queue", "--frontend=1", "--backend=2", "--http-connections-per-client=7", "--max-topic-size=99"]
    _, options = arguments.parse([*words, "--http-trusted-proxy=10.0.0.1", "--http-trusted-proxy=10.0.0.2"])
    assert options["--http-connections-per-client"] == "7"
    assert options["--max-topic-size"] == "99"
    assert options["--http-trusted-proxy"] == ["10.0.0.1", "10.0.0.2"]


def test_every_option_that_users_know_is_an_option_of_a_command():
    assert set(OPTIONS) <= {option.flag for name in command.names() for option in command.load(name).options}


def test_no_line_of_help_is_taken_for_an_option():
    # docopt reads every line that begins with a dash as the description of an option.
    for name in command.names():
        text = texts.text(command.load(name))
        lines = [line for line in text.splitlines() if line.lstrip().startswith("-")]
        assert {line.split()[0].partition("=")[0] for line in lines} - {"-h"} == explained(text) - {"--help"}


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["--version"], {"pattern"}),
        (["init"], {"init"}),
        # It reads the file as `run` does.
        (["check", "x.toml"], {"check", "run"}),
        (["queue", "--frontend", "x"], {"pattern"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_the_module_of_no_other(run, words, modules):
    code = f"""if True:
        import sys
        from geventrelay.cli import main
        try:
            main({words!r})
        except SystemExit:
            pass
        names = [name for name in sys.modules if name.startswith("geventrelay.cli.commands.")]
        print(*(name.rpartition(".")[2] for name in names), file=sys.stderr)
        """
    program = run([sys.executable, "-c", code])
    assert program.wait() == 0, program.report()
    assert set(program.errors.splitlines()[-1].split()) == modules


def test_version_is_the_packages_and_names_the_burst(run):
    program = run([*GEVENTRELAY, "--version"])
    assert program.wait() == 0
    number = re.escape(metadata.version("geventrelay"))
    first, _, rest = program.output.partition("\n")
    burst = re.fullmatch(rf"geventrelay {number}, (python|native) burst, engine (?:libzmq|zmtp)", first)[1]
    if burst == "native" or os.environ.get("GEVENTRELAY_BURST"):
        assert not rest
    else:
        assert re.fullmatch(r"The Python burst is 3 to 14 times slower .+: install a C compiler .+\.\n", rest)
    assert program.errors == ""


@pytest.mark.parametrize("words", [[], ["--help"], ["queue", "--help"], ["help", "queue"], ["--version"]], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_what_cannot_be_written_is_told_in_one_line(run, words, unbuffered):
    with open("/dev/full", "wb") as full:
        program = run([*GEVENTRELAY, *words], stdout=full.fileno(), env=environment(PYTHONUNBUFFERED=unbuffered))
    assert program.wait() == 1
    assert program.errors == "cannot write to standard output: No space left on device\n"
