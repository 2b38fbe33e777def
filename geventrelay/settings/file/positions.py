"""The line of a TOML text in which each key stands. TOML readers do not say it."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable

from .keys import Path

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^\\"]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Dates may have a space in them.
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")


# What a value is made of, for going over one as a whole.
_PIECE = re.compile(_STRING.pattern + r"|#[^\n]*|[^\[\]{}\"'#]+|.", re.DOTALL)
# A part of a key or anything else; what a string holds is no key.
_PART = re.compile(_STRING.pattern + r"|#[^\n]*|[A-Za-z0-9_-]+|[ \t]+|\n|.", re.DOTALL)

MOST_PARTS = 32
"""The parts of a key, with dots between them. TOML readers take minutes and gigabytes for a hundred thousand."""


def too_deep(text: str) -> int | None:
    """The line of a key with more than `MOST_PARTS` parts; None if there is none.

    :param text: any text, TOML or not.
    """
    if text.count(".") < MOST_PARTS:
        return None
    dots, after_dot = 0, False
    for match in _PART.finditer(text):
        piece = match[0]
        if piece == ".":
            dots, after_dot = dots + 1, True
            if dots >= MOST_PARTS:
                return text.count("\n", 0, match.start()) + 1
        elif piece.isspace() and piece != "\n":
            continue
        elif after_dot:
            after_dot = False
        else:
            dots = 0
    return None


def key_lines(text: str, wanted: Iterable[Path] | None = None) -> dict[Path, int]:
    """The line, counted from 1, in which each key and each element of an array first stands.

    :param text: TOML that a reader has accepted; for any other text, the result means nothing.
    :param wanted: those that are asked for; what stands in other values need not be in the result.
    """
    above = None if wanted is None else {path[:end] for path in wanted for end in range(len(path))}
    return _Scan(text, above).lines


class _Scan:
    def __init__(self, text: str, above: set[Path] | None) -> None:
        # Values to look into; None for all of them.
        self._above = above
        self.lines: dict[Path, int] = {}
        self._text = text
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._at = 0
        # How many tables each array of tables has by now.
        self._tables: dict[Path, int] = {}
        table: Path = ()
        self._skip_space()
        while self._at < len(text):
            table = self._statement(table)
            self._skip_space()

    def _statement(self, table: Path) -> Path:
        """Read a header or a key with its value. Returns the table that the next statement belongs to."""
        if self._take("[["):
            line, keys = self._line(), self._keys()
            self._take("]]")
            array = (*self._resolved(keys[:-1], line), keys[-1])
            self._note(array, line)
            self._tables[array] = index = self._tables.get(array, -1) + 1
            self._note((*array, index), line)
            return (*array, index)
        if self._take("["):
            line, keys = self._line(), self._keys()
            self._take("]")
            return self._resolved(keys, line)
        self._pair(table)
        return table

    def _resolved(self, keys: list[str], line: int) -> Path:
        """The table of a header. In an array of tables, that is the last table."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            self._note(path, line)
            if path in self._tables:
                path = (*path, self._tables[path])
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        for key in self._keys():
            table = (*table, key)
            self._note(table, line)
        self._take("=")
        self._value(table)

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._take("."):
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._skip_space()
        match = _STRING.match(self._text, self._at) or _BARE_KEY.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no key in line {self._line()}")
        self._at = match.end()
        if match[0][0] not in "\"'":
            return match[0]
        return str(loads(f"key = {match[0]}")["key"])

    def _value(self, path: Path) -> None:
        self._skip_space()
        self._note(path, self._line())
        if self._above is not None and path not in self._above and self._text.startswith(("[", "{"), self._at):
            self._skip_value()
        elif self._take("["):
            index = 0
            while not self._take("]"):
                self._value((*path, index))
                self._take(",")
                index += 1
        elif self._take("{"):
            while not self._take("}"):
                self._pair(path)
                self._take(",")
                self._skip_space()
        else:
            match = _STRING.match(self._text, self._at) or _BARE_VALUE.match(self._text, self._at)
            if match is None or match.end() == self._at:
                raise ValueError(f"no value in line {self._line()}")
            self._at = match.end()

    def _skip_value(self) -> None:
        """Go over an array or a table with all that is in it."""
        depth = 0
        for match in _PIECE.finditer(self._text, self._at):
            depth += (match[0] in ("[", "{")) - (match[0] in ("]", "}"))
            if depth == 0:
                self._at = match.end()
                return

    def _take(self, mark: str) -> bool:
        start = self._at
        self._skip_space()
        if self._text.startswith(mark, self._at):
            self._at += len(mark)
            return True
        self._at = start
        return False

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _line(self) -> int:
        self._skip_space()
        return bisect_right(self._newlines, self._at) + 1

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)


__all__ = ["TOMLDecodeError", "loads"]
