"""What only the native core of the switch can get wrong: where bytes lie, when they may go, and odd sizes of all kinds.

tests/wire/test_switch_core.py, test_switch_topics.py and test_switch_queue.py hold every core to the contract.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any

import pytest

from geventrelay.engine.counters import Drop
from geventrelay.engine.outlet import CUT, is_uncut
from geventrelay.switch.contract import Destination, Ended, Progress, SidePlan, SlowSubscriber
from geventrelay.terms import Payload, WhenFull
from geventrelay.zmtp import frames
from geventrelay.zmtp.bounds import Bounds
from geventrelay.zmtp.errors import Fault
from geventrelay.zmtp.events import Peer
from geventrelay.zmtp.greeting import Version

native = pytest.importorskip(
    "geventrelay.switch.native.core",
    reason="the native core is not built",
    # One that was built and does not load fails here.
    exc_type=ModuleNotFoundError,
)

Message = tuple[bytes, ...]
# Around the sizes of heads, of a read, and of a block.
SIZES = (0, 1, 99, 253, 254, 255, 256, 16_000, 65_536, 65_527, 200_000, 262_144, 700_000)


class Other:
    """The other end of a peer: a socket pair, and what has come."""

    def __init__(self, side: Any, version: Version = Version.V3_1, **how: Any) -> None:
        self.version = version
        self.peer = side.new_peer(queues_before=False, **how)
        self.connect()

    def connect(self, rest: bytes = b"") -> None:
        self.ours, self.theirs = socket.socketpair()
        for one in (self.ours, self.theirs):
            one.setblocking(False)
        self.peer.attach(self.ours.fileno(), Peer(self.version, "PUSH", b""), rest)
        self.to_send, self.came = b"", b""

    def close(self) -> None:
        self.peer.detach()
        self.ours.close()
        self.theirs.close()

    def push(self, most: int = 1 << 20) -> int:
        """Send what there is; how many bytes went."""
        try:
            sent = self.theirs.send(self.to_send[:most]) if self.to_send else 0
        except BlockingIOError:
            sent = 0
        self.to_send = self.to_send[sent:]
        return sent

    def pull(self, most: int = 1 << 20) -> bytes:
        """Read what has come; it is added to all that came."""
        try:
            data = self.theirs.recv(most)
        except BlockingIOError:
            data = b""
        self.came += data
        return data

    def messages(self) -> list[Message]:
        """All whole messages that have come."""
        reader = frames.FrameReader(1 << 30, 1 << 30, v1_0=self.version is Version.V1_0)
        reader.feed(self.came)
        found, parts = [], []
        while (frame := reader.next()) is not None:
            parts.append(frame.body)
            if not frame.more:
                found.append(tuple(parts))
                parts = []
        return found


class Rig:
    """A PULL and a PUSH joined, with as many peers as asked for."""

    def __init__(self, **plan: Any) -> None:
        how = {name: plan.pop(name) for name in ("when_full",) if name in plan}
        bounds = plan.pop("bounds", Bounds())
        self.core = native.NativeCore()
        self.pull = self.core.side(SidePlan("frontend", "PULL", bounds=bounds))
        self.push = self.core.side(SidePlan("backend", "PUSH", **plan))
        self.way = self.core.way(self.pull, [Destination(self.push, **how)])
        self.others: list[Other] = []

    def sender(self, version: Version = Version.V3_1) -> Other:
        return self._add(Other(self.pull, version))

    def worker(self, version: Version = Version.V3_1) -> Other:
        return self._add(Other(self.push, version))

    def _add(self, other: Other) -> Other:
        self.others.append(other)
        return other


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(**plan: Any) -> Rig:
        made.append(Rig(**plan))
        return made[-1]

    yield make
    for one in made:
        for other in one.others:
            other.close()


def encoded(messages: Sequence[Message], version: Version = Version.V3_1) -> bytes:
    return b"".join(frames.encode_message(one, v1_0=version is Version.V1_0) for one in messages)


def move_all(senders: Sequence[Other], workers: Sequence[Other], pieces: Callable[[], int] = lambda: 1 << 20) -> None:
    """Until nothing moves any more."""
    moved = True
    while moved:
        moved = False
        for one in senders:
            moved |= one.push(pieces()) > 0
            assert one.peer.read(inf) is not Progress.ENDED, one.peer.ended
        for one in workers:
            one.peer.write(inf)
            moved |= bool(one.pull(pieces()))


@pytest.mark.parametrize("versions", [*itertools.product((Version.V3_1, Version.V1_0), repeat=2)], ids=str)
def test_messages_of_all_sizes_arrive_as_they_were(rig, versions):
    one = rig()
    sender, worker = one.sender(versions[0]), one.worker(versions[1])
    messages = [(b"x" * size,) for size in SIZES] + [(b"a" * size, b"", b"b" * size) for size in SIZES]
    sender.to_send = encoded(messages, versions[0])
    move_all([sender], [worker])
    assert worker.messages() == messages
    counts = worker.peer.counts()
    assert (counts.matched, counts.delivered, counts.waiting, counts.waiting_bytes) == (len(messages),) * 2 + (0, 0)
    assert one.way.counters.received_bytes == sum(len(part) for message in messages for part in message)


@pytest.mark.parametrize("seed", range(4))
def test_pieces_of_any_size_make_no_difference(rig, seed):
    chance = random.Random(seed)
    one = rig(sndhwm=5)
    senders, workers = [one.sender() for _ in range(3)], [one.worker() for _ in range(2)]
    sent: list[Message] = []
    for number, sender in enumerate(senders):
        mine = [
            (b"%d %d " % (number, index) + b"x" * chance.choice(SIZES[:10]),) + (b"tail",) * chance.randrange(3)
            for index in range(40)
        ]
        sent += mine
        sender.to_send = encoded(mine)
    move_all(senders, workers, lambda: chance.choice((1, 7, 1000, 30_000, 100_000)) + chance.randrange(50))
    got = [message for worker in workers for message in worker.messages()]
    assert sorted(got) == sorted(sent)
    assert one.way.counters.received == one.way.counters.outlets[0].sent == len(sent)
    for number, worker in itertools.product(range(3), workers):
        mine = [int(message[0].split()[1]) for message in worker.messages() if message[0].startswith(b"%d " % number)]
        assert mine == sorted(mine)


def test_what_waits_is_kept_while_others_go_on(rig):
    one = rig(sndhwm=30, when_full=WhenFull.DROP)
    sender, slow, quick = one.sender(), one.worker(), one.worker()
    messages = [(b"%d" % number + b"x" * 20_000,) for number in range(300)]
    for message in messages:
        sender.to_send += encoded([message])
        while sender.push():
            sender.peer.read(inf)
        quick.peer.write(inf)
        quick.pull()
    move_all([], [slow, quick])
    counts = [worker.peer.counts() for worker in (slow, quick)]
    assert [one.matched - one.delivered - one.waiting for one in counts] == [0, 0]
    assert sorted(slow.messages() + quick.messages()) == sorted(messages)
    assert one.way.counters.outlets[0].sent == 300


def test_with_all_full_messages_are_dropped_and_each_is_counted(rig):
    one = rig(sndhwm=2, when_full=WhenFull.DROP)
    sender, worker = one.sender(), one.worker()
    sender.to_send = encoded([(b"x" * 50_000,)] * 100)
    while sender.push():
        sender.peer.read(inf)
    outlet = one.way.counters.outlets[0]
    assert one.way.counters.received == 100 == outlet.sent + outlet.dropped[Drop.FULL]
    assert worker.peer.counts().waiting == 2
    move_all([], [worker])
    assert len(worker.messages()) == outlet.sent


def test_a_command_between_the_parts_of_a_message_is_taken_out(rig):
    one = rig()
    sender, worker = one.sender(), one.worker()
    ping = frames.encode(b"\x04PING\x00\x00here", command=True)
    head, tail = frames.encode(b"a" * 300, more=True), frames.encode(b"b", more=True)
    sender.to_send = (head + ping + tail + ping + frames.encode(b"c") + encoded([(b"next",)])) * 3
    move_all([sender], [worker], lambda: 40)
    assert worker.messages() == [(b"a" * 300, b"b", b"c"), (b"next",)] * 3
    sender.pull()
    assert sender.came == frames.encode(b"\x04PONGhere", command=True) * 6


def test_a_message_written_in_half_begins_anew_with_the_next_connection(rig):
    one = rig(sndhwm=3)
    sender, worker = one.sender(), one.worker()
    messages = [(b"%d" % number + b"x" * 400_000,) for number in range(4)]
    sender.to_send = encoded(messages)
    while sender.push():
        sender.peer.read(inf)
    assert sender.peer.read(inf) is Progress.NO_ROOM
    assert not one.way.has_room
    assert one.core.take_stalled() == [worker.peer]
    assert worker.peer.counts().delivered == 0
    worker.close()
    worker.version = Version.V1_0
    worker.connect()
    move_all([sender], [worker])
    assert worker.messages() == messages


def test_what_comes_with_the_handshake_is_read_first(rig):
    one = rig()
    sender, worker = one.sender(), one.worker()
    sender.close()
    sender.connect(encoded([(b"first",)]) + b"\0\x06sec")
    sender.to_send = b"ond" + encoded([(b"third",)])
    move_all([sender], [worker])
    assert worker.messages() == [(b"first",), (b"second",), (b"third",)]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x08", Fault.BAD_FRAME),
        (b"\x05", Fault.BAD_FRAME),
        (b"\x02" + b"\xff" * 8, Fault.TOO_LARGE),
        (b"\x06" + b"\xff" * 8, Fault.TOO_LARGE),
        (b"\x00\x65", Fault.TOO_LARGE),
        (b"\x01\x50" + b"x" * 80 + b"\x00\x47", Fault.UNFINISHED),
        (b"\x01\x00" * 6, Fault.TOO_MANY_PARTS),
        (b"\x04\x00", Fault.BAD_FRAME),
        (b"\x04\x05\x05PING", Fault.BAD_FRAME),
        (b"\x04\x05\x04PING", Fault.BAD_FRAME),
    ],
)
def test_what_must_not_come_ends_the_connection_after_what_came_before(rig, data, fault):
    one = rig(bounds=Bounds(frame_bytes=100, message_bytes=150, parts=5, command_bytes=100))
    sender, worker = one.sender(), one.worker()
    sender.to_send = encoded([(b"good",)]) + data
    sender.push()
    assert sender.peer.read(inf) is Progress.ENDED
    ended = sender.peer.ended
    assert isinstance(ended, Ended)
    assert ended.fault is fault
    worker.pull()
    assert worker.messages() == [(b"good",)]
    sender.close()
    assert sender.peer.ended is None


@pytest.mark.parametrize(("cut", "fault"), [(b"", None), (b"\0", Fault.CUT), (b"\1\0", Fault.CUT)])
def test_an_end_within_a_message_is_a_fault(rig, cut, fault):
    sender = rig().sender()
    sender.theirs.send(cut)
    sender.theirs.close()
    assert sender.peer.read(inf) is Progress.ENDED
    assert sender.peer.ended.fault is fault


def test_a_turn_that_is_over_at_once_moves_one_message(rig):
    one = rig()
    sender, worker = one.sender(), one.worker()
    sender.to_send = encoded([(b"x" * 40_000,)] * 3)
    sender.push()
    while one.way.counters.received < 3:
        worker.pull()
        assert sender.peer.read(0.0) is Progress.TURN_OVER
    assert sender.peer.read(0.0) is Progress.NOT_READY


def test_a_large_length_costs_nothing_before_its_bytes_come(rig):
    psutil = pytest.importorskip("psutil")
    one = rig(bounds=Bounds(frame_bytes=1 << 40, message_bytes=1 << 40))
    before = psutil.Process().memory_info().vms
    for _ in range(100):
        sender = one.sender()
        sender.theirs.send(b"\2" + (1 << 39).to_bytes(8, "big") + b"x" * 100)
        assert sender.peer.read(inf) is Progress.NOT_READY
    assert psutil.Process().memory_info().vms - before < 10 << 20


def test_a_tap_sees_the_parts_of_each_message(rig):
    one = rig()
    sender, worker = one.sender(), one.worker()
    seen: list[Sequence[bytes]] = []
    messages = [(b"a", b"", b"c" * 300), (b"",)]
    for tap in (seen.append, None):
        one.way.set_tap(tap)
        sender.to_send = encoded(messages)
        move_all([sender], [worker])
    assert [tuple(parts) for parts in seen] == messages


# Publishing


class News:
    """A PULL and a PUB joined, with a publisher and subscribers."""

    def __init__(self, **plan: Any) -> None:
        self.core = native.NativeCore()
        self.pull = self.core.side(SidePlan("frontend", "PULL"))
        self.pub = self.core.side(SidePlan("backend", "PUB", **plan))
        self.way = self.core.way(self.pull, [Destination(self.pub)])
        self.publisher = Other(self.pull)
        self.others = [self.publisher]

    def subscriber(self, *topics: bytes, version: Version = Version.V3_1) -> Other:
        other = Other(self.pub, version)
        self.others.append(other)
        for topic in topics:
            self.ask(other, topic)
        return other

    def ask(self, other: Other, topic: bytes, wanted: bool = True) -> None:
        name = b"\x09SUBSCRIBE" if wanted else b"\x06CANCEL"
        if other.version is Version.V3_1:
            other.to_send += frames.encode(name + topic, command=True)
        else:
            other.to_send += frames.encode(bytes([wanted]) + topic)
        while other.to_send:
            other.push()
            assert other.peer.read(inf) is not Progress.ENDED, other.peer.ended

    def publish(self, messages: Sequence[Message]) -> None:
        self.publisher.to_send += encoded(messages)
        while self.publisher.push() or self.publisher.to_send:
            self.publisher.peer.read(inf)


@pytest.fixture
def news() -> Iterator[Callable[..., News]]:
    made: list[News] = []

    def make(**plan: Any) -> News:
        made.append(News(**plan))
        return made[-1]

    yield make
    for one in made:
        for other in one.others:
            other.close()


@pytest.mark.parametrize("seed", range(6))
def test_each_subscriber_gets_what_it_has_asked_for_and_nothing_else(news, seed):
    chance = random.Random(seed)
    one = news(sndhwm=0)

    def topic() -> bytes:
        return bytes(chance.choice(b"ab") for _ in range(chance.randrange(7))) + b"long" * chance.choice((0, 0, 0, 90))

    versions = (Version.V3_1, Version.V3_0, Version.V2_0)
    subscribers = [one.subscriber(version=chance.choice(versions)) for _ in range(8)]
    wanted: dict[int, set[bytes]] = {index: set() for index in range(8)}
    expected: dict[int, list[Message]] = {index: [] for index in range(8)}
    for _ in range(120):
        index = chance.randrange(8)
        if chance.random() < 0.03:
            move_all([], subscribers[index : index + 1])
            assert subscribers[index].messages() == expected[index]
            subscribers[index].close()
            subscribers[index].connect()
            wanted[index], expected[index] = set(), []
        elif chance.random() < 0.6:
            mine = chance.choice(sorted(wanted[index]) or [b""]) if chance.random() < 0.3 else topic()
            keep = chance.random() < 0.7
            one.ask(subscribers[index], mine, keep)
            wanted[index] = wanted[index] | {mine} if keep else wanted[index] - {mine}
            assert subscribers[index].peer.counts().subscriptions == len(wanted[index])
        else:
            messages = [(topic() + b" payload", b"x" * chance.randrange(400)) for _ in range(chance.randrange(9))]
            one.publish(messages)
            for number, topics in wanted.items():
                expected[number] += [each for each in messages if each[0].startswith(tuple(topics))]
    move_all([], subscribers)
    for index, subscriber in enumerate(subscribers):
        assert subscriber.messages() == expected[index]
        counts = subscriber.peer.counts()
        assert counts.matched == counts.delivered
        assert not counts.dropped
    assert one.way.counters.received == one.way.counters.outlets[0].sent


def test_what_one_who_reads_nothing_does_not_get_is_counted_and_the_others_get_all(news):
    one = news(sndhwm=50)
    slow, quick = one.subscriber(b""), one.subscriber(b"1")
    messages = [(b"%d" % number + b"x" * 9000,) for number in range(400)]
    for message in messages:
        one.publish([message])
        quick.pull()
    counts = slow.peer.counts()
    assert counts.matched == 400 == counts.delivered + counts.waiting + sum(counts.dropped.values())
    assert counts.waiting == 50
    move_all([], [slow, quick])
    assert quick.messages() == [one for one in messages if one[0].startswith(b"1")]
    assert slow.messages() == messages[: 400 - sum(counts.dropped.values())]


def test_the_oldest_is_dropped_where_that_is_asked_for_but_none_that_is_written_in_half(news):
    one = news(sndhwm=5, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    slow = one.subscriber(b"")
    messages = [(b"%d" % number + b"x" * 9000,) for number in range(100)]
    one.publish(messages)
    counts = slow.peer.counts()
    assert counts.matched == 100 == counts.delivered + counts.waiting + sum(counts.dropped.values())
    move_all([], [slow])
    got = slow.messages()
    assert got[-4:] == messages[-4:]
    assert len(got) == 100 - sum(counts.dropped.values())
    assert got == sorted(got, key=messages.index)


def test_a_slow_subscriber_is_disconnected_where_that_is_asked_for(news):
    one = news(sndhwm=5, slow_subscriber=SlowSubscriber.DISCONNECT)
    slow, quick = one.subscriber(b""), one.subscriber(b"")
    messages = [(b"x" * 9000,)] * 100
    for message in messages:
        one.publish([message])
        quick.pull()
    assert one.core.take_ended() == [slow.peer]
    assert slow.peer.ended.fault is Fault.SLOW
    counts = slow.peer.counts()
    assert counts.matched == counts.delivered + sum(counts.dropped.values())
    assert (counts.waiting, counts.subscriptions) == (0, 0)
    assert quick.messages() == messages


def test_all_wait_for_the_slowest_where_that_is_asked_for(news):
    one = news(sndhwm=5, slow_subscriber=SlowSubscriber.BLOCK)
    slow, quick = one.subscriber(b""), one.subscriber(b"")
    messages = [(b"%d" % number + b"x" * 900,) for number in range(3000)]
    one.publisher.to_send = encoded(messages)
    for _ in range(100):
        one.publisher.push()
        blocked = one.publisher.peer.read(inf) is Progress.NO_ROOM
        quick.pull()
    assert blocked
    assert not one.way.has_room
    assert slow.peer.counts().waiting == 5
    move_all([one.publisher], [slow, quick])
    assert slow.messages() == quick.messages() == messages
    assert not slow.peer.counts().dropped


def test_what_waits_too_long_is_dropped(news):
    one = news(subscriber_max_age_s=1e-9)
    slow = one.subscriber(b"")
    one.publish([(b"x" * 9000,)] * 100)
    counts = slow.peer.counts()
    assert counts.matched == 100 == counts.delivered + counts.waiting + sum(counts.dropped.values())
    assert counts.waiting <= 1
    move_all([], [slow])
    assert len(slow.messages()) == 100 - sum(counts.dropped.values())


def test_few_messages_that_wait_for_a_slow_subscriber_keep_little_memory(news):
    psutil = pytest.importorskip("psutil")
    one = news(sndhwm=0)
    slow, quick = one.subscriber(b"rare"), one.subscriber(b"often")
    one.publish([(b"rare" + b"x" * 100_000,)] * 10)
    assert slow.peer.counts().waiting
    rare, often = [(b"rare%d" % number,) for number in range(300)], [(b"often" + b"x" * 1000,)] * 100
    before = psutil.Process().memory_info().rss
    for message in rare:
        one.publish([*often, message])
        quick.pull()
        quick.came = b""
    assert psutil.Process().memory_info().rss - before < 16 << 20
    move_all([], [slow])
    assert slow.messages()[10:] == rare


def test_a_connection_with_many_subscriptions_ends_at_once_and_is_forgotten_by_and_by(news):
    one = news()
    many = one.subscriber()
    for start in range(0, 20_000, 500):
        many.to_send += b"".join(
            frames.encode(b"\x09SUBSCRIBE%d" % number, command=True) for number in range(start, start + 500)
        )
        one.ask(many, b"")
    other = one.subscriber(b"19")
    assert many.peer.counts().subscriptions == 20_001
    many.peer.detach()
    assert many.peer.counts().subscriptions == 0
    for _ in range(50):
        one.publish([(b"1999",)])
    move_all([], [other])
    assert many.peer.counts().matched == 0
    assert len(other.messages()) == 50


@pytest.mark.parametrize("as_command", [True, False])
def test_topics_are_bounded_in_length_and_number(news, as_command):
    bounds = Bounds(topic_bytes=10)
    one = news(bounds=bounds, max_subscriptions=3)

    def encode(topic: bytes) -> bytes:
        return frames.encode(b"\x09SUBSCRIBE" + topic, command=True) if as_command else frames.encode(b"\x01" + topic)

    for topics, fault in (
        ([b"x" * 10, b"x" * 11], Fault.TOPIC_TOO_LONG),
        ([b"a", b"b", b"b", b"c", b"d"], Fault.TOO_MANY_SUBSCRIPTIONS),
    ):
        other = one.subscriber()
        other.theirs.send(b"".join(map(encode, topics)))
        assert other.peer.read(inf) is Progress.ENDED
        assert other.peer.ended.fault is fault


@pytest.mark.parametrize("version", [Version.V3_1, Version.V3_0, Version.V1_0], ids=str)
def test_a_sub_asks_for_its_topics_and_takes_no_others(version):
    core = native.NativeCore()
    sub, pub = core.side(SidePlan("frontend", "SUB")), core.side(SidePlan("backend", "PUB"))
    way = core.way(sub, [Destination(pub)])
    sub.subscribe(b"early")
    publisher, reader = Other(sub, version), Other(pub)
    reader.to_send = frames.encode(b"\x09SUBSCRIBE", command=True)
    for change, topic in (
        (sub.subscribe, b"late"),
        (sub.subscribe, b"late"),
        (sub.subscribe, b"x"),
        (sub.cancel, b"x"),
    ):
        change(topic)
    sub.cancel(b"late")
    assert core.take_stalled() == [publisher.peer]
    messages = [(b"early", b"1"), (b"other",), (b"late 2",), (b"x",)]
    publisher.to_send = encoded(messages, version)
    move_all([reader, publisher], [reader, publisher])
    told = [(b"\x01early",), (b"\x01late",)]
    commands = [b"\x09SUBSCRIBEearly", b"\x09SUBSCRIBElate"]
    asked = publisher.came if version is Version.V3_1 else publisher.messages()
    assert asked == (
        b"".join(frames.encode(one, command=True) for one in commands) if version is Version.V3_1 else told
    )
    assert reader.messages() == [messages[0], messages[2]]
    assert (way.counters.received, publisher.peer.counts().received) == (2, 4)
    publisher.close()
    reader.close()


@pytest.mark.parametrize("payload", Payload)
def test_of_each_message_goes_what_is_asked_for_as_in_python(payload):
    core = native.NativeCore()
    pull = core.side(SidePlan("frontend", "PULL"))
    push, pub = core.side(SidePlan("push", "PUSH", sndhwm=0)), core.side(SidePlan("pub", "PUB", sndhwm=0))
    way = core.way(pull, [Destination(push, payload=payload), Destination(pub, payload=payload)])
    sender, worker, reader = Other(pull), Other(push), Other(pub)
    for topic in (b"ab", b"{", b"\xff"):
        reader.to_send += frames.encode(b"\x09SUBSCRIBE" + topic, command=True)
    firsts = [
        b"",
        b" ",
        b"a b",
        b"ab ab",
        b"ab" * 130 + b" ab" * 100,
        b"\xff a",
        b'{"a": 1}',
        b"ab\x00 ab",
        "é x".encode(),
    ]
    messages = [(first, *rest) for first in firsts for rest in ([], [b""], [b"ab", b"x" * 300], [b"ab" * 40_000])]
    sender.to_send = encoded(messages)
    move_all([reader, sender], [worker, reader])
    cut = CUT[payload] or (lambda parts: parts)
    expected = [tuple(map(bytes, cut(message))) for message in messages]
    assert worker.messages() == expected
    assert reader.messages() == [one for one in expected if one[0].startswith((b"ab", b"{", b"\xff"))]
    for outlet in way.counters.outlets:
        assert outlet.uncut == sum(is_uncut(payload, message) for message in messages)
        assert (outlet.sent_parts, outlet.sent_bytes) == (
            sum(map(len, expected)),
            sum(len(part) for message in expected for part in message),
        )
    for other in (sender, worker, reader):
        other.close()


def test_a_write_ends_with_its_turn_and_says_that_there_is_more(rig):
    one = rig(sndhwm=0)
    sender, workers = one.sender(), [one.worker(), one.worker()]
    # Each worker gets every second message, so what waits for it is in many pieces.
    messages = [(b"%d" % number + b"x" * (20_000 if number < 60 else 0),) for number in range(1000)]
    sender.to_send = encoded(messages)
    while sender.push():
        sender.peer.read(inf)
    turns = 0
    while workers[0].peer.wants_write:
        while workers[0].pull():
            pass
        turns += workers[0].peer.write(0.0) is Progress.TURN_OVER
    assert turns > 1
    workers[0].pull()
    assert workers[0].messages() == messages[::2]


def test_a_large_message_may_come_byte_by_byte(rig):
    one = rig()
    sender, worker = one.sender(), one.worker()
    message = (b"x" * 70_000, b"y" * 3000)
    data = encoded([message, (b"next",)])
    for piece in (data[:60_000], *(data[at : at + 1] for at in range(60_000, 60_200)), data[60_200:]):
        sender.to_send += piece
        move_all([sender], [worker])
    assert worker.messages() == [message, (b"next",)]
