"""What a user may have meant by a value that is wrong: a few words for the end of a rule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from ..errors import SettingsError

_NOTHING = ("none", "null", "nil")
_LIST = re.compile(r"[\[(].*[\])]", re.DOTALL)
_MEASURE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+)")
_TIMES_S = {"ms": 0.001, "s": 1, "sec": 1, "seconds": 1, "m": 60, "min": 60, "h": 3600}
_SIZES = {"b": 1} | {
    prefix + end: base**power
    for power, prefix in enumerate("kmg", 1)
    for base, ends in ((1000, ("", "b")), (1024, ("i", "ib")))
    for end in ends
}
_PER_SECOND = {"milliseconds": 1000, "seconds": 1}
# What people call a pattern, or expect a command to be.
_PATTERNS = {
    "forwarder": ("pub", "sub", "xpub", "xsub", "pubsub", "pub-sub"),
    "streamer": ("push", "pull", "pushpull", "push-pull", "pipeline"),
    "queue": ("req", "rep", "reqrep", "req-rep", "router", "dealer", "broker"),
}


def hinted(error: SettingsError, for_list: str) -> SettingsError:
    """The same `error`, with a hint in its rule if its value tells what was meant.

    :param error: what is wrong. A value that must not be shown is no plain text, and gives no hint.
    :param for_list: what to do where a list was written as text.
    """
    hint = _of_text(error.value, for_list) if type(error.value) is str else ""
    return SettingsError(error.name, f"{error.rule} ({hint})", error.value) if hint else error


def _of_text(text: str, for_list: str) -> str:
    if text.strip().lower() in _NOTHING:
        return "leave it away where there is none"
    return for_list if _LIST.fullmatch(text.strip()) else ""


def in_unit(value: object, unit: str) -> str:
    """A `value` with a unit of its own, such as ``1s``, as a number of the `unit`; empty if it is none."""
    match = _MEASURE.fullmatch(value.strip()) if type(value) is str else None
    if match is None:
        return ""
    written = match["unit"].lower()
    time_s = _TIMES_S.get(written, 0.0)
    factor = _SIZES.get(written, 0.0) if unit == "bytes" else time_s * _PER_SECOND.get(unit, 0)
    number = float(match["number"]) * factor
    return f"{number:.15g}" if number and math.isfinite(number) else ""


def pattern_called(word: str, patterns: Iterable[str]) -> str | None:
    """Which of the `patterns` joins the sockets that are called `word`; None if it is no such name."""
    meant = (name for name, called in _PATTERNS.items() if word.lower() in called)
    return next((name for name in meant if name in patterns), None)
