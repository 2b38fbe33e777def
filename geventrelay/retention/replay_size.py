"""How much of what it has published a device keeps for replay: a number of messages, of bytes, or a time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError

RULE = "a number of messages (100000), of bytes (256MB, 1GiB) or a time (90s, 10min, 2h), 1 or more"

_WRITTEN = re.compile(r"(?P<number>\d{1,18}(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_BYTES = {"b": 1} | {
    f"{prefix}{end}": base**power for power, prefix in enumerate("kmgt", 1) for base, end in ((1000, "b"), (1024, "ib"))
}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_MEANT = {"m": "min for minutes, MB for bytes", "k": "kB or KiB", "g": "GB or GiB", "t": "TB or TiB"}

_MOST_MESSAGES = 2**53
_MOST_BYTES = 2**62
_MOST_SECONDS = 366 * 86400


@dataclass(frozen=True, slots=True)
class ReplaySize:
    """How much is kept: exactly one of these has a limit, and the others are 0.

    :ivar written: the same as its user wrote it.
    :ivar messages: how many messages.
    :ivar nbytes: how many bytes of messages.
    :ivar age_s: how old a message may be, in seconds.
    """

    written: str
    messages: int = 0
    nbytes: int = 0
    age_s: float = 0.0

    def __str__(self) -> str:
        return self.written

    def __repr__(self) -> str:
        # As in an error, which shows what was given.
        return repr(self.written)


def replay_size(name: str, value: Any) -> ReplaySize:
    """Read a size.

    :param name: what to call the input in an error.
    :param value: a number of messages, text with or without a unit, or a size that was read before.
    :raises SettingsError: for anything else.
    """
    if isinstance(value, ReplaySize):
        return value
    text = str(value) if type(value) is int else value
    match = _WRITTEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise SettingsError(name, RULE, value)
    written, unit = match["number"] + match["unit"], match["unit"].lower()
    if unit in _MEANT:
        raise SettingsError(name, f"{RULE}; {_MEANT[unit]}", value)
    number = float(match["number"])
    if not unit and match["number"].isdigit() and 1 <= number <= _MOST_MESSAGES:
        return ReplaySize(written, messages=int(match["number"]))
    if unit in _BYTES and 1 <= number * _BYTES[unit] <= _MOST_BYTES:
        return ReplaySize(written, nbytes=_whole(match["number"], _BYTES[unit]))
    if unit in _SECONDS and 1 <= number * _SECONDS[unit] <= _MOST_SECONDS:
        return ReplaySize(written, age_s=number * _SECONDS[unit])
    raise SettingsError(name, RULE, value)


def _whole(number: str, factor: int) -> int:
    # A float has not the digits for each large number of bytes.
    return int(number) * factor if number.isdigit() else int(float(number) * factor)
