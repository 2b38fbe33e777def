"""A configuration file -> a server's settings, or every problem of the file with its line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError, Problem
from ..hints import hinted
from ..server import ServerSettings
from .document import read
from .keys import Fault, Faults, TooManyFaults, shown
from .keys import Path as KeyPath
from .positions import MOST_PARTS, TOMLDecodeError, key_lines, loads, too_deep
from .syntax import hint

LIMIT_BYTES = 2**20
"""A larger file is refused. Thousands of devices fit in, so a larger one is something else."""

_PLACE = re.compile(r"(?P<text>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)


def load(path: Path, environ: Mapping[str, str]) -> ServerSettings:
    """Read a configuration file. Blocks the hub while the disk is read.

    :param path: the file. docs/configuration.rst describes what can stand in it.
    :param environ: the environment variables that the file may name.
    :raises ConfigurationError: with every problem, if there is any.
    """
    text, faults, settings, complete = _text(path), Faults(), None, False
    try:
        tables = _tables(path, text)
        with contextlib.suppress(TooManyFaults):
            settings = read(tables, environ, faults)
            complete = True
        lines = key_lines(text, [where for where, _ in faults]) if faults else {}
    except RecursionError:
        raise ConfigurationError(
            path, [Problem(None, "", "expected TOML, got tables or lists nested too deeply")]
        ) from None
    if settings is None:
        raise ConfigurationError(path, [_problem(fault, lines) for fault in faults], complete=complete)
    return settings


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(path, [Problem(None, "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > LIMIT_BYTES:
        raise ConfigurationError(path, [Problem(None, "", f"expected at most {LIMIT_BYTES} bytes, got more")])
    try:
        # Editors on some systems put a byte order mark first.
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        text = f"expected text in UTF-8, got the byte 0x{content[error.start]:02x}"
        raise ConfigurationError(path, [Problem(line, "", text)]) from None


def _tables(path: Path, text: str) -> dict[str, Any]:
    line = too_deep(text)
    if line is not None:
        rule = f"expected keys of at most {MOST_PARTS} parts with dots between them, got a longer one"
        raise ConfigurationError(path, [Problem(line, "", rule)])
    try:
        tables: dict[str, Any] = loads(text)
    except TOMLDecodeError as error:
        raise ConfigurationError(path, [_syntax_problem(str(error), text)]) from None
    except ValueError:
        # Python has a limit for the digits of integers, and readers of TOML do not know it.
        raise ConfigurationError(path, [Problem(None, "", "expected integers of 64 bits, got a longer one")]) from None
    return tables


def _syntax_problem(message: str, text: str) -> Problem:
    match = _PLACE.fullmatch(message)
    if match is None:
        return Problem(None, "", f"expected TOML, got: {message}")
    if match["line"] is None:
        last = text.rstrip("\n").count("\n") + 1
        return Problem(last, "", f"expected TOML, got the end of the file: {match['text']}")
    line, column = int(match["line"]), int(match["column"])
    meant = hint(match["text"], text.split("\n")[line - 1], column)
    said = f"{match['text']} ({meant})" if meant else match["text"]
    return Problem(line, "", f"expected TOML, in column {column}: {said}")


def _problem(fault: Fault, lines: Mapping[KeyPath, int]) -> Problem:
    path, error = fault[0], hinted(fault[1], "a list stands without quotes")
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    # TOML has no null, so None means that nothing is there.
    text = f"expected {error.rule}, got nothing" if error.value is None else str(error).removeprefix(f"{error.name}: ")
    return Problem(line, shown(path), text)
