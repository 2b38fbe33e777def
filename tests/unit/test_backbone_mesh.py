"""The decisions of a backbone, held to a model: devices that join, leave and ask for other things, over a network that
keeps the order of each sender, and that may be cut.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from geventrelay.backbone.actions import Forget, Say, Serve
from geventrelay.backbone.interest import id_of, interest_of
from geventrelay.backbone.mesh import EXPIRY_S, HERE_S, PING_S, Mesh
from geventrelay.backbone.pack import HEAD_BYTES, head_of
from geventrelay.backbone.sent_streams import MOST_SERVED, MOST_SERVED_BYTES
from geventrelay.backbone.terms import MOST_COUNT
from geventrelay.backbone.topics.outbox import Outbox, OutPack, OutServed
from geventrelay.backbone.topics.sorting import Sorter
from geventrelay.backbone.whole import split
from geventrelay.backbone.words.codec import decoded, encoded
from geventrelay.backbone.words.mesh import About, Gone, Here, Mark, Ping, Pong, Served

ALL = "all"


class Net:
    """What is sent waits for each receiver, in the order of its sender, until it is carried.

    :ivar lossy: relays to which nothing gets.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.relays: dict[bytes, Relay] = {}
        self.waiting: dict[tuple[bytes, bytes], deque[tuple[str, bytes]]] = {}
        self.lossy: set[bytes] = set()

    def send(self, sender: bytes, subject: str, data: bytes) -> None:
        for name, relay in self.relays.items():
            if name != sender and name not in self.lossy and subject in relay.listens:
                self.waiting.setdefault((sender, name), deque()).append((subject, data))

    def carry(self, pick: int = 0) -> bool:
        """Carry the next of one sender to one receiver; whether there was something."""
        pairs = [pair for pair, waiting in sorted(self.waiting.items()) if waiting]
        if not pairs:
            return False
        pair = pairs[pick % len(pairs)]
        subject, data = self.waiting[pair].popleft()
        if pair[1] in self.relays:
            self.relays[pair[1]].receive(subject, data)
        return True

    def settle(self, seconds: float = 4.0) -> None:
        """Let time go by until nothing waits."""
        for _ in range(int(seconds / 0.25)):
            while any(relay.pump() for relay in self.relays.values()) or self.carry():
                pass
            self.now += 0.25
            for relay in self.relays.values():
                relay.do(relay.mesh.tick(self.now))


