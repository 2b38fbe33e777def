"""Keys of a configuration: where they stand, how they are shown, and which key was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import SettingsError
from ..concealed import Unshown, is_secret
from ..option import Group, Option, options_of
from ..places import folded, place_of

Path = tuple[str | int, ...]
"""Keys from the top down; an int is an index of a list."""

Fault = tuple[Path, SettingsError]
"""Where something is wrong, and what is wrong."""

MOST_PROBLEMS = 100
"""How many problems of a file are shown. Looking for more would take long where all of a large file is wrong."""

_FEW = 10
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class TooManyFaults(Exception):
    """A list of faults is full."""


class Faults(list[Fault]):
    """A list of faults that takes no more than `MOST_PROBLEMS`; both ways to add one raise `TooManyFaults` beyond."""

    def append(self, one: Fault) -> None:
        """Add `one`."""
        if len(self) >= MOST_PROBLEMS:
            raise TooManyFaults
        super().append(one)

    def extend(self, several: Iterable[Fault]) -> None:
        """Add `several`."""
        for one in several:
            self.append(one)


class _Wrong:
    def __repr__(self) -> str:
        return "..."


WRONG: Any = _Wrong()
"""Stands for a value that is known to be wrong."""


def keys_of(cls: type[Group]) -> dict[str, Option]:
    """The options of `cls` by key. A device's name is none of them, for it stands in the header of its table."""
    return {option.name: option for option in options_of(cls) if option.field != "name"}


def shown(path: Path) -> str:
    """A `path` as TOML writes it, with indices in brackets."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE.fullmatch(key) else repr(key))
    return text


def fault(path: Path, rule: str, value: object) -> Fault:
    """What is wrong at `path`: the `rule` that a `value` there breaks, which the error shows if it is no secret."""
    if isinstance(value, Mapping):
        value = Unshown("a table")
    elif path and secret(path) and value is not None and value != path[-1]:
        value = Unshown()
    return path, SettingsError(shown(path), rule, value)


def secret(path: Path) -> bool:
    """Whether what stands at `path` must not be shown. The name of a device makes nothing secret."""
    keys = path[2:] if path[0] == "device" and len(path) > 2 else path
    return any(isinstance(key, str) and is_secret(key) for key in keys)


def unknown(path: Path, known: Iterable[str], here: str) -> Fault:
    """What is wrong with a key that is not known where it stands: it may belong elsewhere.

    :param path: the key.
    :param known: the keys that are known there.
    :param here: what has these keys, e.g. ``the process``.
    """
    word, every = str(path[-1]), list(known)
    place = "" if _same(word, every) else place_of(word)
    return fault(path, f"a key of {here} ({place})" if place else "a known key" + nearest(word, every), word)


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after a rule that `word` broke: which of the `known` words was meant, or which there are."""
    every = list(known)
    near = closest(word, every)
    if near is not None:
        return f" (did you mean {near}?)"
    return f" ({', '.join(every)})" if len(every) <= _FEW else " (see docs/configuration.rst)"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Which of the `known` words was meant by `word`; None if none is near."""
    every = list(known)
    return next(iter(_same(word, every) or difflib.get_close_matches(word, every, 1)), None)


def _same(word: str, known: list[str]) -> list[str]:
    return [one for one in known if folded(one) == folded(word)]
