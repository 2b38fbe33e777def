"""What a core is told and what it tells, as values: a socket, why a read or a connection ends, what is counted."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..engine.counters import Drop
from ..terms import SlowSubscriber
from ..zmtp.bounds import Bounds
from ..zmtp.errors import Fault


class Progress(enum.IntEnum):
    """Why a `Peer.read` or `Peer.write` ended, and with it what its caller waits for."""

    NOT_READY = 0
    """Nothing more can be done until the descriptor is ready again. A write has nothing left, or the kernel is full."""
    NO_ROOM = 1
    """Of a read alone: an outlet that blocks is full. Read again once `Way.has_room`."""
    TURN_OVER = 2
    """The time is over and there may be more: let others go first."""
    ENDED = 3
    """The connection has ended, and `Peer.ended` says why: call `Peer.detach`, then close the descriptor."""
    OVER_RATE = 4
    """Of a read alone: more has come than `Peer.rate` allows. Read again after `Rate.wait_s`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a connection has ended.

    :ivar fault: what the peer has done wrong; None if it, or the network, just closed the connection.
    :ivar what: one sentence for the log.
    """

    fault: Fault | None
    what: str


@dataclass(frozen=True, slots=True)
class SidePlan:
    """One socket of a device, as a core needs to know it.

    :ivar key: what it is called in the device, e.g. ``frontend``.
    :ivar type: its ZeroMQ type, e.g. ``"PUSH"``.
    :ivar sndhwm: how many messages may wait for one peer; 0 for no limit.
    :ivar sndhwm_bytes: how many bytes, likewise.
    :ivar bounds: what a peer may send.
    :ivar max_subscriptions: how many topics a peer may subscribe to; 0 for no limit.
    :ivar slow_subscriber: what happens at the high-water mark of a PUB or XPUB.
    :ivar xpub_verbose: whether an XPUB reports subscriptions to topics that have subscribers already.
    :ivar xpub_welcome_msg: what an XPUB sends first over each connection, whatever the peer subscribes to; empty for
        nothing.
    :ivar router_handover: whether a peer takes over the routing id of another, which is then disconnected. Without, it
        is refused itself.
    :ivar subscriber_max_age_s: how long a message may wait for a subscriber, in seconds; 0 for no limit.
    """

    key: str
    type: str
    sndhwm: int = 1000
    sndhwm_bytes: int = 0
    bounds: Bounds = field(default_factory=Bounds)
    max_subscriptions: int = 100_000
    slow_subscriber: SlowSubscriber = SlowSubscriber.DROP
    subscriber_max_age_s: float = 0.0
    xpub_verbose: bool = False
    xpub_welcome_msg: bytes = b""
    router_handover: bool = False


@dataclass(frozen=True, slots=True)
class PeerCounts:
    """What has been counted of one peer, or of all of a side: ``matched == delivered + dropped + waiting``.

    :ivar received: messages read from it, and `received_bytes` their bytes.
    :ivar matched: messages that were routed to it.
    :ivar delivered: those that the kernel has taken wholly.
    :ivar dropped: those that it did not get, by reason.
    :ivar waiting: those in its queue, one half written among them, and `waiting_bytes` their bytes.
    :ivar subscriptions: topics that it is subscribed to now.
    :ivar forbidden: messages from it that were dropped, since it may not send them.
    :ivar forbidden_subscriptions: its subscriptions that were ignored, since it may not have them.
    :ivar over_rate: messages from it that were dropped, since more came than its rate allows.
    """

    received: int = 0
    received_bytes: int = 0
    matched: int = 0
    delivered: int = 0
    dropped: Mapping[Drop, int] = field(default_factory=dict)
    waiting: int = 0
    waiting_bytes: int = 0
    subscriptions: int = 0
    forbidden: int = 0
    forbidden_subscriptions: int = 0
    over_rate: int = 0