class Relay:
    """One device: what an exchange does, without waiting.

    :ivar expected: what each other device was to get of it.
    :ivar came: what came from each other device.
    """

    def __init__(self, net: Net, name: bytes) -> None:
        self.net, self.name = net, name
        self.outbox = Outbox(name, 1 << 20)
        self.mesh = Mesh(name, "host", self.outbox.mark, lambda: About(version="1", server="nats://n1:4222"))
        self.sorter = Sorter({})
        self.listens: set[str] = set()
        self.words: deque[Say] = deque()
        self.expected: dict[bytes, list[bytes]] = {}
        self.came: dict[bytes, list[bytes]] = {}
        self.number = 0
        net.relays[name] = self
        self.do(self.mesh.connected(net.now))

    def do(self, actions) -> None:
        self.sorter = Sorter(dict(self.mesh.streams))
        takers = Counter(other.stream for other in self.mesh._others.values() if other.stream is not None)
        assert takers == self.mesh._sent._counts and takers.keys() == self.mesh.streams.keys()
        served = list(itertools.chain.from_iterable(self.mesh.streams.values()))
        assert (len(served), sum(map(len, served))) == (self.mesh._sent._prefixes, self.mesh._sent._bytes)
        for action in actions:
            if isinstance(action, Say):
                self.words.append(action)
            elif isinstance(action, Serve):
                self.outbox.serve(action.relay, action.turn, action.begins, action.ended)
            elif isinstance(action, Forget):
                self.outbox.forget(action.stream)

    def want(self, *topics: bytes) -> None:
        self.do(self.mesh.ask_for(interest_of(topics), self.net.now))

    def publish(self, topic: bytes) -> None:
        self.number += 1
        body = topic + b" %d" % self.number
        for other in self.mesh._others.values():
            interest = self.mesh.streams.get(other.stream, ())
            if any(body.startswith(prefix) for prefix in interest):
                self.expected.setdefault(other.relay, []).append(body)
        for takers, begin, end, count in self.sorter.sort(bytes([0, len(body)]) + body):
            self.outbox.put(takers, (bytes([0, len(body)]) + body)[begin:end], count)

    def pump(self) -> bool:
        """Send what goes next; whether there was something."""
        self.listens = {ALL, self.name.hex(), *(stream.hex() for stream in self.mesh.listens)}
        if self.words:
            said = self.words.popleft()
            self.net.send(self.name, ALL if said.to is None else said.to.hex(), encoded(said.word))
            return True
        if self.mesh.waits:
            return False
        if not self.outbox:
            self.outbox.close()
        item = self.outbox.take(1 << 20)
        if isinstance(item, OutPack):
            self.net.send(self.name, item.stream.hex(), item.data)
        elif isinstance(item, OutServed):
            self.net.send(self.name, item.relay.hex(), encoded(item.word))
            self.mesh.said(item.relay, item.word, self.net.now)
        return item is not None

    def receive(self, subject: str, data: bytes) -> None:
        if len(subject) == 32:
            head = head_of(data)
            if self.mesh.take(head, self.net.now):
                messages = [parts[0] for parts in split(data[HEAD_BYTES:])]
                assert len(messages) == head.count
                self.came.setdefault(head.relay, []).extend(messages)
        else:
            self.do(self.mesh.hear(decoded(data), self.net.now))

    def lost_of(self, other: Relay) -> int:
        return self.mesh._others[other.name].lost

    def sent_to(self, other: Relay) -> int:
        found = (one.sent for one in self.mesh.neighbours(self.net.now) if one.relay == other.name.hex())
        return next(found)


def relays(net: Net, count: int) -> list[Relay]:
    return [Relay(net, bytes([number + 1] * 8)) for number in range(count)]


TOPICS = [b"a", b"ab", b"b", b"", b"ba"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 2), st.sampled_from(TOPICS)),
        st.tuples(st.just("want"), st.integers(0, 2), st.sets(st.sampled_from(TOPICS), max_size=2)),
        st.tuples(st.just("pump"), st.integers(0, 2), st.just(None)),
        st.tuples(st.just("carry"), st.integers(0, 9), st.just(None)),
        st.tuples(st.just("time"), st.sampled_from([0.1, 0.3, 1.0]), st.just(None)),
    ),
    max_size=80,
)


@pytest.mark.slow
@given(STEPS)
@hypothesis_settings(max_examples=300)
def test_whatever_is_asked_for_meanwhile_each_message_comes_once_and_in_order(steps):
    net = Net()
    three = relays(net, 3)
    net.settle()
    for kind, which, value in steps:
        if kind == "publish":
            three[which].publish(value)
        elif kind == "want":
            three[which].want(*value)
        elif kind == "pump":
            three[which].pump()
        elif kind == "carry":
            net.carry(which)
        else:
            net.now += which
            for relay in three:
                relay.do(relay.mesh.tick(net.now))
                while relay.words:
                    relay.pump()
    net.settle()
    for one in three:
        for other in three:
            if one is not other:
                assert other.came.get(one.name, []) == one.expected.get(other.name, [])
                assert other.lost_of(one) == 0
                assert one.sent_to(other) == len(one.expected.get(other.name, []))
        assert one.outbox.waiting == one.outbox.waiting_bytes == 0
        # In the end, each gets what it asks for.
        for topic in TOPICS:
            one.publish(topic)
    net.settle()
    for one in three:
        for other in three:
            if one is not other:
                wanted = one.expected.get(other.name, [])
                assert other.came.get(one.name, []) == wanted
                last = [b"%s %d" % (topic, one.number - 4 + place) for place, topic in enumerate(TOPICS)]
                interest = other.mesh.interest
                assert [message for message in last if any(map(message.startswith, interest))] == [
                    message for message in wanted if message in last
                ]


