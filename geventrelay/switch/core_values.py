"""What a core is told and what it tells, as values: a socket, why a read or a connection ends, what is counted."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engine.counters import Drop
from ..terms import SlowSubscriber
from ..zmtp.bounds import Bounds
from ..zmtp.errors import Fault

TOPIC_BYTES = 255
"""A topic that is counted is cut there."""
LOST_TOPICS = 100
"""By how many topics it is told what one subscriber has lost."""
LOST_TOPICS_FIRST = 8
"""By how many also where memory is short."""
RATE_S = 10.0
"""The time constant of the rate of a topic: so long ago, a message counts 1/e as much."""

FREE_PLACES = 64
"""For how many messages a peer has room that has no limit of messages, or one of bytes."""
MOST_FREE_PLACES = 1000
"""For how many messages all peers of a side have room at most."""


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


class Forgotten(enum.Enum):
    """Why a last value was forgotten."""

    TOPICS = "topics"
    """There were more topics than are kept."""
    BYTES = "bytes"
    """There were more bytes."""
    AGE = "age"
    """It was too old."""
    MEMORY = "memory"
    """The memory budget was short, or half of it was used for last values."""


@dataclass(frozen=True, slots=True)
class LastValuePlan:
    """What a PUB or XPUB keeps for subscribers that come later: the last message of each topic.

    The topic of a message is its first part; of a message of one part, what stands before its first space. One that is
    longer than a subscription may be is cut there.

    :ivar topics: how many topics it keeps; the oldest values make room.
    :ivar nbytes: how many bytes of messages, with the heads of their frames. No more than half of the memory budget.
    :ivar max_age_s: how old a value may be that a subscriber is given, in seconds; 0 for no limit.
    :ivar prefixes: only messages that begin with one of them are kept; None for all.
    :ivar topic_until: the topic of each message is what stands in its first part before these bytes; empty for the rule
        above.
    """

    topics: int = 100_000
    nbytes: int = 256 << 20
    max_age_s: float = 0.0
    prefixes: tuple[bytes, ...] | None = None
    topic_until: bytes = b""


@dataclass(frozen=True, slots=True)
class KeptValues:
    """What is kept for subscribers that come later.

    :ivar count: how many last values, and `nbytes` their bytes, heads of frames among them.
    :ivar given: how many were given to subscribers, each counted once for each of them.
    :ivar forgotten: how many make room for others, or were too old.
    """

    count: int
    nbytes: int
    given: int
    forgotten: Mapping[Forgotten, int]


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What a PUB or XPUB keeps of all that it has published, so that it can be read again: a log.

    :ivar first: the number of the first message; each later one has the next number.
    :ivar messages: how many it keeps; 0 for no limit. The oldest make room.
    :ivar nbytes: how many bytes of messages, with the heads of their frames. No more than half of the memory budget.
    :ivar max_age_s: how long it keeps a message, in seconds; 0 for no limit.
    """

    first: int = 1
    messages: int = 0
    nbytes: int = 256 << 20
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log has now: the messages from `oldest` on, up to the one before `next`.

    :ivar oldest: the number of the oldest message that it keeps; `next` if it keeps none.
    :ivar next: the number that the next message will have.
    :ivar nbytes: the bytes of all that it keeps, heads of frames among them.
    :ivar for_memory: how many messages it has forgotten for want of memory, before its own limits would have it.
    """

    oldest: int
    next: int
    nbytes: int
    for_memory: int


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Which topics a PUB or XPUB counts: the busiest of those that it publishes, see `TopicCounts`.

    :ivar topics: how many, from 1 on.
    :ivar topic_until: as in `LastValuePlan`. The topic of a message is found as there, but one that is longer than
        `TOPIC_BYTES` is cut there.
    """

    topics: int = 1000
    topic_until: bytes = b""


