"""Keys of a configuration: where they stand, how they are shown, and which one was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from ...errors import SettingsError
from ..option import options_of

Path = tuple[str | int, ...]
"""Keys from the top down; an int is an index of a list."""

Fault = tuple[Path, SettingsError]
"""Where something is wrong, and what."""

_FEW = 10
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class _Wrong:
    def __repr__(self) -> str:
        return "..."


WRONG: Any = _Wrong()
"""Stands for a value that has been found wrong already."""


def keys_of(cls: Any) -> dict[str, str]:
    """The keys that make settings of the class `cls`, each with the name of its field: options without their dashes."""
    return {option.removeprefix("--"): name for option, name in options_of(cls).items()}


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
    """What is wrong at `path`: the `rule` that a `value` there breaks."""
    return path, SettingsError(shown(path), rule, value)


def unknown(path: Path, known: Iterable[str]) -> Fault:
    """What is wrong with the last key of `path`, which is none of those that are `known` there."""
    return fault(path, "a known key" + nearest(str(path[-1]), known), path[-1])


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after a rule that `word` broke: which of the `known` words was meant, or which there are."""
    every = list(known)
    same = [one for one in every if _folded(one) == _folded(word)]
    near = same or difflib.get_close_matches(word, every, 1)
    if near:
        return f" (did you mean {near[0]}?)"
    return f" ({', '.join(every)})" if len(every) <= _FEW else " (see docs/configuration.rst)"


def _folded(word: str) -> str:
    return word.lower().replace("_", "-").strip("-").removeprefix("zmq-")