LOSSY = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 2)),
        st.tuples(st.just("pump"), st.integers(0, 2)),
        st.tuples(st.just("carry"), st.integers(0, 9)),
        st.tuples(st.just("cut"), st.integers(0, 2)),
        st.tuples(st.just("mend"), st.integers(0, 2)),
        st.tuples(st.just("time"), st.just(0.3)),
    ),
    max_size=60,
)


@pytest.mark.slow
@given(LOSSY)
@hypothesis_settings(max_examples=300)
def test_what_comes_and_what_is_lost_is_all_there_was(steps):
    net = Net()
    three = relays(net, 3)
    for relay in three:
        relay.want(b"")
    net.settle()
    silent = 0.0
    for kind, which in steps:
        if kind == "publish":
            three[which].publish(b"a")
        elif kind == "pump":
            three[which].pump()
        elif kind == "carry":
            net.carry(which)
        elif kind == "cut":
            net.lossy.add(three[which].name)
        elif kind == "mend":
            net.lossy.discard(three[which].name)
        elif silent < EXPIRY_S - 2 * HERE_S:
            silent += 0.3
            net.now += 0.3
            for relay in three:
                relay.do(relay.mesh.tick(net.now))
    net.lossy.clear()
    net.settle()
    for relay in three:
        # What was lost shows with the next message.
        relay.publish(b"a")
    net.settle()
    for one in three:
        for other in three:
            if one is not other:
                came, expected = other.came.get(one.name, []), one.expected.get(other.name, [])
                assert len(came) + other.lost_of(one) == len(expected) == one.sent_to(other)
                rest = iter(expected)
                assert all(message in rest for message in came)


def test_a_device_that_was_away_for_long_is_taken_for_gone_and_what_it_lost_before_is_counted():
    net = Net()
    one, other, third = relays(net, 3)
    for relay in (other, third):
        relay.want(b"a")
    net.settle()
    one.publish(b"a")
    net.settle()
    net.lossy.add(other.name)
    net.waiting.clear()
    del net.relays[other.name]
    one.publish(b"a")
    one.publish(b"a")
    net.settle(EXPIRY_S + 1)
    assert [relay.relay for relay in one.mesh.neighbours(net.now)] == [third.name.hex()]
    one.publish(b"a")
    net.settle()
    net.lossy.clear()
    net.relays[other.name] = other
    net.settle()
    one.publish(b"a")
    net.settle()
    assert other.came[one.name] == [b"a 1", b"a 5"]
    assert third.came[one.name] == [b"a %d" % number for number in range(1, 6)]
    # What was published after it was taken for gone, it was not sent.
    assert other.lost_of(one) == 2


def test_a_device_that_was_stopped_takes_no_other_one_for_gone_before_it_has_read_what_they_said():
    net = Net()
    one, other = relays(net, 2)
    for relay in (one, other):
        relay.want(b"a")
    net.settle()
    one.publish(b"a")
    while one.pump():
        pass
    net.now += 10 * EXPIRY_S
    other.do(other.mesh.tick(net.now))
    assert len(other.mesh.neighbours(net.now)) == 1
    while net.carry():
        pass
    assert other.came[one.name] == [b"a 1"]
    for _ in range(int(EXPIRY_S / 0.25)):
        net.now += 0.25
        other.do(other.mesh.tick(net.now))
    assert not other.mesh.neighbours(net.now)