# Of a socket there may be 10,000 of them at once, and messages wait while they are made: so these are tuples.
class TopicCount(NamedTuple):
    """What was published with one topic, and what subscribers have lost of it.

    :ivar topic: the topic.
    :ivar messages: how many were published, and maybe up to `error` too many.
    :ivar error: 0 if it was counted from its first message on.
    :ivar nbytes: the bytes of `messages - error` of them, which were counted since it is in the table: of all parts,
        without heads of frames and without stamps.
    :ivar per_s: how many messages a second of late: each counts less with time, as `RATE_S` says.
    :ivar bytes_per_s: likewise of their bytes.
    :ivar last: when the last one came, by `time.monotonic`.
    :ivar lost: how many deliveries of it subscribers have lost, and maybe up to `lost_error` too many. Each message
        counts once for each subscriber that has lost it.
    :ivar lost_error: 0 if its losses were counted from the first on.
    :ivar subscribers: how many peers are subscribed to a beginning of it now.
    """

    topic: bytes
    messages: int
    error: int
    nbytes: int
    per_s: float
    bytes_per_s: float
    last: float
    lost: int
    lost_error: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class TopicCounts:
    """What a side has counted by topic.

    There are two tables, each of as many topics as `TopicPlan.topics` says: of messages, and of deliveries lost. While
    no more topics than that have come, every count is exact. One that is in no table takes the place of the one with
    the smallest count, of several the one that was counted longest ago, and goes on with its count, which is its error:
    Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams,
    ICDT 2005). So no count is too high by more than all messages divided by the number of topics, none is too low, and
    each topic that has more messages than that is in the table.

    :ivar messages: of all topics, which is the sum of `TopicCount.messages`.
    :ivar lost: deliveries lost, of all topics, which is the sum of `TopicCount.lost` and of those of peers' `dropped`.
    :ivar topics: most messages first, then by topic. One that is in the table of losses alone is here too, without
        messages, rates and time.
    """

    messages: int
    lost: int
    topics: tuple[TopicCount, ...]


class LostTopic(NamedTuple):
    """What one subscriber has lost of one topic.

    :ivar topic: the topic.
    :ivar lost: how many messages, and maybe up to `error` too many.
    :ivar error: 0 if its losses were counted from the first on.
    """

    topic: bytes
    lost: int
    error: int


@dataclass(frozen=True, slots=True)
class SidePlan:
    """One socket of a device, as a core needs to know it.

    :ivar key: what it is called in the device, e.g. ``frontend``.
    :ivar type: its ZeroMQ type, e.g. ``"PUSH"``.
    :ivar sndhwm: how many messages may wait for one peer; 0 for no limit.
    :ivar sndhwm_bytes: how many bytes, likewise.
    :ivar requests_per_peer: how many messages a peer of a DEALER has at most that it has not answered; 0 for no limit.
        At the limit it has no room. Each message that comes from it is an answer. One that queues before it has a
        connection is asked again for what waits, once it has another one.
    :ivar bounds: what a peer may send.
    :ivar max_subscriptions: how many topics a peer may subscribe to; 0 for no limit.
    :ivar slow_subscriber: what happens at the high-water mark of a PUB or XPUB.
    :ivar xpub_verbose: whether an XPUB reports subscriptions to topics that have subscribers already.
    :ivar xpub_welcome_msg: what an XPUB sends first over each connection, whatever the peer subscribes to; empty for
        nothing.
    :ivar router_handover: whether a peer takes over the routing id of another, which is then disconnected. Without, it
        is refused itself.
    :ivar subscriber_max_age_s: how long a message may wait for a subscriber, in seconds; 0 for no limit.
    :ivar last_values: what a PUB or XPUB keeps for later subscribers; None for nothing.
    :ivar log: what it keeps of all that it has published; None for nothing.
    :ivar stamp: whether each message that it publishes has one part more, the last one: its number in the log, 8 bytes,
        big endian. What the log has is without it. A last value has it, but its topic is that of the message without.
        It counts in what an outlet has sent. Without a log, there are no stamps.
    :ivar topics: which topics a PUB or XPUB counts, and its peers' losses with them; None for none. What it was made
        with holds, also if the plan is replaced.
    """

    key: str
    type: str
    sndhwm: int = 1000
    sndhwm_bytes: int = 0
    requests_per_peer: int = 0
    bounds: Bounds = field(default_factory=Bounds)
    max_subscriptions: int = 100_000
    slow_subscriber: SlowSubscriber = SlowSubscriber.DROP
    subscriber_max_age_s: float = 0.0
    last_values: LastValuePlan | None = None
    log: LogPlan | None = None
    stamp: bool = False
    topics: TopicPlan | None = None
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
