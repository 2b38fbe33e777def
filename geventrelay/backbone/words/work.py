"""Who has work, and who may send how much of it: the words of `geventrelay.backbone.work`, and of work that is kept."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..terms import MalformedError
from .members import number_in, numbers_in
from .word import Word


class WorkKind(enum.Enum):
    """What becomes of messages for one worker each."""

    ONE_WAY = "one-way"
    """They are not answered: those of a streamer, and of the PUSH of a relay."""
    REQUESTS = "requests"
    """They are answered, and have the way back before them: those of a queue."""


@dataclass(frozen=True, slots=True)
class Hungry(Word):
    """Work waits at a device, and none of its own workers takes it.

    :ivar wants: how much credit it can use at once, in messages; 0 if no work waits any more.
    :ivar kind: what becomes of its work: workers of another kind would not know what to do with it.
    """

    wants: int
    kind: WorkKind = WorkKind.ONE_WAY

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        return {"wants": self.wants, "kind": self.kind.value}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Hungry:
        """See `Word.read`, and there of `relay` and `found`."""
        wants = number_in(found.get("wants"))
        try:
            return cls(relay, wants, WorkKind(found.get("kind")))
        except ValueError:
            raise MalformedError("a kind of work") from None


@dataclass(frozen=True, slots=True)
class Grant(Word):
    """A device, which has workers, lets another one send it work: credit. Only the last one counts.

    :ivar turn: the number of this word; it grows.
    :ivar arrived: how many messages with work of the other one have come, or are known to be lost.
    :ivar up_to: how many it may send in all, those that it has sent before included.
    """

    turn: int
    arrived: int
    up_to: int

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        return {"turn": self.turn, "arrived": self.arrived, "up_to": self.up_to}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Grant:
        """See `Word.read`, and there of `relay` and `found`."""
        return cls(relay, *numbers_in(found, "turn", "arrived", "up_to"))


@dataclass(frozen=True, slots=True)
class Spent(Word):
    """What a device has done with its credit. It comes after the packs that it counts.

    :ivar turn: the number of the last `Grant` that it knows of.
    :ivar sent: how many messages with work it has sent to the other one.
    :ivar up_to: how many it will have sent at most, with what it has left of that grant.
    :ivar wants: how much credit it can use, as in `Hungry`.
    """

    turn: int
    sent: int
    up_to: int
    wants: int

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        return {"turn": self.turn, "sent": self.sent, "up_to": self.up_to, "wants": self.wants}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Spent:
        """See `Word.read`, and there of `relay` and `found`."""
        return cls(relay, *numbers_in(found, "turn", "sent", "up_to", "wants"))
