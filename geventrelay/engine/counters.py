"""What a pump counts: plain integers while it runs, a frozen snapshot for those who ask.

Each value is declared, and described, in `OutletValues` or `PumpValues`. The counters, which a burst writes, and the
snapshots are both made of these.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .values import Frozen, Kind, Value, counter, frozen_copy, gauge, merged, values_of


class Drop(enum.Enum):
    """Why an outlet dropped a message.

    The values are the names in accounting lines, in the JSON and in metrics.

    :ivar label: a few words for it.
    :ivar help: one sentence that says what happened.
    """

    label: str
    help: str

    NO_PEER = "no_peer", "no peer", "No peer was connected to the socket."
    FULL = "full", "queue full", "The peer, or every peer, had as many messages waiting as its high-water mark allows."
    NOT_READY = (
        "not_ready",
        "not ready",
        "The socket could not take it. Its transport (inproc) does not show whether a peer is connected.",
    )
    UNROUTABLE = "unroutable", "unroutable", "The ROUTER had no peer with the message's routing id, or no longer."
    STOPPED = (
        "stopped",
        "stopped",
        "It had come in, and was not moved yet when the device closed; or it still waited for a peer (engine zmtp).",
    )
    MALFORMED = (
        "malformed",
        "malformed",
        "It had too few parts: a ROUTER needs a routing id and at least one more part.",
    )
    BROKEN_OFF = (
        "broken_off",
        "broken off",
        "It began with several parts, and the rest never came: an XSUB sent a subscription as one of the parts.",
    )
    TOO_MANY_PARTS = "too_many_parts", "too many parts", "It had more parts than max-parts allows."

    TOPIC_TOO_LONG = (
        "topic_too_long",
        "topic too long",
        "It was a subscription to a topic longer than max-topic-size allows, or such a part of a message upstream.",
    )

    SLOW = (
        "slow",
        "slow subscriber",
        "The subscriber had as many messages waiting as its high-water mark allows (engine zmtp).",
    )
    TOO_OLD = (
        "too_old",
        "too old",
        "It had waited for the subscriber longer than subscriber-max-age allows (engine zmtp).",
    )
    LEFT = "left", "peer left", "It waited for a peer whose connection has ended (engine zmtp)."
    BY_REQUEST = "by_request", "disconnected", "It waited for a peer that was disconnected on request (engine zmtp)."

    MEMORY = (
        "memory",
        "memory budget",
        "The memory budget was used up, and it waited for a slow subscriber, or was for a slow peer (engine zmtp).",
    )

    FORBIDDEN = "forbidden", "forbidden", "Its sender has no right to send it."
    RATE = "rate", "over the rate", "More came within a second than max-rate or max-rate-bytes allows."

    def __new__(cls, name: str, label: str, help: str) -> Drop:
        """Make a member that is looked up by its name alone: ``Drop("full")``."""
        made = object.__new__(cls)
        made._value_, made.label, made.help = name, label, help
        return made


LOSSES = (Drop.SLOW, Drop.TOO_OLD, Drop.FULL, Drop.MEMORY, Drop.LEFT, Drop.BY_REQUEST, Drop.STOPPED)
"""Why a message that was for a peer was not delivered to it."""


@dataclass(slots=True, kw_only=True)
class OutletValues:
    """What is counted of one outlet. ``sent`` means handed to libzmq, which queues it for the peer."""

    sent: int = counter(
        "messages", "Messages handed to libzmq for the socket's peers.",
        path=("sent", "messages"), metric="sent_messages", top=True,
    )  # fmt: skip
    sent_parts: int = counter(
        "parts", "Parts of the messages handed to libzmq for the socket's peers.",
        path=("sent", "parts"), metric="sent_parts",
    )  # fmt: skip
    sent_bytes: int = counter(
        "bytes", "Bytes of the messages handed to libzmq for the socket's peers.",
        path=("sent", "bytes"), metric="sent_bytes",
    )  # fmt: skip
    uncut: int = counter(
        "messages", "Messages that went whole, because what stands before their first space is no topic.",
        path=("uncut",), metric="uncut_messages",
    )  # fmt: skip
    elsewhere: int = counter(
        "messages", "Messages that went to other devices over the backbone, because the socket had no room for them.",
        path=("elsewhere",), metric="elsewhere_messages", top=True,
    )  # fmt: skip
    dropped: dict[Drop, int] = counter(
        "messages", "Messages that the socket did not take, by reason.",
        path=("dropped",), metric="dropped_messages", by="reason", known=[one.value for one in Drop], top=True,
    )  # fmt: skip


@dataclass(slots=True)
class OutletCounters(OutletValues):
    """Running totals of one outlet, written by the burst of its pump."""

    def drop(self, reason: Drop, messages: int = 1) -> None:
        """Count `messages` dropped for `reason`."""
        self.dropped[reason] = self.dropped.get(reason, 0) + messages


@dataclass(slots=True, kw_only=True)
class PumpValues:
    """What is counted of one pump."""

    received: int = counter(
        "messages", "Messages read from the socket.",
        path=("received", "messages"), metric="received_messages", top=True,
    )  # fmt: skip
    received_parts: int = counter(
        "parts", "Parts of the messages read from the socket.", path=("received", "parts"), metric="received_parts"
    )
    received_bytes: int = counter(
        "bytes", "Bytes of the messages read from the socket.", path=("received", "bytes"), metric="received_bytes"
    )
    bursts: int = counter("runs", "Times that the inner loop read from the socket.", path=("bursts",), metric="bursts")
    rate_waits: int = counter(
        "waits", "Times that reading had to wait, since more came than max-rate or max-rate-bytes allows.",
        path=("rate_waits",), metric="rate_waits",
    )  # fmt: skip


@dataclass(slots=True)
class PumpCounters(PumpValues):
    """Running totals of one pump, written by its burst alone."""

    outlets: tuple[OutletCounters, ...]

    def add_unmoved(self, read: PumpValues, reason: Drop) -> None:
        """Count messages that were `read` beside the burst and given to no outlet: dropped for `reason`."""
        self.received += read.received
        self.received_parts += read.received_parts
        self.received_bytes += read.received_bytes
        if read.received:
            for outlet in self.outlets:
                outlet.drop(reason, read.received)


@dataclass(slots=True)
class OutletSnapshot(Frozen, OutletValues):
    """One outlet at one moment: a copy of its counters.

    A message that is sent is matched once for each peer that it is for, and
    ``matched == delivered + sum(lost) + waiting``, also when peers have left. With libzmq, these are None.

    :ivar socket: the socket's key in its device, e.g. ``push``.
    :ivar held: 1 while the pump has a message in hand that this outlet has not taken yet, else 0.
    """

    socket: str
    held: int = gauge("messages", "Messages in hand that the socket has not taken yet.", path=("held",))
    matched: int | None = counter(
        "deliveries", "Deliveries that were due: a message has one for each peer that it is for (engine zmtp).",
        path=("matched",), metric="matched", optional=True,
    )  # fmt: skip
    delivered: int | None = counter(
        "deliveries", "Deliveries that were made: the kernel has taken the whole message for the peer (engine zmtp).",
        path=("delivered",), metric="delivered", top=True, optional=True,
    )  # fmt: skip
    lost: Mapping[Drop, int] | None = counter(
        "deliveries", "Deliveries that were not made and will not be, by reason (engine zmtp).",
        path=("lost",), metric="lost", by="reason", known=[one.value for one in LOSSES], top=True, optional=True,
    )  # fmt: skip
    waiting: int | None = gauge(
        "deliveries", "Deliveries that wait until their peers take more (engine zmtp).",
        path=("waiting",), metric="waiting", optional=True,
    )  # fmt: skip
    waiting_bytes: int | None = gauge(
        "bytes", "Bytes of the deliveries that wait, heads of frames among them (engine zmtp).",
        path=("waiting_bytes",), metric="waiting_bytes", optional=True,
    )  # fmt: skip

    forbidden_subscriptions: int | None = counter(
        "subscriptions", "Subscriptions of the socket's peers that were ignored, since they have no right to them "
        "(engine zmtp).",
        path=("forbidden_subscriptions",), metric="forbidden_subscriptions", optional=True,
    )  # fmt: skip

    last_values: int | None = gauge(
        "messages", "Last values that are kept for later subscribers (engine zmtp).",
        path=("last_values", "kept"), metric="last_values", optional=True,
    )  # fmt: skip
    last_values_bytes: int | None = gauge(
        "bytes", "Bytes of the last values that are kept, heads of frames among them (engine zmtp).",
        path=("last_values", "bytes"), metric="last_values_bytes", optional=True,
    )  # fmt: skip
    last_values_given: int | None = counter(
        "deliveries", "Last values that were given to new subscriptions; they are among the deliveries (engine zmtp).",
        path=("last_values", "given"), metric="last_values_given", optional=True,
    )  # fmt: skip
    last_values_forgotten: Mapping[str, int] | None = counter(
        "messages", "Last values that were forgotten, by reason: more topics or bytes than are kept, their age, or "
        "memory (engine zmtp).",
        path=("last_values", "forgotten"), metric="last_values_forgotten", by="reason",
        known=["topics", "bytes", "age", "memory"], optional=True,
    )  # fmt: skip

    log_messages: int | None = gauge(
        "messages", "Published messages that are kept for replay (engine zmtp).",
        path=("log", "messages"), metric="log_messages", optional=True,
    )  # fmt: skip
    log_bytes: int | None = gauge(
        "bytes", "Bytes of the messages that are kept for replay, heads of frames among them (engine zmtp).",
        path=("log", "bytes"), metric="log_bytes", optional=True,
    )  # fmt: skip
    log_oldest: int | None = gauge(
        "messages", "The number of the oldest message that is kept for replay; of the next one, if none is "
        "(engine zmtp).",
        path=("log", "oldest"), metric="log_oldest", optional=True,
    )  # fmt: skip
    log_next: int | None = gauge(
        "messages", "The number that the next message gets (engine zmtp).",
        path=("log", "next"), metric="log_next", optional=True,
    )  # fmt: skip
    log_forgotten_for_memory: int | None = counter(
        "messages", "Messages kept for replay that were forgotten before their time, since memory was short "
        "(engine zmtp).",
        path=("log", "forgotten_for_memory"), metric="log_forgotten_for_memory", optional=True,
    )  # fmt: skip
    replay_requests: int | None = counter(
        "requests", "Requests that came to the replay port (engine zmtp).",
        path=("replay", "requests"), metric="replay_requests", optional=True,
    )  # fmt: skip
    replay_messages: int | None = counter(
        "messages", "Messages in answers of the replay port (engine zmtp).",
        path=("replay", "messages"), metric="replay_messages", optional=True,
    )  # fmt: skip
    replay_lost: int | None = counter(
        "messages", "Messages that the replay port was asked for and that were kept no more, as it has answered "
        "(engine zmtp).",
        path=("replay", "lost"), metric="replay_lost", optional=True,
    )  # fmt: skip
    replay_refused: Mapping[str, int] | None = counter(
        "requests", "Requests to the replay port that were refused, by reason: malformed, or too many that waited "
        "(engine zmtp).",
        path=("replay", "refused"), metric="replay_refused", by="reason", known=["malformed", "too_many"],
        optional=True,
    )  # fmt: skip
    replay_readers: int | None = gauge(
        "peers", "Peers that the replay port is answering (engine zmtp).",
        path=("replay", "readers"), metric="replay_readers", optional=True,
    )  # fmt: skip

    @classmethod
    def of(cls, socket: str, counters: OutletCounters, held: int, **deliveries: object) -> OutletSnapshot:
        """What has been counted up to now. Does not yield.

        :param socket: the socket's key in its device.
        :param counters: what its burst has counted.
        :param held: 1 if it has yet to take the message in hand, else 0.
        :param deliveries: what is known of deliveries, last values and replay, by attribute; nothing with libzmq.
        """
        return frozen_copy(cls, counters, socket=socket, held=held, **{**_NO_DELIVERIES, **deliveries})

    @property
    def adds_up(self) -> bool:
        """Whether every delivery is accounted for; where they are not counted, there is nothing against it."""
        if self.matched is None:
            return True
        return self.matched == (self.delivered or 0) + sum((self.lost or {}).values()) + (self.waiting or 0)

    def merged_with(self, later: OutletSnapshot) -> OutletSnapshot:
        """The counts of both lives of one outlet: this one, which is over, and a `later` one; see `as_closed`."""
        return merged(self.as_closed(), later, socket=self.socket)

    def as_closed(self) -> OutletSnapshot:
        """The same once its life is over: what was held then has been dropped, `Drop.STOPPED`."""
        if not self.held:
            return self
        stopped = self.dropped.get(Drop.STOPPED, 0) + self.held
        return dataclasses.replace(self, dropped={**self.dropped, Drop.STOPPED: stopped}, held=0)


_NO_DELIVERIES = {value.attribute: None for value in values_of(OutletSnapshot) if value.optional}


@dataclass(slots=True)
class PumpSnapshot(Frozen, PumpValues):
    """One pump at one moment; for each outlet, ``received == sent + elsewhere + sum(dropped) + held``.

    ``received / bursts`` is how many messages a burst moves on average.

    :ivar source: the key of the socket that it reads.
    :ivar outlets: where the messages went, in the order in which they are served.
    :ivar left_unread: whether messages may have come in that were lost unread at the end; how many is not known.
    """

    source: str
    outlets: tuple[OutletSnapshot, ...]
    left_unread: bool = False

    @classmethod
    def of(cls, source: str, counters: PumpCounters, outlets: tuple[OutletSnapshot, ...]) -> PumpSnapshot:
        """What has been counted up to now. Does not yield.

        :param source: the key of the socket that the pump reads.
        :param counters: what its burst has counted.
        :param outlets: its outlets at the same moment.
        """
        return frozen_copy(cls, counters, source=source, outlets=outlets, left_unread=False)

    def merged_with(self, later: PumpSnapshot) -> PumpSnapshot:
        """The counts of both lives of one pump: this one, which is over, and a `later` one to the same outlets."""
        outlets = tuple(one.merged_with(other) for one, other in zip(self.outlets, later.outlets, strict=True))
        left_unread = self.left_unread or later.left_unread
        return merged(self, later, source=self.source, outlets=outlets, left_unread=left_unread)

    def as_closed(self) -> PumpSnapshot:
        """The same once its life is over; see `OutletSnapshot.as_closed`."""
        return dataclasses.replace(self, outlets=tuple(outlet.as_closed() for outlet in self.outlets))

    @property
    def held(self) -> int:
        """1 while a message is in hand that some outlet has not taken yet, else 0."""
        return max((outlet.held for outlet in self.outlets), default=0)

    @property
    def balanced(self) -> bool:
        """Whether every message received is accounted for at every outlet, and so is every delivery that is counted."""
        return all(
            self.received == outlet.sent + outlet.elsewhere + sum(outlet.dropped.values()) + outlet.held
            and outlet.adds_up
            for outlet in self.outlets
        )


def is_answered(requested: Iterable[OutletValues], replied: Iterable[OutletValues]) -> bool:
    """Whether all requests have been answered. Does not yield.

    :param requested: the outlets to workers.
    :param replied: the outlets to clients, at which the replies to all these come.
    """
    # Unroutable ones do not count: no client waits for them.
    replies = sum(one.sent + one.elsewhere + one.dropped.get(Drop.FULL, 0) for one in replied)
    return replies >= sum(one.sent + one.elsewhere for one in requested)


OF_OUTLET = values_of(OutletSnapshot)
"""Every value of an outlet."""

OF_PUMP = (
    *values_of(PumpSnapshot),
    Value(
        "held", Kind.GAUGE, "messages", "Messages read from the socket that some outlet has not taken yet.",
        path=("held",), metric="held_messages",
    ),
)  # fmt: skip
"""Every value of a pump."""
