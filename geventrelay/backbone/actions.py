"""What a mesh has decided that is to be done."""

from __future__ import annotations

from dataclasses import dataclass

from .words.mesh import Mark
from .words.word import Word


@dataclass(frozen=True, slots=True)
class Say:
    """A word that goes at once.

    :ivar to: the id of the device that it is for; None for all.
    """

    to: bytes | None
    word: Word


@dataclass(frozen=True, slots=True)
class Serve:
    """A word that goes in order with the packs, see `geventrelay.backbone.topics.outbox.Outbox.serve`."""

    relay: bytes
    turn: int
    begins: bytes | None
    ended: bytes | Mark | None


@dataclass(frozen=True, slots=True)
class Forget:
    """The messages that wait in a stream are for no device any more."""

    stream: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """Another device is there from now on."""

    relay: bytes
    host: str


@dataclass(frozen=True, slots=True)
class Left:
    """Another device has stopped, or was silent for too long."""

    relay: bytes
    host: str


Action = Say | Serve | Forget | Joined | Left