def test_without_a_connection_messages_wait_and_others_stay_until_they_had_time_to_come_back():
    net = Net()
    one, other = relays(net, 2)
    other.want(b"a")
    net.settle()
    for relay in (one, other):
        relay.mesh.disconnected()
        relay.words.clear()
        relay.words.clear()
    one.publish(b"a")
    net.now += 10 * EXPIRY_S
    one.do(one.mesh.tick(net.now))
    assert one.mesh.waits and not one.pump()
    one.do(one.mesh.connected(net.now))
    while one.pump():
        pass
    assert one.mesh.waits and one.outbox.waiting == 1
    net.now += EXPIRY_S - 0.01
    one.do(one.mesh.tick(net.now))
    other.do(other.mesh.connected(net.now))
    net.settle()
    assert other.came == {one.name: [b"a 1"]}
    assert not one.mesh.waits


def test_what_waits_for_a_device_that_does_not_come_back_is_dropped_and_counted():
    net = Net()
    one, other = relays(net, 2)
    other.want(b"a")
    net.settle()
    one.mesh.disconnected()
    one.publish(b"a")
    one.do(one.mesh.connected(net.now))
    del net.relays[other.name]
    net.settle(EXPIRY_S + 1)
    assert not one.mesh.waits and not one.mesh.neighbours(net.now)
    assert {reason.value: count for reason, count in one.outbox.dropped.items()} == {"left": 1}
    assert one.outbox.waiting == 0


def test_the_way_to_another_one_and_back_is_measured_again_and_again():
    net = Net()
    one, other = relays(net, 2)
    net.settle()
    assert [relay.mesh.neighbours(net.now)[0].round_trip_s for relay in (one, other)] == [0.0, 0.0]
    net.now += PING_S
    asked = [action.word for action in one.mesh.tick(net.now) if isinstance(action, Say)]
    (ping,) = [word for word in asked if isinstance(word, Ping)]
    assert other.mesh.hear(ping, net.now) == [Say(one.name, Pong(other.name, ping.number))]
    # The answer to another question is none.
    one.mesh.hear(Pong(other.name, ping.number - 1), net.now + 0.25)
    assert one.mesh.neighbours(net.now)[0].round_trip_s == 0.0
    for late in (0.5, 0.75):
        one.mesh.hear(Pong(other.name, ping.number), net.now + late)
        assert one.mesh.neighbours(net.now)[0].round_trip_s == 0.5


def test_without_a_connection_no_way_is_known_until_it_is_measured_again():
    net = Net()
    one, _ = relays(net, 2)

    def way() -> float | None:
        return one.mesh.neighbours(net.now)[0].round_trip_s

    net.settle()
    assert way() == 0.0
    one.mesh.disconnected()
    assert way() is None
    one.do(one.mesh.connected(net.now))
    assert way() is None
    net.settle(PING_S + 1)
    assert way() == 0.0


def test_one_that_says_nothing_of_itself_is_older_and_is_asked_for_no_answer():
    (one,) = relays(Net(), 1)
    one.mesh.hear(Here(b"old45678", "host", id_of(()), ()), 1000.0)
    assert not [action for action in one.mesh.tick(1000.0) if isinstance(action.word, Ping)]
    assert one.mesh.neighbours(1000.0)[0].about is None


def test_many_others_are_asked_for_an_answer_a_few_at_a_time():
    (one,) = relays(Net(), 1)
    for number in range(150):
        word = Here(b"%08d" % number, "host", id_of(()), (), about=About(version="1", server=""))
        one.mesh.hear(word, 1000.0)
    asked: Counter[bytes] = Counter()
    for number in range(60):
        now = 1000.0 + number / 4
        for other in list(one.mesh._others.values()):
            other.heard = now
        found = [action.to for action in one.mesh.tick(now) if isinstance(action.word, Ping)]
        assert len(found) <= 5
        asked.update(found)
    assert len(asked) == 150 and set(asked.values()) == {2}
    # One that is not there does not answer.
    assert one.mesh.hear(Ping(b"stranger", 1), 1010.0) == []


def test_a_device_that_stops_is_gone_at_once():
    net = Net()
    one, other = relays(net, 2)
    net.settle()
    other.do(other.mesh.leave())
    while other.pump() or net.carry():
        pass
    assert not one.mesh.neighbours(net.now)


