"""What a core promises: the part of the switch that moves messages between connections whose handshake is over.

The way of a message::

    connection --read--> frames --whole messages--> route --> peers: written now, or waiting in their queue
                            |
                         commands (SUBSCRIBE, CANCEL, PING)

A core has no watchers, no timers and no listeners, and it never waits: it is called when a descriptor is ready, and
says what to wait for next. So it can be tested with a socket pair. It calls nothing that yields to the hub.

What is counted: a message counts as received when it is taken out of its connection's bytes, and in the same moment
each outlet has sent it (it was written or it waits for a peer) or has dropped it, with a reason. What cannot be taken
yet because an outlet blocks stays in the bytes of its connection, and is not received.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..engine.counters import Drop, PumpCounters
from ..engine.gate import Gate
from ..engine.grant import Grant
from ..engine.rate import RateLimit
from ..terms import Payload, WhenFull
from ..terms import SlowSubscriber as SlowSubscriber
from ..zmtp import events
from .core_values import FREE_PLACES as FREE_PLACES
from .core_values import LOST_TOPICS as LOST_TOPICS
from .core_values import LOST_TOPICS_FIRST as LOST_TOPICS_FIRST
from .core_values import MOST_FREE_PLACES as MOST_FREE_PLACES
from .core_values import RATE_S as RATE_S
from .core_values import TOPIC_BYTES as TOPIC_BYTES
from .core_values import Ended as Ended
from .core_values import Forgotten as Forgotten
from .core_values import KeptValues as KeptValues
from .core_values import LastValuePlan as LastValuePlan
from .core_values import LogPlan as LogPlan
from .core_values import LogState as LogState
from .core_values import LostTopic as LostTopic
from .core_values import PeerCounts as PeerCounts
from .core_values import Progress as Progress
from .core_values import SidePlan as SidePlan
from .core_values import TopicCount as TopicCount
from .core_values import TopicCounts as TopicCounts
from .core_values import TopicPlan as TopicPlan

UNFINISHED_WHAT = "the memory budget was used up, and of messages without an end its was the largest: {} bytes"
SUBSCRIPTIONS_WHAT = "the memory budget was used up, and subscriptions kept for it took the most: {} bytes"
"""Why a connection has ended, where that is no fault of one peer alone."""


class Rate(Protocol):
    """What has come from one peer or several of late, see `geventrelay.engine.rate.Rate`."""

    def has_room(self, now: float) -> bool:
        """Whether a message may come in at the time `now`, by `time.monotonic`."""

    def wait_s(self, now: float) -> float:
        """How long from `now` to wait until more may come in, in seconds."""

    def is_full(self, now: float) -> bool:
        """Whether at the time `now` it is as a new one."""


class Account(Protocol):
    """What the cores of one hub keep in memory for peers, counted where it is taken and given back.

    That is messages that wait, once for all peers that wait for them; what has come of messages that have no end
    yet; subscriptions, also those that a publisher is to be told of and has not read; what is counted of subscribers'
    losses by topic; last values; and logs. Each core has two buffers of 256 KiB besides, which it fills again and
    again, and each side its two tables of topics.

    What cores do to keep to the limit, looked at each time that one has read a piece (64 KiB, or more of one message):

    - once losses by topic take 1/8 of the limit, no table of them grows any more, but for the first topics of each;
    - once all but last values and logs takes 3/4 of the limit, senders are held back: of what may not be dropped, and
      of what is for one peer alone, one message waits for each peer at most. What a destination drops for that is
      `Drop.MEMORY`;
    - above the limit, the largest of these has to go, until 7/8 are left: what waits for subscribers, the oldest first
      (the longest queues are cut to half of the longest, counted `Drop.MEMORY`; a subscriber that is disconnected for
      being slow is disconnected here too); the largest message without an end, with its connection; the subscriptions
      that are kept for one peer, because it has asked or is to be told, with its connection. Both are `Fault.MEMORY`.
      Or the older half of the last values of one side, or of its log. It keeps no more of either than half of the
      limit anyway.

    So no more than the limit, the piece that was read last, and one message for each peer is kept.

    :ivar limit_bytes: how much may be kept; 0 for no limit. It may be changed, and takes effect at once.
    """

    limit_bytes: int

    @property
    def used_bytes(self) -> int:
        """How much is kept now; 0 once all peers have gone, and `Core.tidy` and `Side.forget` have no more to do."""


class Peer(Protocol):
    """One peer of a side: its queue, and its connection while there is one.

    :ivar ended: why its connection has ended; None while it goes on, and while there is none.
    :ivar on_ping: is called with the time to live of each PING that has one, in tenths of a second. It must not yield.
    """

    ended: Ended | None
    on_ping: Callable[[int], None] | None

    def attach(self, fd: int, peer: events.Peer, rest: bytes, grant: Grant | None = None) -> None:
        """Go on with a connection whose handshake is over.

        A SUB asks for its topics now. What waits is not written yet: call `write`; nor is `rest` read: call `read`.

        A message that it may not send is received and dropped, `Drop.FORBIDDEN`, and the tap does not see it. A
        subscription that it may not have is ignored, and so are all from before, if it may not have every one. The peer
        is told of neither.

        With a session of CURVE, each frame that comes is opened before it is understood, and each that goes is sealed
        before it is written. What the kernel has not taken is sealed anew for the next connection.

        :param fd: its descriptor, which does not block. It stays its owner's, and is open until `detach`.
        :param peer: what is known of the other end, with its session.
        :param rest: the bytes that have come after the handshake.
        :param grant: what it may do over this connection; None for everything.
        """

    def set_rate(self, rate: Rate | None) -> None:
        """Move no more of its messages than `rate` allows, which others may have too; None for any number.

        More is dropped, `Drop.RATE`, and the tap does not see it; or a read ends with OVER_RATE, and it is moved later.
        Once the way is stopped, it does not hold.
        """

    def put(self, parts: Sequence[bytes]) -> bool:
        """Have a message of ours wait for it, behind all others; False if there is no room. Call `write` then.

        There is room while less waits than its high-water marks say and memory is not short; where nothing waits, there
        is room for one message of any size. Where it takes no messages, as without a connection, there is none. The
        message is matched, and then delivered or lost, as any other.

        :param parts: the message, without an envelope.
        :raises ValueError: if it has no part.
        """

    def detach(self) -> None:
        """The connection has gone, or is to go. A message that was read in half is dropped; what waits stays.

        A message written in half is written from its beginning to the next connection. A peer that queues before has a
        connection goes on to be matched by what it was subscribed to, as in libzmq; any other is forgotten.
        """

    def read(self, until: float) -> Progress:
        """Read and move messages.

        Bytes that were read before and kept are moved first. Never blocks. Messages and commands are handled whole.

        :param until: when the turn is over, by `time.monotonic`. At least one message is moved, if there is one.
        """

    def write(self, until: float) -> Progress:
        """Write what waits. Never blocks.

        :param until: when the turn is over, by `time.monotonic`.
        """

    @property
    def wants_write(self) -> bool:
        """Whether something waits to be written to its connection."""

    def ping(self, ttl_ds: int) -> None:
        """Put a PING in front of the messages that wait; only with ZMTP 3.1.

        :param ttl_ds: see `zmtp.commands.ping`.
        """

    @property
    def heard(self) -> int:
        """How many bytes have come from it, of any kind: whether it is alive."""

    def counts(self) -> PeerCounts:
        """What has been counted up to now, over all its connections."""

    @property
    def waits_since(self) -> float | None:
        """When the oldest message came that waits for it, by `time.monotonic`; None if none waits."""

    def some_topics(self, most: int) -> list[bytes]:
        """Of the topics that it is subscribed to, the last `most` that it has asked for, sorted."""

    def lost_topics(self) -> list[LostTopic]:
        """What it has lost by topic, over all its connections: most first, then by topic.

        Whatever the reason is: the sum of them is that of `PeerCounts.dropped`. No more than `LOST_TOPICS` are told, by
        the same rule as `TopicCounts`; where memory is short, as many as there are by then, and `LOST_TOPICS_FIRST` at
        least. Nothing if its side has no `SidePlan.topics`. It holds also once it is removed.
        """


class Side(Protocol):
    """One socket of a device with its peers.

    :ivar plan: what it was made of. It may be replaced while it runs, with another of the same key and type.
    :ivar gate: of a PUSH or DEALER: how many messages it may be given; None for any number. Without a permit it takes
        none, as if it were full. It is one that `Core.gate` has made, and belongs to this side alone.
    :ivar on_message: of a ROUTER without a way: is called with each message that has come, and its peer; the parts are
        as the peer has sent them. It must not yield nor raise. Of the core, it may use `Peer.put`, which needs no
        `Peer.write` then, `Peer.counts` and `log_state`. Neither `Grant.send` nor `Peer.set_rate` holds for these
        messages. None: they are received and forgotten.
    """

    plan: SidePlan
    gate: Gate | None
    on_message: Callable[[Peer, list[bytes]], None] | None

    def new_peer(self, *, queues_before: bool) -> Peer:
        """A peer without a connection yet.

        :param queues_before: whether it takes messages already, as an endpoint that connects without IMMEDIATE does.
            Without, it takes none while it has no connection.
        """

    def remove(self, peer: Peer, reason: Drop = Drop.LEFT) -> None:
        """Forget a `peer` that has been detached.

        :param reason: why what waits for it is dropped.
        """

    def counts(self) -> PeerCounts:
        """What has been counted of all its peers up to now, also of those that were removed."""

    def free_places(self) -> int:
        """Of a PUSH or DEALER: how many messages the peers that are connected now would take without waiting.

        Its gate does not count. A peer counts as `FREE_PLACES` at most where it has no limit of messages, or one of
        bytes; all together count as `MOST_FREE_PLACES` at most. Of another type, 0.
        """

    def subscribe(self, topic: bytes) -> None:
        """Of a SUB or XSUB: ask every peer, now and later, for messages that begin with `topic`.

        An XSUB asks for it whatever is asked for downstream.
        """

    def cancel(self, topic: bytes) -> None:
        """Of a SUB or XSUB: take one `subscribe` of `topic` back."""

    def kept_values(self) -> KeptValues | None:
        """What is kept for later subscribers; None if the plan has no `SidePlan.last_values`.

        A subscription that is new to its peer is given at once, in the order in which they came, the last values
        that begin with its topic, but for those that another subscription of the peer matches. They wait in front of
        all that is published later, and the high-water mark does not count them. No more wait for a peer than may be
        kept; what is more is lost, `Drop.SLOW`.
        """

    def last_values_from(self, prefix: bytes, after: bytes | None, most: int) -> list[tuple[bytes, float, list[bytes]]]:
        """Some last values whose message begins with `prefix`, by topic. They do not count as given.

        It costs as much as what it returns, and not as what is kept. None that is too old is among them.

        :param prefix: what their first part begins with, as for a subscription.
        :param after: only topics behind this one, to go on with; None for all.
        :param most: how many values at most, from 1 to 1000; and no more than 1 MiB of them, with the heads of their
            frames, but one at least.
        :returns: each with its topic, the time when it came, by `time.monotonic`, and its parts as they were sent: with
            its stamp if it has one. Nothing if no last values are kept.
        """

    def topic_counts(self) -> TopicCounts | None:
        """What was counted by topic; None if the side was made without `SidePlan.topics`, or is no PUB or XPUB.

        It takes a few microseconds for each topic.
        """

    def forget(self, until: float) -> bool:
        """Of a side without peers: forget last values, its log, topics that it counts, and what it asks for.

        It returns whether more is left.

        None of it is counted. With `Core.tidy`, it has the `Account` know of nothing any more, even where a caller
        still has the side.

        :param until: when the turn is over, by `time.monotonic`. It may be exceeded by a hundred values.
        """

    def log_state(self) -> LogState | None:
        """What is in the log now; None if the side was made without `SidePlan.log`, or is no PUB or XPUB.

        After each message, the oldest are forgotten until its own limits hold: of messages, bytes and age. Then the
        oldest are forgotten until half of the memory budget holds. So a message that is larger than its limit goes at
        once, with all before it. Whether one is too old is looked at also here, and in `logged`; it is, if it came
        before the present time less the limit. A new plan holds from the next message on, but for `LogPlan.first`.
        """

    def logged(
        self, first: int, last: int, prefixes: tuple[bytes, ...], most: int, until: float
    ) -> tuple[list[tuple[int, list[bytes]]], int]:
        """Some messages of the log, in order, as they were published but without a stamp.

        :param first: the number to begin with. What is older than the log has is left out.
        :param last: the number to end with.
        :param prefixes: only messages whose first part begins with one of these; none for all.
        :param most: how many messages at most, from 1 on; and no more than 1 MiB of them, with the heads of their
            frames, but one at least.
        :param until: when the turn is over, by `time.monotonic`. Some hundred messages are looked at in any case.
        :returns: each with its number; and the number to go on with. If that was all, this is beyond `last`, or beyond
            the newest; it is never below `first`.
        :raises ValueError: if there is no log.
        """

    def drop_too_old(self, now: float) -> float | None:
        """Of a PUB or XPUB: drop what has waited for a subscriber longer than `SidePlan.subscriber_max_age_s`.

        A message that is written in half is finished.

        :param now: by `time.monotonic`.
        :returns: when the next message will have waited too long; None if none waits, or there is no such limit.
        """

    @property
    def asks_for(self) -> Sequence[bytes]:
        """Of a SUB or XSUB: the topics that it asks each peer for, in no order; of other types, none."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a way leads; see `geventrelay.engine.outlet.Outlet`.

    :ivar side: the socket.
    :ivar when_full: what happens to a message that neither it nor `otherwise` can take. The reason of a drop is that of
        the socket.
    :ivar payload: which part of a message is sent.
    :ivar otherwise: what gets the same part of a message that the socket cannot take now. For a PUSH or DEALER, which
        have no room then, it is a PUSH or DEALER; for a ROUTER, which has no such peer then, a ROUTER. None for none.
    """

    side: Side
    when_full: WhenFull = WhenFull.BLOCK
    payload: Payload = Payload.WHOLE
    otherwise: Side | None = None


class Way(Protocol):
    """One direction of a device: from the peers of one side to other sides."""

    @property
    def counters(self) -> PumpCounters:
        """What it has moved so far, with `outlets` in the order of its destinations."""

    @property
    def has_room(self) -> bool:
        """Whether each destination that blocks has room, there or otherwise: reads that had NO_ROOM can go on."""

    @property
    def lacks_permits(self) -> bool:
        """Whether it has no room, and would have with permits.

        A destination that blocks is full, and its alternative has a gate without a permit.
        """

    @property
    def refused(self) -> int:
        """How many messages were dropped that neither a socket nor its alternative took, but for MALFORMED ones."""

    def stop(self) -> None:
        """Give nothing more to the destinations: what is read from now on is dropped, `Drop.STOPPED`."""

    def set_tap(self, tap: Callable[[Sequence[bytes]], None] | None) -> None:
        """Call `tap` with the parts of each message that is moved from now on; None ends that. It must not yield."""


class Core(Protocol):
    """Makes the sides and ways of one device, and knows which of its peers need attention.

    What it keeps for them is counted in the `Account` that it was made with.
    """

    def side(self, plan: SidePlan) -> Side:
        """Make a side.

        :param plan: what it is to be.
        :raises ValueError: if the core does not speak its type.
        """

    def rate(self, limit: RateLimit) -> Rate:
        """Make a rate for its peers, which has a `limit`."""

    def gate(self) -> Gate:
        """Make a gate for one of its sides, without a permit."""

    def way(self, source: Side, destinations: Sequence[Destination]) -> Way:
        """Join sides: each message read from a peer of `source` goes to every one of `destinations`, in order.

        There is one way from a side at most.

        :raises ValueError: if a destination, or what it has otherwise, is of a type that cannot be one.
        """

    def take_stalled(self) -> list[Peer]:
        """The peers that have had to wait with a write since the last call: wait until they are writable."""

    def tidy(self, until: float) -> bool:
        """Go on forgetting what peers were subscribed to that have gone; whether more is left that can be done now.

        They get nothing any more from the moment in which they go. What is left is forgotten a little at each read, so
        this is for a core that has nothing to read: call it after `Peer.detach`, and again as long as it is True.

        :param until: when the turn is over, by `time.monotonic`. It may be exceeded by some hundred topics.
        """

    def take_ended(self) -> list[Peer]:
        """The peers whose connection has turned out to have ended since the last call, but in a read of their own."""

    def take_shed(self) -> int:
        """How many messages were dropped for want of memory since the last call."""

    def set_attention(self, call: Callable[[], None] | None) -> None:
        """What happens at another core may end peers here, drop messages, and make room for senders.

        :param call: is called then, and at other times. It must not yield, nor use a core; None ends that.
        """
