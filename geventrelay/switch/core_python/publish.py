"""Destinations that give each message to all that are subscribed to it: PUB and XPUB."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from ...engine.counters import Drop, OutletCounters
from ...engine.grant import allows
from ...zmtp.errors import Fault, ProtocolError
from ...zmtp.greeting import Version
from .. import contract
from ..contract import SidePlan, SlowSubscriber, TopicCounts
from .incoming import Subscription
from .last_values import LastValues
from .log import Log
from .peer import Peer
from .run import Run
from .side import Side, count_sent
from .topic_counts import CountedTopics
from .topics import Node, Topics

if TYPE_CHECKING:
    from .core import PythonCore

_UNLINKED_AT_A_TIME = 500
_VALUES_IN_A_RUN = 256
TOO_SLOW = "it was slow: as much was waiting for it as its high-water mark allows"
"""Why a slow subscriber is ended."""
_SUBSCRIPTION_BYTES = 500
"""What one takes beside its topic, about."""


class Subscriber:
    """What one peer is subscribed to.

    :param peer: the peer.
    :ivar topics: where each topic is kept.
    :ivar nbytes: what they take, about.
    :ivar gone: whether nothing is for it any more. Its topics are still unlinked, a few at a time.
    """

    __slots__ = ("gone", "nbytes", "peer", "topics")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.topics: dict[bytes, Node[Subscriber]] = {}
        self.nbytes = 0
        self.gone = False


class Publish(Side):
    """Routes by topic (RFC 29; libzmq's xpub.cpp), where a peer has a set of topics.

    :param core: see `Side`.
    :param plan: see `Side`.
    """

    takes_subscriptions = True

    def __init__(self, core: PythonCore, plan: SidePlan) -> None:
        super().__init__(core, plan)
        self._topics: Topics[Subscriber] = Topics()
        if plan.last_values is not None:
            self.last_values = LastValues(self)
        if plan.log is not None:
            self.log = Log(self)
        self._counted = None if plan.topics is None else CountedTopics(self, plan.topics)
        # The subscribers that a message had to wait for.
        self._full: list[Subscriber] = []

    def topic_counts(self) -> TopicCounts | None:
        """See `Side.topic_counts`."""
        return None if self._counted is None else self._counted.counts(time.monotonic(), self._subscribers)

    def _subscribers(self, topic: bytes) -> int:
        """How many peers a message gets to whose first part is `topic`."""
        return sum(1 for one in self._topics.match(topic, 0, len(topic)) if not one.gone)

    # What happens to its peers

    def new_peer(self, *, queues_before: bool) -> Peer:
        """See `Side.new_peer`, and there of `queues_before`."""
        peer = super().new_peer(queues_before=queues_before)
        if self._counted is not None:
            peer.queue.on_drop = functools.partial(self._counted.lose, peer)
        return peer

    def remove(self, peer: contract.Peer, reason: Drop = Drop.LEFT) -> None:
        """See `Side.remove`, and there of `peer` and `reason`."""
        super().remove(peer, reason)
        cast(Peer, peer).count_lost(0)

    def attached(self, peer: Peer) -> None:
        """See `Side.attached`, and there of `peer`."""
        if peer.grant.subscribe is not None:
            self.forget_subscriptions(peer)
        subscriber = _subscriber(peer) or Subscriber(peer)
        peer.topics = subscriber
        if peer.info is not None and peer.info.version is Version.V1_0 and b"" not in subscriber.topics:
            self._want_everything(peer, subscriber)
        if self.plan.xpub_welcome_msg:
            peer.enqueue(Run.of([[self.plan.xpub_welcome_msg]], time.monotonic()))

    def _want_everything(self, peer: Peer, subscriber: Subscriber) -> None:
        """Of a SUB of ZMTP 1.0, which chooses by itself, and sends no subscriptions (libzmq's _subscription_required).

        News of it that would have to wait are not told. It may be one topic more than a peer may have.
        """
        try:
            done = self.apply(peer, Subscription(b"", True))
        except ProtocolError:
            done = False
        if not done:
            self._add(subscriber, b"")

    def detached(self, peer: Peer) -> None:
        """See `Side.detached`, and there of `peer`."""
        if not peer.takes:
            self.forget_subscriptions(peer)

    def forget_subscriptions(self, peer: Peer) -> None:
        """See `Side.forget_subscriptions`, and there of `peer`."""
        subscriber = _subscriber(peer)
        if subscriber is None:
            return
        peer.topics = None
        self.core.kept.dying_bytes += subscriber.nbytes
        subscriber.gone = True
        if not self._unlink(subscriber) or subscriber.topics:
            self.core.leave_unlinking(subscriber.topics, lambda: self._unlink(subscriber))

    def forget(self, until: float) -> bool:
        """See `Side.forget`, and there of `until`."""
        if self._counted is not None:
            self._counted.forget()
        for one in (self.last_values, self.log):
            while one is not None and one.forget_some():
                if self.core.is_over(until):
                    return True
        return False

    def subscriptions_of(self, peer: Peer) -> int:
        """See `Side.subscriptions_of`, and there of `peer`."""
        subscriber = _subscriber(peer)
        return 0 if subscriber is None else len(subscriber.topics)

    def some_topics_of(self, peer: Peer, most: int) -> list[bytes]:
        """See `Side.some_topics_of`, and there of `peer` and `most`."""
        subscriber = _subscriber(peer)
        return [] if subscriber is None else sorted(itertools.islice(reversed(subscriber.topics), most))

    def subscribed_bytes(self, peer: Peer) -> int:
        """See `Side.subscribed_bytes`, and there of `peer`."""
        subscriber = _subscriber(peer)
        return 0 if subscriber is None else subscriber.nbytes

    def before_write(self, peer: Peer) -> None:
        """See `Side.before_write`, and there of `peer`."""
        if self.plan.subscriber_max_age_s:
            self._drop_older(peer, time.monotonic() - self.plan.subscriber_max_age_s)

    def drop_too_old(self, now: float) -> float | None:
        """See `geventrelay.switch.contract.Side.drop_too_old`, and there of `now`."""
        age_s = self.plan.subscriber_max_age_s
        if not age_s:
            return None
        for peer in self.peers:
            self._drop_older(peer, now - age_s)
        times = [time for peer in self.peers if (time := peer.queue.oldest) is not None]
        return min(times) + age_s if times else None

    def _drop_older(self, peer: Peer, than: float) -> None:
        peer.lose(Drop.TOO_OLD, peer.queue.drop_older(than))

    # What comes

    def receive(self, peer: Peer, run: Run) -> int:
        """A PUB takes no messages; see `Side.receive`, and there of `peer` and `run`."""
        return super().receive(peer, run) if self.plan.type == "XPUB" else len(run.ends)

    def apply(self, peer: Peer, subscription: Subscription) -> bool:
        """See `Side.apply`, and there of `peer` and `subscription`."""
        subscriber, topic = _subscriber(peer), subscription.topic
        if subscriber is None:
            return True
        known = topic in subscriber.topics
        if not subscription.wanted:
            return not known or self._forget(subscriber, topic)
        if peer.grant.subscribe is not None and not allows(peer.grant.subscribe, topic):
            peer.forbidden_subscriptions += 1
            return True
        most = self.plan.max_subscriptions
        if not known and most and len(subscriber.topics) >= most:
            raise ProtocolError(Fault.TOO_MANY_SUBSCRIPTIONS, f"subscriptions: expected at most {most} topics")
        if (self.plan.xpub_verbose or topic not in self._topics) and not self._tell(b"\1" + topic):
            return False
        if not known:
            self._add(subscriber, topic)
            if self.last_values is not None:
                self._give_last_values(self.last_values, subscriber, topic)
        return True

    def _give_last_values(self, values: LastValues, subscriber: Subscriber, topic: bytes) -> None:
        """Have the last values wait for a `subscriber` that a new `topic` of it matches, and no other one."""
        node = subscriber.topics[topic]
        if _is_member_above(node, subscriber):
            return
        longer = (one for one in subscriber.topics if len(one) > len(topic) and one.startswith(topic))
        others = set(longer) if node.children else set()
        now = time.monotonic()
        peer, found = subscriber.peer, values.found(topic, others, now)
        values.given += len(found)
        room, room_bytes = values.plan.topics - peer.queue.beyond, values.plan.nbytes - peer.queue.beyond_bytes
        taken: list[bytes] = []
        lost: list[bytes] = []
        for one in found:
            if len(taken) < room and len(one) <= room_bytes:
                taken.append(one)
                room_bytes -= len(one)
            else:
                lost.append(one)
        peer.drop(Drop.SLOW, len(lost))
        if lost and self._counted is not None:
            self._counted.lose(peer, Run.last_values(lost, now), 0, len(lost))
        for start in range(0, len(taken), _VALUES_IN_A_RUN):
            peer.enqueue(Run.last_values(taken[start : start + _VALUES_IN_A_RUN], now))

    def _add(self, subscriber: Subscriber, topic: bytes) -> None:
        subscriber.topics[topic] = self._topics.add(topic, subscriber)
        self._count(subscriber, len(topic) + _SUBSCRIPTION_BYTES)

    def _count(self, subscriber: Subscriber, more: int) -> None:
        subscriber.nbytes += more
        self.core.kept.used_bytes += more
        if subscriber.gone:
            self.core.kept.dying_bytes += more

    def _forget(self, subscriber: Subscriber, topic: bytes) -> bool:
        node = subscriber.topics[topic]
        if len(node.members) == 1 and not self._tell(b"\0" + topic):
            return False
        self._topics.remove(node, subscriber)
        del subscriber.topics[topic]
        self._count(subscriber, -len(topic) - _SUBSCRIPTION_BYTES)
        return True

    def _tell(self, frame: bytes) -> bool:
        """Move the news of a subscription as a message, as an XPUB does; False if it has to wait."""
        if self.way is None or self.plan.type != "XPUB":
            return True
        return bool(self.way.move(Run.of([[frame]], self.core.now)))

    def _unlink(self, subscriber: Subscriber) -> bool:
        """Forget some topics of a `subscriber` that has gone; False if the news of one have to wait."""
        for _ in range(_UNLINKED_AT_A_TIME):
            if not subscriber.topics:
                break
            if not self._forget(subscriber, next(reversed(subscriber.topics))):
                return False
        return True

    # What goes

    @property
    def blocks(self) -> bool:  # type: ignore[override]
        """See `Side.blocks`."""
        return self.plan.slow_subscriber is SlowSubscriber.BLOCK

    @property
    def holds_back(self) -> bool:
        """See `Side.holds_back`."""
        return self.blocks

    @property
    def has_room(self) -> bool:
        """See `Side.has_room`."""
        return all(one.gone or one.peer.room() for one in self._full)

    def room(self, run: Run) -> int:
        """See `Side.room`, and there of `run`."""
        self._full = []
        used: dict[Subscriber, int] = {}
        for first, end, targets in self._matches(run):
            last = end
            for one in targets:
                so_far = used.get(one, 0)
                room = one.peer.room() - so_far if so_far else one.peer.make_room()
                if room < last - first and not one.gone:
                    last = first + max(room, 0)
                    self._full = [one]
            if last < end:
                return last
            for one in targets:
                used[one] = used.get(one, 0) + last - first
        return len(run.ends)

    def send(self, run: Run, counters: OutletCounters) -> None:
        """See `Side.send`, and there of `run` and `counters`."""
        sent = run if self.log is None else self._logged(self.log, run)
        # Also without a subscriber, as on libzmq's engine.
        count_sent(counters, sent)
        if self.last_values is not None:
            self.last_values.keep(run, sent)
        if self._counted is not None:
            self._counted.publish(run)
        for first, last, targets in self._matches(run):
            if targets:
                piece = sent.piece(first, last)
                for one in targets:
                    if not one.gone:
                        self._give(one, piece)

    def _logged(self, log: Log, run: Run) -> Run:
        """Have `log` take in `run`; what subscribers are sent of it."""
        first = log.next
        log.append(run)
        return run.stamped(first) if self.plan.stamp else run

    def _matches(self, run: Run) -> Iterator[tuple[int, int, tuple[Subscriber, ...]]]:
        """Of `run`, from where to where messages go to the same subscribers, and to which."""
        data, count, match = run.data, len(run.ends), self._topics.match
        if self._topics.only_everything:
            yield 0, count, match(data, 0, 0)
            return
        first, start, before = 0, 0, None
        for index, end in enumerate(run.ends):
            if data[start] & 2:
                body, body_end = run.first_part(index)
            else:
                body = start + 2
                body_end = body + data[start + 1]
            targets = match(data, body, body_end)
            if before is not targets:
                if before is not None:
                    yield first, index, before
                first, before = index, targets
            start = end
        if before is not None:
            yield first, count, before

    def _give(self, subscriber: Subscriber, run: Run) -> None:
        peer, done, count = subscriber.peer, 0, len(run.ends)
        while done < count:
            room = peer.make_room() or self._make_way(peer, count - done)
            if subscriber.gone:
                # Its connection has turned out to have ended as it was written to.
                self._drop(peer, Drop.LEFT, run, done)
                return
            if not room:
                self._drop(peer, Drop.SLOW, run, done)
                if self.plan.slow_subscriber is SlowSubscriber.DISCONNECT:
                    self._disconnect(peer)
                return
            last = min(count, done + room)
            peer.enqueue(run.piece(done, last))
            done = last

    def _drop(self, peer: Peer, reason: Drop, run: Run, first: int) -> None:
        """Drop the messages of `run` from `first` on, which were routed to `peer`, for a `reason`."""
        peer.drop(reason, len(run.ends) - first)
        if self._counted is not None:
            self._counted.lose(peer, run, first, len(run.ends))

    def _make_way(self, peer: Peer, wanted: int) -> int:
        """Drop older messages, if that is what is to be done; how much room there is then."""
        self.before_write(peer)
        if self.plan.slow_subscriber is SlowSubscriber.DROP_OLDEST:
            # How many make way for one is not known in bytes.
            at_a_time = 1 if self.plan.sndhwm_bytes else wanted
            while not peer.room() and (dropped := peer.queue.drop_oldest(at_a_time)):
                peer.lose(Drop.SLOW, dropped)
        return peer.room()

    def _disconnect(self, peer: Peer) -> None:
        peer.lose(Drop.SLOW, peer.queue.clear())
        self.end_slow(peer)

    def end_slow(self, peer: Peer) -> None:
        """See `Side.end_slow`, and there of `peer`."""
        peer.end(Fault.SLOW, TOO_SLOW)


def _is_member_above(node: Node[Subscriber], subscriber: Subscriber) -> bool:
    """Whether a `subscriber` wants a beginning of the topic of `node`."""
    above = node.parent
    while above is not None and subscriber not in above.members:
        above = above.parent
    return above is not None


def _subscriber(peer: Peer) -> Subscriber | None:
    return cast("Subscriber | None", peer.topics)
