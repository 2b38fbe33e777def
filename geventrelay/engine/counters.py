"""What a pump counts: plain integers while it runs, a frozen snapshot when somebody asks."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


class Drop(enum.Enum):
    """Why an outlet dropped a message. The values are the names used in accounting lines and metrics."""

    NO_PEER = "no_peer"
    """Nobody is connected to the outlet's socket."""
    FULL = "full"
    """The peer, or every peer, has its high-water mark's worth of messages waiting."""
    NOT_READY = "not_ready"
    """The socket could not take it; its transport (inproc) does not tell whether a peer is there at all."""
    UNROUTABLE = "unroutable"
    """A ROUTER knows no peer with the message's routing id (any more)."""
    STOPPED = "stopped"
    """It had come in, and was not moved yet when the device closed."""
    MALFORMED = "malformed"
    """The message has too few parts for this outlet: a ROUTER needs a routing id and at least one more."""


@dataclass(slots=True)
class OutletCounters:
    """Running totals of one outlet. ``sent`` means handed to libzmq, which queues it for the peer."""

    sent: int = 0
    sent_parts: int = 0
    sent_bytes: int = 0
    dropped: dict[Drop, int] = field(default_factory=dict)

    def drop(self, reason: Drop, messages: int = 1) -> None:
        """Count `messages` dropped for `reason`."""
        self.dropped[reason] = self.dropped.get(reason, 0) + messages


@dataclass(slots=True)
class PumpCounters:
    """Running totals of one pump, written by its burst alone."""

    outlets: tuple[OutletCounters, ...]
    received: int = 0
    received_parts: int = 0
    received_bytes: int = 0
    bursts: int = 0


@dataclass(frozen=True, slots=True)
class OutletSnapshot:
    """One outlet at one moment.

    :ivar socket: the socket's key in its device, e.g. ``push``.
    :ivar sent: messages handed to libzmq; `sent_parts` and `sent_bytes` are the same in parts and in bytes.
    :ivar dropped: messages dropped, by reason.
    :ivar held: 1 while the pump has a message in hand that this outlet has not taken yet, else 0.
    """

    socket: str
    sent: int
    sent_parts: int
    sent_bytes: int
    dropped: Mapping[Drop, int]
    held: int

    def merged_with(self, later: OutletSnapshot) -> OutletSnapshot:
        """The counts of both lives of one outlet: this one, which is over, and a `later` one."""
        reasons = dict.fromkeys((*self.dropped, *later.dropped))
        return OutletSnapshot(
            socket=self.socket,
            sent=self.sent + later.sent,
            sent_parts=self.sent_parts + later.sent_parts,
            sent_bytes=self.sent_bytes + later.sent_bytes,
            dropped={reason: self.dropped.get(reason, 0) + later.dropped.get(reason, 0) for reason in reasons},
            held=self.held + later.held,
        )

    def as_closed(self) -> OutletSnapshot:
        """The same once its life is over: what was held then has been dropped, `Drop.STOPPED`."""
        if not self.held:
            return self
        stopped = self.dropped.get(Drop.STOPPED, 0) + self.held
        return replace(self, dropped={**self.dropped, Drop.STOPPED: stopped}, held=0)


@dataclass(frozen=True, slots=True)
class PumpSnapshot:
    """One pump at one moment: ``received == sent + sum(dropped) + held`` for each of its outlets.

    :ivar source: the key of the socket that it reads.
    :ivar received: messages read; `received_parts` and `received_bytes` are the same in parts and in bytes.
    :ivar bursts: how often the inner loop ran; ``received / bursts`` is the mean batch.
    :ivar outlets: where they went, in the order in which they are served.
    """

    source: str
    received: int
    received_parts: int
    received_bytes: int
    bursts: int
    outlets: tuple[OutletSnapshot, ...]

    def merged_with(self, later: PumpSnapshot) -> PumpSnapshot:
        """The counts of both lives of one pump: this one, which is over, and a `later` one to the same outlets."""
        return PumpSnapshot(
            source=self.source,
            received=self.received + later.received,
            received_parts=self.received_parts + later.received_parts,
            received_bytes=self.received_bytes + later.received_bytes,
            bursts=self.bursts + later.bursts,
            outlets=tuple(one.merged_with(other) for one, other in zip(self.outlets, later.outlets, strict=True)),
        )

    def as_closed(self) -> PumpSnapshot:
        """The same once its life is over; see `OutletSnapshot.as_closed`."""
        return replace(self, outlets=tuple(outlet.as_closed() for outlet in self.outlets))

    @property
    def held(self) -> int:
        """1 while a message is in hand that some outlet has not taken yet, else 0."""
        return max((outlet.held for outlet in self.outlets), default=0)

    @property
    def balanced(self) -> bool:
        """Whether every message received is accounted for at every outlet."""
        return all(self.received == outlet.sent + sum(outlet.dropped.values()) + outlet.held for outlet in self.outlets)
