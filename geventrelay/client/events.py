"""What a subscriber without gaps hands out, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was published.

    :ivar number: its number in the device's log.
    :ivar parts: the message, without the stamp.
    """

    number: int
    parts: list[bytes]


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages that will not come: the log had forgotten them before they could be fetched, or their device has gone.

    Some of them, or all, may not have begun with the prefixes that were asked for: the log no longer knows.

    :ivar first: the number of the first one.
    :ivar end: the number after the last one.
    :ivar epoch_changed: whether the device began anew, with other numbers. Then `first` is the number that was due
        before that, and `end` the one that comes first now. How many messages there were between is not known; perhaps
        none.
    """

    first: int
    end: int
    epoch_changed: bool = False


Event = Message | Lost


class Position(NamedTuple):
    """A place in the log, to go on from.

    :ivar epoch: the life of the device that the number is of, 16 bytes.
    :ivar number: of the next message.
    """

    epoch: bytes
    number: int


Start = Literal["now", "oldest"] | tuple[bytes, int]
"""Where a subscriber begins: with what is published from now on, with the oldest of the log, or at a `Position`."""
