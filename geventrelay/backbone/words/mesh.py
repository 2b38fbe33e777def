"""Who is there, what it asks for, and from where on it is sent that: the words of `geventrelay.backbone.mesh`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..interest import ID_BYTES, MOST_BYTES, MOST_PREFIXES, Interest, id_of, is_normal
from ..terms import MOST_RELAYS, RELAY_BYTES, MalformedError
from .members import base64_in, base64_of, id_in, number_in, text_in
from .word import Word

_LONGEST_HOST = 255
_LONGEST_VERSION = 64
# As a URL of a server without a login may be.
_LONGEST_SERVER = 300
_LONGEST_KEY = 64
_MOST_SOCKETS = 16

_ABOUT_NUMBERS = ("received_per_s", "sent_per_s", "waiting", "incoming")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a device says of itself, for those who look at the mesh.

    :ivar version: of geventrelay.
    :ivar server: which server of NATS it is connected to, without a login.
    :ivar peers: how many programs are connected to each of its sockets, by the socket's key.
    :ivar received_per_s: how many messages a second it gets from these, of late.
    :ivar sent_per_s: how many it sends to them.
    :ivar waiting: how many messages wait for other devices there.
    :ivar incoming: how many messages from other devices wait for it.
    """

    version: str
    server: str
    peers: Mapping[str, int] = field(default_factory=dict)
    received_per_s: int = 0
    sent_per_s: int = 0
    waiting: int = 0
    incoming: int = 0

    @classmethod
    def read(cls, found: Any) -> About:
        """That which `found` is, in JSON.

        :raises MalformedError: if it is none.
        """
        if not isinstance(found, dict):
            raise MalformedError("what a device says of itself")
        peers = found.get("peers")
        if not isinstance(peers, dict) or len(peers) > _MOST_SOCKETS or any(len(key) > _LONGEST_KEY for key in peers):
            raise MalformedError("peers")
        return cls(
            version=text_in(found.get("version"), _LONGEST_VERSION),
            server=text_in(found.get("server"), _LONGEST_SERVER),
            peers={key: number_in(count) for key, count in peers.items()},
            **{name: number_in(found.get(name)) for name in _ABOUT_NUMBERS},
        )


@dataclass(frozen=True, slots=True)
class Here(Word):
    """There is a device, and this is what it asks for.

    :ivar host: the host that it is on.
    :ivar interest: the name of what it asks for.
    :ivar prefixes: what that is; None where it is left out. A device that does not know it asks.
    :ivar taken: the number of the last `Served` that came from each of the others, by their ids.
    :ivar answer: whether each device is to answer with a word like this, since this one knows none.
    :ivar about: what else it says of itself; None of one that is older, and knows neither `Ping` nor `Probe`.
    """

    host: str
    interest: bytes
    prefixes: Interest | None = None
    taken: Mapping[bytes, int] = field(default_factory=dict)
    answer: bool = False
    about: About | None = None

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        made: dict[str, Any] = {"host": self.host, "interest": self.interest.hex(), "answer": self.answer}
        made["taken"] = {relay.hex(): turn for relay, turn in self.taken.items()}
        if self.prefixes is not None:
            made["prefixes"] = [base64_of(prefix) for prefix in self.prefixes]
        if self.about is not None:
            made["about"] = dataclasses.asdict(self.about)
        return made

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Here:
        """See `Word.read`, and there of `relay` and `found`."""
        host, answer, taken = found.get("host"), found.get("answer"), found.get("taken")
        if not isinstance(host, str) or len(host) > _LONGEST_HOST or not isinstance(answer, bool):
            raise MalformedError("host or answer")
        if not isinstance(taken, dict) or len(taken) > MOST_RELAYS:
            raise MalformedError("taken")
        interest = id_in(found.get("interest"), ID_BYTES)
        prefixes = None if found.get("prefixes") is None else _prefixes(found["prefixes"], interest)
        turns = {id_in(one, RELAY_BYTES): number_in(turn) for one, turn in taken.items()}
        about = None if found.get("about") is None else About.read(found["about"])
        return cls(relay, host, interest, prefixes, turns, answer, about)


def _prefixes(value: Any, interest: bytes) -> Interest:
    if not isinstance(value, list) or len(value) > MOST_PREFIXES:
        raise MalformedError("prefixes")
    prefixes = tuple(base64_in(one, "prefixes") for one in value)
    if sum(map(len, prefixes)) > MOST_BYTES or not is_normal(prefixes) or id_of(prefixes) != interest:
        raise MalformedError("prefixes that are no interest")
    return prefixes


@dataclass(frozen=True, slots=True)
class Ask(Word):
    """A device does not know what another one asks for, and wants to be told."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a stream: before one of its packs.

    :ivar stream: the stream's name.
    :ivar pack: the number of that pack.
    :ivar message: how many messages the packs before it have.
    """

    stream: bytes
    pack: int
    message: int

    @property
    def member(self) -> list[Any]:
        """It, as a member of a word in JSON."""
        return [self.stream.hex(), self.pack, self.message]

    @classmethod
    def read(cls, value: Any) -> Mark:
        """That which `value` is, a member of a word.

        :raises MalformedError: if it is none.
        """
        if not isinstance(value, list) or len(value) != 3:
            raise MalformedError("a place in a stream")
        return cls(id_in(value[0], ID_BYTES), number_in(value[1]), number_in(value[2]))


@dataclass(frozen=True, slots=True)
class Served(Word):
    """From which place on a device sends a stream to another one. It comes in order with the packs.

    :ivar turn: the number of this word, among those to the same device.
    :ivar begins: where the stream begins for it; None if it is sent nothing any more.
    :ivar ended: where the stream that it was sent before ended for it; None if there was none.
    """

    turn: int
    begins: Mark | None
    ended: Mark | None

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        begins, ended = (None if mark is None else mark.member for mark in (self.begins, self.ended))
        return {"turn": self.turn, "begins": begins, "ended": ended}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Served:
        """See `Word.read`, and there of `relay` and `found`."""
        turn = number_in(found.get("turn"))
        begins, ended = (None if found.get(name) is None else Mark.read(found[name]) for name in ("begins", "ended"))
        return cls(relay, turn, begins, ended)


@dataclass(frozen=True, slots=True)
class Gone(Word):
    """A device has stopped."""


@dataclass(frozen=True, slots=True)
class _Numbered(Word):
    number: int

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        return {"number": self.number}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Word:
        """See `Word.read`, and there of `relay` and `found`."""
        return cls(relay, number_in(found.get("number")))


@dataclass(frozen=True, slots=True)
class Ping(_Numbered):
    """A device wants an answer at once, to see how long the way there and back takes.

    :ivar number: what the answer is to have.
    """


@dataclass(frozen=True, slots=True)
class Pong(_Numbered):
    """The answer to a `Ping`.

    :ivar number: that of the question.
    """