LONG = [b"%d" % number * 20 for number in range(100, 200)]


def test_an_interest_that_is_not_known_is_asked_for():
    net = Net()
    one, other = relays(net, 2)
    net.settle()
    other.want(*LONG)
    # The word that has the prefixes does not come.
    other.words.clear()
    net.settle()
    assert one.mesh.neighbours(net.now)[0].wants == 100
    assert set(one.mesh.streams) == {id_of(other.mesh.interest)}


def test_a_device_that_is_new_is_told_at_once_what_this_one_asks_for():
    (one,) = relays(Net(), 1)
    word = Here(b"new45678", "host", id_of(()), ())
    assert Say(word.relay, one.mesh._here()) in one.mesh.hear(word, 1000.0)
    assert one.mesh.hear(word, 1001.0) == []
    assert one.mesh.hear(replace(word, answer=True), 1002.0) == [Say(word.relay, one.mesh._here())]


def test_a_word_that_did_not_come_is_said_again_and_what_was_missed_meanwhile_is_lost():
    net = Net()
    one, other = relays(net, 2)
    net.settle()
    other.want(b"a")
    while other.pump() or net.carry():
        pass
    net.lossy.add(other.name)
    assert isinstance(one.outbox.take(1 << 20), OutServed)
    one.mesh.said(other.name, Served(one.name, 1, Mark(id_of((b"a",)), 0, 0), None), net.now)
    one.publish(b"a")
    while one.pump():
        pass
    net.lossy.clear()
    one.publish(b"a")
    net.settle()
    one.publish(b"a")
    net.settle()
    assert other.came[one.name] == [b"a 3"]
    assert other.lost_of(one) == 2
    assert one.mesh.neighbours(net.now)[0].served


def test_a_count_that_others_can_raise_is_shown_as_no_more_than_readers_take():
    mesh = Mesh(b"relay--1", "here", lambda stream: Mark(stream, 0, 0))
    mesh.connected(0.0)
    mesh.ask_for((b"a",), 0.0)
    mesh.hear(Here(b"other--1", "there", id_of(()), ()), 0.0)
    stream = id_of((b"a",))
    for turn in range(1, 5):
        mesh.hear(Served(b"other--1", turn, Mark(stream, 0, 0), Mark(stream, 0, 2**63 - 1)), 0.0)
    assert mesh.lost > MOST_COUNT
    assert [one.lost for one in mesh.neighbours(0.0)] == [MOST_COUNT]


def test_what_comes_twice_counts_once():
    net = Net()
    one, other = relays(net, 2)
    other.want(b"a")
    net.settle()
    one.publish(b"a")
    one.publish(b"a")
    one.outbox.close()
    pack = one.outbox.take(1 << 20)
    for _ in range(2):
        other.receive(pack.stream.hex(), pack.data)
        other.mesh.hear(Served(one.name, 1, Mark(pack.stream, 0, 0), None), net.now)
    assert other.came[one.name] == [b"a 1", b"a 2"]
    assert other.lost_of(one) == 0


def test_what_was_asked_for_before_is_listened_to_until_all_others_send_what_is_asked_for_now():
    net = Net()
    one, other = relays(net, 2)
    other.want(b"a")
    net.settle()
    other.want(b"b")
    other.want(b"c")
    a, b, c = (id_of((topic,)) for topic in (b"a", b"b", b"c"))
    assert other.mesh.listens == {a, b, c}
    net.settle(12)
    assert other.mesh.listens == {c}
    other.want(b"d")
    net.lossy.add(one.name)
    for _ in range(60):
        net.now += 0.25
        other.do(other.mesh.tick(net.now))
        # The other one is there, and still sends what it was asked for before.
        other.mesh._others[one.name].heard = net.now
    assert other.mesh.listens == {c, id_of((b"d",))}


