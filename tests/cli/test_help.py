"""What the command says about itself."""

from __future__ import annotations

import re
from importlib import metadata

import pytest
from support.process import GEVENTRELAY, environment

PATTERNS = ["relay", "forwarder", "queue", "streamer", "custom"]
OPTIONS = [
    "--sub-port", "--pub-port", "--push-port", "--frontend", "--backend", "--frontend-type", "--backend-type",
    "--interface", "--ipv6", "--subscribe", "--push-payload", "--push-when-full", "--slow-subscriber", "--sndhwm",
    "--rcvhwm", "--max-message-size", "--heartbeat", "--drain", "--linger", "--io-threads", "--name", "--ready-file",
    "--tap", "--from", "--to", "--direction", "--topic", "--sample", "--count", "--seconds", "--format", "--append",
    "--type", "--speed", "--skip-parts", "--device", "--token-file",
    "--log-level", "--log-format", "--http", "--http-token-file", "--fail-fast", "--help", "--version",
]  # fmt: skip


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_standard_output_and_is_the_grammar(run, option):
    program = run([*GEVENTRELAY, option])
    assert program.wait() == 0
    assert program.errors == ""
    usage, _, rest = program.output.partition("Patterns:")
    assert "Usage:" in usage
    for pattern in PATTERNS:
        assert re.search(rf"\b{pattern}\b", usage), pattern
        assert re.search(rf"^  {pattern} ", rest, re.MULTILINE), pattern
    for option in OPTIONS:
        assert re.search(rf"^  (-h )?{option}\b", rest, re.MULTILINE), option


def test_every_option_of_the_usage_is_explained(run):
    program = run([*GEVENTRELAY, "--help"])
    assert program.wait() == 0
    usage, _, rest = program.output.partition("Patterns:")
    for option in re.findall(r"--[a-z][a-z0-9-]+", usage):
        assert re.search(rf"^  (-h )?{option}\b", rest, re.MULTILINE), option


def test_version_is_the_packages_and_names_the_burst(run):
    program = run([*GEVENTRELAY, "--version"])
    assert program.wait() == 0
    number = re.escape(metadata.version("geventrelay"))
    assert re.fullmatch(rf"geventrelay {number}, (python|native) burst\n", program.output)
    assert program.errors == ""


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_what_cannot_be_written_is_told_in_one_line(run, option, unbuffered):
    with open("/dev/full", "wb") as full:
        program = run([*GEVENTRELAY, option], stdout=full.fileno(), env=environment(PYTHONUNBUFFERED=unbuffered))
    assert program.wait() == 1
    assert program.errors == "cannot write to standard output: No space left on device\n"
