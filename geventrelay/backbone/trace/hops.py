"""What a trace has found: how long messages take from one device to the others, as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Place(enum.Enum):
    """Where a probe and its answer are on their way, in this order.

    :ivar label: a few words for it.
    :ivar look_at: which values of ``backbone`` and which settings tell more, for a probe that stays there.
    """

    label: str
    look_at: tuple[str, ...]

    OUTBOX = "outbox", "outbox here", ("state", "reason", "waiting", "dropped.backbone")
    """Behind the messages that wait here for others."""
    NATS = "nats", "NATS, both ways", ("neighbours.silent_s", "round_trip_s", "neighbours.lost")
    """On its way there, and the answer on its way back: the clocks of two machines are not compared."""
    INBOX_THERE = "inbox_there", "inbox there", ("incoming", "dropped.slow")
    """Behind the messages that wait for the other device."""
    DEVICE_THERE = "device_there", "device there", ("incoming", "delivered", "slow-subscriber")
    """Behind the messages that the other device was handed and has not taken."""
    OUTBOX_THERE = "outbox_there", "outbox there", ("state", "waiting", "dropped.backbone")
    """The answer, behind the messages that wait there for others."""
    INBOX = "inbox", "inbox here", ("incoming", "dropped.slow")
    """The answer, behind the messages that wait for this device."""
    DEVICE = "device", "device here", ("incoming", "delivered", "slow-subscriber")
    """The answer, behind the messages that this device was handed and has not taken."""

    def __new__(cls, name: str, label: str, look_at: tuple[str, ...]) -> Place:
        """Make a member that is looked up by its name alone: ``Place("nats")``."""
        made = object.__new__(cls)
        made._value_, made.label, made.look_at = name, label, look_at
        return made

    @property
    def is_there(self) -> bool:
        """Whether it is at the other device."""
        return self in (Place.INBOX_THERE, Place.DEVICE_THERE, Place.OUTBOX_THERE)


class Outcome(enum.Enum):
    """What has become of a probe."""

    ANSWERED = "answered"
    """It has come there, and the answer back."""
    WAITS = "waits"
    """When the time was over, it was known to wait at a place."""
    SILENT = "silent"
    """It has gone, and nothing has come back."""
    LEFT = "left"
    """The other device has gone meanwhile."""
    OLDER = "older"
    """The other device is of a version that knows no probes: none was sent."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One part of the way.

    :ivar place: where that is.
    :ivar seconds: how long the probe, or its answer, was there.
    :ivar messages: how many messages were before it when it came there; None where that is not known.
    :ivar is_over: whether it has gone on from there.
    """

    place: Place
    seconds: float
    messages: int | None = None
    is_over: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedRelay:
    """What is known of the way to one other device.

    :ivar relay: its id: 16 hexadecimal digits.
    :ivar host: the host that it says it is on.
    :ivar outcome: what has become of the probe.
    :ivar reason: why there is no answer, in one sentence; empty if there is one.
    :ivar hops: the parts of the way, as far as they are known. The last one may go on.
    :ivar silent_s: how long ago it was heard of, in seconds; None if it has left.
    :ivar dropped: how many messages of others it has dropped since its start, because its subscribers or workers were
        too slow; None if that is not known.
    :ivar sent: whether messages with the topic go to it; None without a topic.
    :ivar wanted: whether it asks for the topic; None without one, or if it has no topics, or without an answer.
    :ivar subscriptions: how many different topics its subscribers ask for that cover it; None likewise.
    :ivar room: how many messages with work its workers have room for; None if it has none with work, or is not known.
    :ivar workers: how many workers are connected to it, as it has said last; None likewise.
    :ivar credit: how many messages with work this device may send to it now; None if it has none with work.
    """

    relay: str
    host: str
    outcome: Outcome
    reason: str = ""
    hops: tuple[Hop, ...] = ()
    silent_s: float | None = None
    dropped: int | None = None
    sent: bool | None = None
    wanted: bool | None = None
    subscriptions: int | None = None
    room: int | None = None
    workers: int | None = None
    credit: int | None = None

    @property
    def seconds(self) -> float:
        """How long all parts that are known took together."""
        return sum(hop.seconds for hop in self.hops)

    @property
    def stays(self) -> Place | None:
        """Where the probe or its answer was when the time was over; None if it was nowhere any more."""
        return next((hop.place for hop in self.hops if not hop.is_over), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a trace has found.

    :ivar relay: the id of this device.
    :ivar host: the host that it is on.
    :ivar server: which server of NATS it is connected to; empty if it is not connected.
    :ivar reason: why it is not connected; empty if it is.
    :ivar away_s: for how long it has not been connected, in seconds; None if it is.
    :ivar waiting: how many messages waited for others when it began.
    :ivar incoming: how many messages from others waited for this device then.
    :ivar dropped: how many messages for others it has dropped since its start, because NATS was away or too slow.
    :ivar limit_s: how long the trace may take, in seconds.
    :ivar took_s: how long it took.
    :ivar topic: what it was asked about; None if that was nothing.
    :ivar wanted: whether this device asks others for the topic; None without one, or if it has no topics.
    :ivar subscriptions: how many different topics its subscribers ask for that cover it; None likewise.
    :ivar room: how many messages with work its own workers have room for; None if it has none with work.
    :ivar workers: how many of these are connected; None if it has none with work, or if they are not seen.
    :ivar relays: the others, by their ids.
    """

    relay: str
    host: str
    server: str
    reason: str
    away_s: float | None
    waiting: int
    incoming: int
    dropped: int
    limit_s: float
    took_s: float
    topic: bytes | None
    wanted: bool | None
    subscriptions: int | None
    room: int | None
    workers: int | None
    relays: tuple[TracedRelay, ...]

    @property
    def is_answered(self) -> bool:
        """Whether there are others, and all of them have answered."""
        return bool(self.relays) and all(one.outcome is Outcome.ANSWERED for one in self.relays)