def test_a_long_interest_is_told_when_it_is_new_and_not_each_second():
    net = Net()
    one, other = relays(net, 2)
    other.want(*LONG)
    assert [len(said.word.prefixes) for said in other.words] == [0, 100]
    net.settle()
    net.now += HERE_S
    told = other.mesh.tick(net.now)
    assert [said.word for said in told] == [replace(told[0].word, prefixes=None)]
    assert one.mesh.neighbours(net.now)[0].wants == 100


def test_words_about_others_are_no_words_of_them():
    net = Net()
    one, _ = relays(net, 2)
    net.settle()
    before = one.mesh.neighbours(net.now)
    assert not one.mesh.hear(Here(one.name, "me", id_of(()), ()), net.now)
    assert one.mesh.neighbours(net.now) == before


def test_no_more_than_so_many_devices_are_known():
    net = Net()
    (one,) = relays(net, 1)
    for number in range(2000):
        one.mesh.hear(Here(number.to_bytes(8, "big"), "x", id_of(()), ()), net.now)
    assert len(one.mesh.neighbours(net.now)) == 1000


def test_devices_that_ask_for_very_much_together_are_sent_more_than_they_ask_for():
    for length, count in ((9, 1000), (8000, 8)):
        mesh = Mesh(b"relay--1", "here", lambda stream: Mark(stream, 0, 0))
        mesh.connected(0.0)
        asked = {}
        for number in range(400):
            prefixes = tuple(b"%03d.%04d" % (number, one) + b"x" * (length - 8) for one in range(count))
            asked[id_of(prefixes)] = prefixes
            mesh.hear(Here(b"other%03d" % number, "there", id_of(prefixes), prefixes), 0.0)
        assert mesh.streams.keys() == asked.keys()
        for name, prefixes in asked.items():
            assert all(one.startswith(mesh.streams[name]) for one in prefixes)
        assert sum(map(len, mesh.streams.values())) <= MOST_SERVED + 400
        assert sum(len(one) for stream in mesh.streams.values() for one in stream) <= MOST_SERVED_BYTES


def test_one_of_many_devices_that_asks_for_something_else_has_no_other_looked_at():
    class Unwalked(dict):
        def walk(self, *arguments):
            raise AssertionError("all that is sent was looked at")

        __iter__ = keys = values = items = walk

    mesh = Mesh(b"relay--1", "here", lambda stream: Mark(stream, 0, 0))
    mesh.connected(0.0)
    names = [b"other--%d" % number for number in range(10)]
    for name in names:
        mesh.hear(Here(name, "there", id_of((b"a",)), (b"a",)), 0.0)
    sent = mesh._sent
    mesh.streams, mesh._others = Unwalked(mesh.streams), Unwalked(mesh._others)
    sent.streams = mesh.streams
    for name in names:
        mesh.hear(Here(name, "there", id_of((name,)), (name,)), 0.0)
    assert (len(mesh.streams), sent._prefixes, sent._bytes) == (10, 10, 80)
    for name in names:
        mesh.hear(Gone(name), 0.0)
    assert (len(mesh.streams), sent._prefixes, sent._bytes) == (0, 0, 0)


def test_a_device_that_is_heard_without_a_change_is_sent_the_same_and_is_there():
    mesh = Mesh(b"relay--1", "here", lambda stream: Mark(stream, 0, 0))
    mesh.connected(0.0)
    first, other = (Here(b"other--1", "there", id_of((one,)), (one,)) for one in (b"a", b"b"))
    assert mesh.changes(first)
    mesh.hear(first, 0.0, changes=False)
    assert len(mesh.neighbours(0.0)) == 1
    assert not mesh.streams
    mesh.hear(first, 0.0)
    assert not mesh.changes(first)
    assert mesh.changes(other)
    mesh.hear(other, 1.0, changes=False)
    assert list(mesh.streams.values()) == [(b"a",)]
    mesh.hear(other, 1.0)
    assert list(mesh.streams.values()) == [(b"b",)]
