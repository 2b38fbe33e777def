"""A publisher with subscribers that read now and then, and what each of them is to get: what does not come is lost."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from geventrelay.switch.contract import (
    LOST_TOPICS,
    LOST_TOPICS_FIRST,
    SUBSCRIPTIONS_WHAT,
    LastValuePlan,
    LogPlan,
    Side,
    SlowSubscriber,
    TopicPlan,
)
from geventrelay.zmtp.greeting import Version

from .busiest import Parts, check_table, topics_of
from .last_values import Kept
from .switch import NEVER, Far, World, cancel, check, subscribe, wire

LONG = b"l" * 254
PARTS = [b"", b"a", b"a b", b"a/b c", b"b/", b"b", b"c/d", b"/", b" ", LONG, LONG + b"/x", LONG + b"ll y", b"m" * 400]
SUBSCRIPTIONS = [b"", b"", b"", b"a", b"a b", b"b", b"l", LONG + b"l", b"m" * 300, b"t"]
MAX_AGE_S = 3600.0
_SUBSCRIPTIONS_WHAT = SUBSCRIPTIONS_WHAT.partition("{")[0]
VERSIONS = [Version.V3_1, Version.V3_1, Version.V3_0, Version.V2_0, Version.V1_0]


class Listener:
    """One subscriber, over all its connections.

    :param side: what it is a peer of.
    :param queues_before: see `geventrelay.switch.contract.Side.new_peer`.
    :ivar far: the other end of its connection; None without one.
    :ivar got: the messages that have come, with their stamps.
    :ivar has_read: whether it has read over this connection.
    """

    def __init__(self, side: Side, *, queues_before: bool) -> None:
        self.peer = side.new_peer(queues_before=queues_before)
        self.queues_before = queues_before
        self.version = Version.V3_1
        self.far: Far | None = None
        self.got: list[Parts] = []
        self.has_read = False
        self._begun: Parts = []
        self._full_with = 0

    def connect(self, world: World, choose: random.Random, *, full: bool) -> None:
        """Have it have a connection. If it is to be `full`, the kernel takes nothing before it is read from."""
        self.version = choose.choice(VERSIONS)
        self.has_read = False
        sealed = not self.version.is_legacy and choose.random() < 0.3
        self.far = world.connect(self.peer, version=self.version, sealed=sealed, small=not full)
        if full:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._full_with += self.far.ours.send(bytes(65536))

    @property
    def there(self) -> Far | None:
        """Its connection, if that goes on."""
        return None if self.peer.ended is not None else self.far

    def take(self) -> None:
        """Take what has come."""
        assert self.far is not None
        self.has_read = True
        data = self.far.raw()
        cut = min(len(data), self._full_with)
        self._full_with -= cut
        self.far.feed(data[cut:])
        for frame in self.far.frames():
            if not frame.command:
                self._begun.append(frame.body)
                if not frame.more:
                    self.got.append(self._begun)
                    self._begun = []

    def hang_up(self) -> None:
        """Have its connection go. What the kernel has taken has come; what was written in half will come again."""
        assert self.far is not None
        self.peer.detach()
        self.take()
        self._begun, self._full_with = [], 0
        self.far.hang_up()
        self.far = None


class Scene:
    """A publisher in a world of random choices.

    :param world: where it is.
    :param choose: makes the choices.
    :param full: whether the kernel takes nothing for a subscriber up to when that reads for the first time, and all
        from then on. So all cores lose the same.
    :param short: whether memory is short.
    :param policies: what may happen to slow subscribers.
    :ivar listeners: the subscribers, and `gone` those that have left.
    :ivar seen: what was told, step by step.
    """

    def __init__(
        self,
        world: World,
        choose: random.Random,
        *,
        full: bool = False,
        short: bool = False,
        policies: Sequence[SlowSubscriber] = tuple(SlowSubscriber),
    ) -> None:
        self._world, self._choose, self._full, self._short = world, choose, full, short
        self._options = _some_options(choose, policies, last_values=not short)
        self._plan: TopicPlan = self._options["topics"]
        self.pub = world.side(choose.choice(["PUB", "XPUB"]), **self._options)
        pull, self._way = world.way("PULL", self.pub)
        self._source = world.far(pull)
        kept = self._options["last_values"]
        self._model = Kept(0 if kept is None else kept.topics)
        self.listeners: list[Listener] = []
        self.gone: list[Listener] = []
        self._sent: list[Parts] = []
        self._published = 0
        self._steps = {
            self._publish: 8.0, self._come: 2.0, self._subscribe: 3.0, self._cancel: 1.0, self._read: 3.0,
            self._hang_up: 1.0, self._reconnect: 2.0, self._remove: 1.0, self._grow_old: 0.5,
            self._subscribe_again: 0.0 if kept is None else 6.0,
        }  # fmt: skip
        self.seen: list[object] = []

    def step(self) -> None:
        """Do one thing."""
        (what,) = self._choose.choices(list(self._steps), list(self._steps.values()))
        what()
        self._settle()
        check(self._way)
        for one in (*self.listeners, *self.gone):
            lost = one.peer.lost_topics()
            counts = one.peer.counts()
            assert sum(topic.lost for topic in lost) == sum(counts.dropped.values())
            assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting
            self.seen.append((what.__name__, counts.dropped, lost))
        self._look_at_side()

    def end(self) -> None:
        """Have all subscribers read all, or leave: then everything is known."""
        # What is read from the source now may be published to those that are left.
        while self.listeners or self._published < len(self._sent):
            if self._published < len(self._sent):
                for one in self.listeners:
                    if one.there is not None:
                        self._read_all(one)
                self._publish()
                self._settle()
            for one in self.listeners[: self._choose.randrange(3)]:
                self._leave(one, reads=self._choose.random() < 0.5)
                self._settle()
        self._look_at_side()
        lost: Counter[bytes] = Counter()
        for one in self.gone:
            lost += self._lost_of(one)
        counts = self.pub.topic_counts()
        assert counts is not None
        check_table(
            {one.topic: (one.lost, one.lost_error) for one in counts.topics if one.lost}, lost, self._plan.topics
        )

    # What happens

    def _publish(self) -> None:
        """Some messages come, and are published as far as there is room."""
        if self._published == len(self._sent):
            some = [_some_message(self._choose) for _ in range(self._choose.randrange(1, 12))]
            self._sent += some
            self._source.put(b"".join(wire(*parts) for parts in some))
        self._source.read()
        received = self._source.peer.counts().received
        for parts in self._sent[self._published : received]:
            self._model.publish(parts)
        self._published = received

    def _come(self) -> None:
        """A subscriber comes."""
        if len(self.listeners) < 6:
            one = Listener(self.pub, queues_before=self._choose.random() < 0.5)
            self.listeners.append(one)
            self._model.come(id(one))
            self._connect(one)

    def _reconnect(self) -> None:
        """One that has no connection has another."""
        if without := [one for one in self.listeners if one.far is None]:
            self._connect(self._choose.choice(without))

    def _connect(self, one: Listener) -> None:
        one.connect(self._world, self._choose, full=self._full)
        if one.version is Version.V1_0:
            self._model.subscribe(id(one), b"")
        if welcome := self._options["xpub_welcome_msg"]:
            self._model.wanted[id(one)].append([welcome])

    def _subscribe(self) -> None:
        """A subscriber asks for a topic."""
        if able := self._able():
            self._ask(self._choose.choice(able), self._choose.choice(SUBSCRIPTIONS), wanted=True)

    def _cancel(self) -> None:
        """A subscriber does not ask for a topic any more."""
        if able := self._able():
            self._ask(self._choose.choice(able), self._choose.choice(SUBSCRIPTIONS), wanted=False)

    def _subscribe_again(self) -> None:
        """A subscriber asks anew for all that it asked for, so that it is given last values again."""
        if able := self._able():
            one = self._choose.choice(able)
            topics = sorted(self._model.topics[id(one)])
            for wanted in (False, True):
                for topic in topics:
                    self._ask(one, topic, wanted=wanted)

    def _able(self) -> list[Listener]:
        """Those that can ask for topics; one of ZMTP 1.0 does not."""
        return [one for one in self.listeners if one.there is not None and one.version is not Version.V1_0]

    def _ask(self, one: Listener, topic: bytes, *, wanted: bool) -> None:
        if one.there is None:
            return
        if one.version is Version.V3_1:
            one.there.put(subscribe(topic) if wanted else cancel(topic))
        else:
            one.there.put(wire((b"\1" if wanted else b"\0") + topic))
        before = set(self._model.topics[id(one)])
        (self._model.subscribe if wanted else self._model.cancel)(id(one), topic)
        one.there.read()
        if one.peer.ended is not None and one.peer.counts().subscriptions == len(before):
            # It was not taken any more, for want of memory.
            self._model.topics[id(one)] = before

    def _read(self) -> None:
        """A subscriber reads, a little or all."""
        if able := [one for one in self.listeners if one.there is not None]:
            one = self._choose.choice(able)
            if self._full or self._choose.random() < 0.5:
                self._read_all(one)
            else:
                one.take()
                one.peer.write(NEVER)

    def _read_all(self, one: Listener) -> None:
        one.take()
        # Its driver has waited for that, even if what waited has been dropped since.
        one.peer.write(NEVER)
        one.take()
        while one.there is not None and one.peer.wants_write:
            one.peer.write(NEVER)
            one.take()
        if one.there is not None:
            self._look_at(one)

    def _hang_up(self) -> None:
        """A connection goes."""
        if able := [one for one in self.listeners if one.far is not None]:
            self._end_connection(self._choose.choice(able))

    def _end_connection(self, one: Listener) -> None:
        ended = one.peer.ended
        forgotten = not one.queues_before or (ended is not None and ended.what.startswith(_SUBSCRIPTIONS_WHAT))
        one.hang_up()
        if forgotten:
            # From when it had ended, nothing was for it any more.
            del self._model.wanted[id(one)][one.peer.counts().matched :]
            self._model.topics[id(one)] = set()

    def _remove(self) -> None:
        """A subscriber leaves for good."""
        if self.listeners:
            self._leave(self._choose.choice(self.listeners), reads=self._choose.random() < 0.3)

    def _leave(self, one: Listener, *, reads: bool) -> None:
        if reads and one.there is not None:
            self._read_all(one)
        if one.far is not None:
            self._end_connection(one)
        self.pub.remove(one.peer)
        self.listeners.remove(one)
        self.gone.append(one)
        del self._model.topics[id(one)]
        self._look_at(one)

    def _grow_old(self) -> None:
        """What waits has waited too long, where there is such a limit."""
        self.pub.drop_too_old(time.monotonic() + MAX_AGE_S + 1)

    def _settle(self) -> None:
        """What a driver does, and what those do that have read before: they read on."""
        for one in self.listeners:
            if one.far is not None and one.peer.ended is not None:
                self._end_connection(one)
        self._world.core.take_ended()
        self._world.core.take_stalled()
        self._world.core.tidy(NEVER)
        if self._full:
            for one in self.listeners:
                if one.there is not None and one.has_read:
                    self._read_all(one)

    # What is to hold

    def _lost_of(self, one: Listener) -> Counter[bytes]:
        """What was lost, by topic, of one for which nothing waits."""
        wanted, got = self._model.wanted[id(one)], one.got
        if self._options["stamp"]:
            # All but the welcome have one.
            got = [parts[:-1] if len(parts) > 1 else parts for parts in got]
        until = self._plan.topic_until
        lost = topics_of(wanted, until)
        lost.subtract(topics_of(got, until))
        assert min(lost.values(), default=0) >= 0
        return +lost

    def _look_at(self, one: Listener) -> None:
        """Of one that has read all, or has left: what it has lost is what has not come."""
        counts = one.peer.counts()
        assert counts.waiting == 0
        assert counts.delivered == len(one.got)
        assert counts.matched == len(self._model.wanted[id(one)])
        table = {topic.topic: (topic.lost, topic.error) for topic in one.peer.lost_topics()}
        most = LOST_TOPICS
        if self._short and len(table) < LOST_TOPICS:
            # It holds what is promised of a table that had as many topics from the first on.
            most = max(len(table), LOST_TOPICS_FIRST)
        check_table(table, self._lost_of(one), most)

    def _look_at_side(self) -> None:
        counts = self.pub.topic_counts()
        assert counts is not None
        came = topics_of(self._sent[: self._published], self._plan.topic_until)
        assert counts.messages == self._published
        assert counts.lost == sum(one.lost for one in counts.topics) == sum(self.pub.counts().dropped.values())
        published = {one.topic: (one.messages, one.error) for one in counts.topics if one.messages}
        check_table(published, came, self._plan.topics)
        order = [(-one.messages, one.topic) for one in counts.topics]
        assert order == sorted(order)
        # Which topics are in a full table of losses depends on which subscriber of several loses first.
        seen = [one for one in counts.topics if one.messages]
        self.seen.append([(one.topic, one.messages, one.error, one.nbytes, one.subscribers) for one in seen])


def _some_options(choose: random.Random, policies: Sequence[SlowSubscriber], *, last_values: bool) -> dict[str, Any]:
    log = choose.choice([None, LogPlan()])
    return {
        "sndhwm": choose.choice([1, 3, 10, 100]),
        "sndhwm_bytes": choose.choice([0, 0, 500]),
        "slow_subscriber": choose.choice(policies),
        "subscriber_max_age_s": choose.choice([0.0, MAX_AGE_S]),
        "last_values": LastValuePlan(topics=choose.choice([2, 8])) if last_values and choose.random() < 0.5 else None,
        "log": log,
        "stamp": log is not None and choose.random() < 0.7,
        "xpub_welcome_msg": choose.choice([b"", b"w elcome"]),
        "topics": TopicPlan(choose.choice([1, 3, 1000]), choose.choice([b"", b"", b"/"])),
    }


def _some_message(choose: random.Random) -> Parts:
    if choose.random() < 0.3:
        return [b"t%d" % choose.randrange(300), *choose.choice([[], [b"x"], [b"x" * 8]])]
    return choose.choices(PARTS, k=choose.choice([1, 1, 2, 3])) + choose.choice([[], [], [b"x" * 3000], [b"n" * 8]])
