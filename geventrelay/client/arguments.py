"""What a subscriber without gaps is given, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..errors import SettingsError
from ..retention.replay_wire import EPOCH_BYTES, LARGEST_NUMBER
from .events import Start

_LONGEST_S = 86_400.0


def prefixes(values: Iterable[Any]) -> tuple[bytes, ...]:
    """Each of the `values`, text or bytes, as bytes.

    :raises SettingsError: for anything else.
    """
    found = []
    for value in values:
        if not isinstance(value, (str, bytes)):
            raise SettingsError("prefixes", "text or bytes", value)
        found.append(value.encode() if isinstance(value, str) else value)
    return tuple(found)


def start(value: Any) -> Start:
    """Where to begin.

    :param value: what was given.
    :raises SettingsError: if it is none.
    """
    if value in ("now", "oldest"):
        return "now" if value == "now" else "oldest"
    if isinstance(value, tuple) and len(value) == 2:
        epoch, number = value
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if isinstance(epoch, bytes) and len(epoch) == EPOCH_BYTES and is_number and 0 <= number <= LARGEST_NUMBER:
            return epoch, number
    rule = f'"now", "oldest" or a position: an epoch of {EPOCH_BYTES} bytes, and a number from 0 on'
    raise SettingsError("start", rule, value)


def seconds(name: str, value: Any) -> float:
    """A time to wait.

    :param name: the argument.
    :param value: what was given.
    :raises SettingsError: unless it is a number of seconds above 0.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 < value <= _LONGEST_S:
        raise SettingsError(name, f"a number above 0, up to {_LONGEST_S:g} (seconds)", value)
    return float(value)
