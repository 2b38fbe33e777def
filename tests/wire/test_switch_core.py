"""What every core of the switch does, with socket pairs and the bytes of ZMTP."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Core, Destination, Peer, Progress, Side, SidePlan, SlowSubscriber, Way
from geventrelay.switch.core_python import PythonCore
from geventrelay.switch.native.choose import native_core_module
from geventrelay.terms import Payload, WhenFull
from geventrelay.zmtp import commands, events, frames
from geventrelay.zmtp.connection import Bounds
from geventrelay.zmtp.errors import Fault
from geventrelay.zmtp.frames import FrameReader
from geventrelay.zmtp.greeting import Version

CORES: dict[str, Callable[[], Core]] = {"python": PythonCore}
if (native := native_core_module()) is not None:
    CORES["native"] = native.NativeCore
NEVER = math.inf


@pytest.fixture(params=CORES)
def make_core(request: pytest.FixtureRequest) -> Callable[[], Core]:
    return CORES[request.param]


def wire(*parts: bytes) -> bytes:
    """A message as frames."""
    return frames.encode_message(parts)


def command(name: bytes, data: bytes = b"") -> bytes:
    return frames.encode(commands.Command(name, data).body, command=True)


def many(count: int, size: int = 20, first: int = 0) -> list[bytes]:
    """Different messages of one part."""
    return [b"%d" % number + b"x" * size for number in range(first, first + count)]


@dataclass
class Far:
    """The other end of a peer's connection."""

    peer: Peer
    ours: socket.socket
    theirs: socket.socket
    v1_0: bool = False
    _reader: FrameReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = FrameReader(1 << 30, 1 << 30, v1_0=self.v1_0)

    def send(self, data: bytes) -> Progress:
        """Send `data`, as much as the kernel takes at once, and have the core read."""
        self.put(data)
        return self.read()

    def put(self, data: bytes) -> None:
        self.theirs.sendall(data)

    def read(self, until: float = NEVER) -> Progress:
        return self.peer.read(until)

    def bytes(self) -> bytes:
        """All that has come, in one piece."""
        found = []
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self.theirs.recv(1 << 20):
                found.append(data)
        return b"".join(found)

    def frames(self) -> list[frames.Frame]:
        self._reader.feed(self.bytes())
        found = []
        while (frame := self._reader.next()) is not None:
            found.append(frame)
        return found

    def got(self) -> list[list[bytes]]:
        """The messages that have come, each as its parts. Commands are left out."""
        found: list[list[bytes]] = [[]]
        for frame in self.frames():
            if not frame.command:
                found[-1].append(frame.body)
                if not frame.more:
                    found.append([])
        assert found.pop() == [], "a message without its end"
        return found

    def singles(self) -> list[bytes]:
        """The same where each has one part."""
        return [body for (body,) in self.got()]

    def all_singles(self) -> list[bytes]:
        """The same, until nothing waits for it any more."""
        found = self.singles()
        while self.peer.wants_write:
            self.peer.write(NEVER)
            more = self.singles()
            assert more, "what waits is not written"
            found += more
        return found

    def hang_up(self) -> None:
        """Have its connection go, from the core's view."""
        self.peer.detach()
        self.ours.close()
        self.theirs.close()


class World:
    """A core, and the other ends of its peers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.fars: list[Far] = []

    def side(self, type: str, **options: Any) -> Side:
        return self.core.side(SidePlan(type.lower(), type, **options))

    def way(self, source: str | Side, *destinations: Side | Destination) -> tuple[Side, Way]:
        """A side of a type, and the way from it."""
        side = self.side(source) if isinstance(source, str) else source
        every = [one if isinstance(one, Destination) else Destination(one) for one in destinations]
        return side, self.core.way(side, every)

    def far(self, side: Side, **options: Any) -> Far:
        """A peer with a connection."""
        return self.connect(side.new_peer(queues_before=False), **options)

    def connect(
        self,
        peer: Peer,
        *,
        version: Version = Version.V3_1,
        routing_id: bytes = b"",
        rest: bytes = b"",
        small: bool = False,
    ) -> Far:
        """A connection for a `peer`; one that takes little if it is to be `small`."""
        ours, theirs = socket.socketpair()
        if small:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for one in (ours, theirs):
            one.setblocking(False)
        found = Far(peer, ours, theirs, version is Version.V1_0)
        self.fars.append(found)
        peer.attach(ours.fileno(), events.Peer(version, None, routing_id), rest)
        return found

    def close(self) -> None:
        for far in self.fars:
            far.hang_up()


@pytest.fixture
def world(make_core: Callable[[], Core]) -> Iterator[World]:
    made = World(make_core())
    yield made
    made.close()


@contextlib.contextmanager
def new_world(make_core: Callable[[], Core]) -> Iterator[World]:
    """One for each example of a property."""
    made = World(make_core())
    try:
        yield made
    finally:
        made.close()


def check(way: Way, *fars: Far) -> None:
    """All accounts hold."""
    counters = way.counters
    for outlet in counters.outlets:
        assert counters.received == outlet.sent + sum(outlet.dropped.values())
    for far in fars:
        counts = far.peer.counts()
        assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting


MESSAGES = st.lists(
    st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 255, b"y" * 256, b"z" * 70_000])), min_size=1),
    max_size=20,
)  # fmt: skip


# From one peer to another


def test_a_message_goes_from_one_peer_to_the_other_byte_for_byte(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"one") + wire(b"", b"two", b"x" * 300) + wire(b"")
    assert source.send(data) is Progress.NOT_READY
    assert sink.bytes() == data
    assert (way.counters.received, way.counters.received_parts, way.counters.received_bytes) == (3, 5, 306)
    outlet = way.counters.outlets[0]
    assert (outlet.sent, outlet.sent_parts, outlet.sent_bytes) == (3, 5, 306)
    assert (source.peer.counts().received, source.peer.counts().received_bytes) == (3, 306)
    assert (sink.peer.counts().matched, sink.peer.counts().delivered) == (3, 3)
    assert source.peer.heard == len(data)
    check(way, source, sink)


@given(messages=MESSAGES, data=st.data())
@settings(max_examples=40)
def test_it_does_not_matter_how_bytes_are_cut(make_core, messages, data):
    whole = b"".join(wire(*parts) for parts in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    with new_world(make_core) as world:
        push = world.side("PUSH", sndhwm=0)
        pull, way = world.way("PULL", push)
        source, sink = world.far(pull), world.far(push)
        found = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            for at in range(start, end, 100_000):
                source.send(whole[at : min(at + 100_000, end)])
                found.append(sink.bytes())
        while sink.peer.wants_write:
            sink.peer.write(NEVER)
            found.append(sink.bytes())
        assert b"".join(found) == whole
        check(way, source, sink)


def test_bytes_may_come_one_by_one(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"one") + wire(b"two", b"", b"x" * 300) + command(b"PING", b"\0\0hi") + wire(b"three")
    for at in range(len(data)):
        assert source.send(data[at : at + 1]) is Progress.NOT_READY
    assert sink.got() == [[b"one"], [b"two", b"", b"x" * 300], [b"three"]]
    assert source.bytes() == command(b"PONG", b"hi")
    check(way, source, sink)


def test_what_came_with_the_handshake_comes_first(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull, rest=wire(b"one") + wire(b"two")[:3]), world.far(push)
    source.send(wire(b"two")[3:])
    assert sink.singles() == [b"one", b"two"]


def test_a_message_larger_than_every_buffer_passes(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"a") + wire(b"x" * 1_000_000, b"y" * 300_000) + wire(b"b")
    found = b""
    for at in range(0, len(data), 50_000):
        source.send(data[at : at + 50_000])
        found += sink.bytes()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.bytes()
    assert found == data
    check(way, source, sink)


# Taking turns, and waiting


def test_push_gives_each_message_to_one_peer_in_turn(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sinks = world.far(pull), [world.far(push) for _ in range(3)]
    source.send(b"".join(map(wire, many(8))))
    assert [sink.singles() for sink in sinks] == [many(8)[0::3], many(8)[1::3], many(8)[2::3]]
    check(way, source, *sinks)


def test_push_passes_over_peers_that_are_full(world):
    push = world.side("PUSH", sndhwm=2)
    pull, way = world.way("PULL", push)
    source, slow, sink = world.far(pull), world.far(push, small=True), world.far(push)
    large = b"x" * 300_000
    for _ in range(4):
        for at in range(0, len(wire(large)), 60_000):
            source.send(wire(large)[at : at + 60_000])
            sink.frames()
    assert slow.peer.counts().waiting == 2
    source.send(b"".join(map(wire, many(50))))
    assert slow.peer.counts().waiting == 2
    check(way, source, slow, sink)


def test_a_way_waits_while_every_peer_is_full_and_goes_on_then(world):
    push = world.side("PUSH", sndhwm=5)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    sent = many(600, 100)
    assert source.send(b"".join(map(wire, sent))) is Progress.NO_ROOM
    assert not way.has_room
    assert sink.peer.counts().waiting == 5
    assert world.core.take_stalled() == [sink.peer]
    assert world.core.take_stalled() == []
    received = way.counters.received
    assert source.read() is Progress.NO_ROOM
    assert way.counters.received == received
    found = sink.singles()
    while len(found) < len(sent):
        sink.peer.write(NEVER)
        assert way.has_room
        source.read()
        found += sink.singles()
        check(way, source, sink)
    assert found == sent


def test_a_way_waits_for_the_first_peer(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source = world.far(pull)
    assert source.send(wire(b"one") + wire(b"two")) is Progress.NO_ROOM
    assert (way.counters.received, way.has_room) == (0, False)
    sink = world.far(push)
    assert way.has_room
    assert source.read() is Progress.NOT_READY
    assert sink.singles() == [b"one", b"two"]


def test_a_destination_that_drops_counts_why(world):
    push = world.side("PUSH", sndhwm=3)
    pull, way = world.way("PULL", Destination(push, WhenFull.DROP))
    source = world.far(pull)
    assert source.send(b"".join(map(wire, many(10)))) is Progress.NOT_READY
    assert way.counters.outlets[0].dropped == {Drop.NO_PEER: 10}
    sink = world.far(push, small=True)
    source.send(b"".join(map(wire, many(600, 100))))
    dropped = way.counters.outlets[0].dropped
    assert dropped[Drop.NO_PEER] == 10
    assert dropped[Drop.FULL] == 600 - way.counters.outlets[0].sent
    assert sink.all_singles() == many(600, 100)[: way.counters.outlets[0].sent]
    check(way, source, sink)


def test_a_high_water_mark_below_a_burst_loses_nothing_while_the_kernel_takes_all(world):
    push = world.side("PUSH", sndhwm=1)
    pull, way = world.way("PULL", Destination(push, WhenFull.DROP))
    source, sink = world.far(pull), world.far(push)
    source.send(b"".join(map(wire, many(100))))
    assert sink.singles() == many(100)
    check(way, source, sink)


def test_a_high_water_mark_may_be_in_bytes(world):
    push = world.side("PUSH", sndhwm=0, sndhwm_bytes=1000)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    assert source.send(b"".join(map(wire, many(600, 100)))) is Progress.NO_ROOM
    counts = sink.peer.counts()
    assert 1000 <= counts.waiting_bytes < 1200
    check(way, source, sink)


# Turns


def test_a_turn_that_is_over_moves_one_run_at_least_and_says_so(world):
    push = world.side("PUSH", sndhwm=0)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    sent = many(2000, 0)
    source.put(b"".join(map(wire, sent)))
    turns, before = 0, 0
    while source.read(time.monotonic()) is Progress.TURN_OVER:
        turns += 1
        assert way.counters.received > before
        before = way.counters.received
    assert turns > 1
    assert world.core.take_stalled() == [sink.peer]
    assert sink.peer.write(NEVER) is Progress.NOT_READY
    assert sink.singles() == sent


# Ends


def test_a_message_that_comes_in_half_is_dropped_with_its_connection(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    source.send(wire(b"one") + wire(b"never", b"whole")[:-1])
    source.theirs.close()
    assert source.read() is Progress.ENDED
    assert source.peer.ended.fault is Fault.CUT
    assert world.core.take_ended() == []
    source.peer.detach()
    again = world.connect(source.peer)
    again.send(wire(b"two"))
    assert sink.singles() == [b"one", b"two"]
    check(way, source, sink)


def test_a_connection_that_ends_between_messages_is_no_fault(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    source.send(wire(b"one"))
    source.theirs.close()
    assert source.read() is Progress.ENDED
    assert source.peer.ended.fault is None
    assert sink.singles() == [b"one"]


def test_a_peer_whose_connection_ends_in_a_write_gets_no_more(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, gone, sink = world.far(pull), world.far(push), world.far(push)
    gone.theirs.close()
    source.send(wire(b"one"))
    assert world.core.take_ended() == [gone.peer]
    assert gone.peer.ended is not None
    source.send(wire(b"two") + wire(b"three"))
    assert sink.singles() == [b"two", b"three"]
    gone.peer.detach()
    push.remove(gone.peer)
    assert gone.peer.counts().dropped == {Drop.NO_PEER: 1}
    check(way, source, gone, sink)


def test_a_message_written_in_half_goes_whole_to_the_next_connection(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, peer = world.far(pull), push.new_peer(queues_before=True)
    sink = world.connect(peer, small=True)
    sent = [b"%d" % number * 30_000 for number in range(4)]
    for message in sent:
        source.send(wire(message))
    assert sink.peer.counts().waiting == 4
    assert 0 < len(sink.bytes()) < 30_000
    sink.hang_up()
    source.send(wire(b"later"))
    again = world.connect(peer)
    assert peer.wants_write
    assert again.all_singles() == [*sent, b"later"]
    check(way, source, again)


def test_what_waits_for_a_peer_that_is_removed_is_dropped(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, peer = world.far(pull), push.new_peer(queues_before=True)
    source.send(wire(b"one") + wire(b"two"))
    push.remove(peer)
    counts = peer.counts()
    assert (counts.matched, counts.delivered, counts.waiting, counts.dropped) == (2, 0, 0, {Drop.NO_PEER: 2})
    assert not way.has_room


SMALL = Bounds(frame_bytes=300, message_bytes=400, parts=3, command_bytes=200, topic_bytes=20)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x80\0", Fault.BAD_FRAME),
        (b"\5\0", Fault.BAD_FRAME),
        (b"\2" + (301).to_bytes(8, "big"), Fault.TOO_LARGE),
        (b"\1\xff" + bytes(255) + b"\0\xff", Fault.TOO_LARGE),
        (b"\1\0" * 4, Fault.TOO_MANY_PARTS),
        (b"\4\xff", Fault.TOO_LARGE),
        (b"\4\0", Fault.BAD_FRAME),
        (command(b"PING", b"\0"), Fault.BAD_FRAME),
    ],
)
def test_a_peer_that_sends_what_it_must_not_is_ended_and_what_came_before_counts(world, data, fault):
    push = world.side("PUSH")
    pull, way = world.way(world.side("PULL", bounds=SMALL), push)
    source, sink = world.far(pull), world.far(push)
    assert source.send(wire(b"one") + data) is Progress.ENDED
    assert source.peer.ended.fault is fault
    assert sink.singles() == [b"one"]
    assert source.read() is Progress.ENDED
    check(way, source, sink)


# Commands


def test_a_ping_is_answered_also_within_a_message(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    first, last = frames.encode(b"one", more=True), frames.encode(b"two")
    source.send(first + command(b"PING", b"\0\1abc") + last + command(b"UNKNOWN", b"?") + wire(b"three"))
    assert sink.got() == [[b"one", b"two"], [b"three"]]
    assert source.bytes() == command(b"PONG", b"abc")


def test_a_ping_of_ours_goes_between_messages(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    sent = [b"%d" % number * 30_000 for number in range(3)]
    for message in sent:
        source.send(wire(message))
    sink.peer.ping(5)
    found = sink.frames()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.frames()
    assert [frame.body for frame in found] == [sent[0], commands.ping(5).body, *sent[1:]]


def test_a_peer_that_pings_and_reads_nothing_costs_no_memory(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source = world.far(pull, small=True)
    for _ in range(200):
        source.send(command(b"PING", b"\0\0" + b"c" * 16) * 100)
    waiting = source.bytes()
    source.peer.write(NEVER)
    assert len(source.bytes()) < 10_000 + len(waiting)


# Versions


@pytest.mark.parametrize("version", Version)
def test_peers_of_all_versions_understand_each_other(world, version):
    old = version is Version.V1_0
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    sources = [world.far(pull, version=version), world.far(pull)]
    sinks = [world.far(push, version=version), world.far(push)]
    messages = [[b"a"], [b"b", b"", b"c"], [b"d" * 253], [b"e" * 254, b"f" * 255], [b"g" * 300]]
    for parts in messages:
        sources[0].send(frames.encode_message(parts, v1_0=old) * 2)
        sources[1].send(frames.encode_message(parts) * 2)
    for sink in sinks:
        assert sink.got() == [parts for parts in messages for _ in range(2)]
    check(way, *sources, *sinks)


def test_old_versions_have_no_commands(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source = world.far(pull, version=Version.V2_0)
    assert source.send(command(b"PING", b"\0\0")) is Progress.ENDED
    assert source.peer.ended.fault is Fault.BAD_FRAME
    with pytest.raises(ValueError, match=r"3\.1"):
        source.peer.ping(1)


# Subscriptions


def subscribe(topic: bytes) -> bytes:
    return command(b"SUBSCRIBE", topic)


def cancel(topic: bytes) -> bytes:
    return command(b"CANCEL", topic)


def test_a_sub_asks_every_publisher_for_its_topics(world):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    first = world.far(sub)
    assert first.peer.wants_write
    first.peer.write(NEVER)
    assert first.bytes() == subscribe(b"a")
    sub.subscribe(b"b")
    sub.subscribe(b"b")
    sub.cancel(b"a")
    assert world.core.take_stalled() == [first.peer]
    first.peer.write(NEVER)
    assert first.bytes() == subscribe(b"b") + cancel(b"a")
    assert not first.peer.wants_write
    sub.cancel(b"b")
    sub.cancel(b"nothing")
    first.peer.write(NEVER)
    assert first.bytes() == b""
    later = world.far(sub)
    later.peer.write(NEVER)
    assert later.bytes() == subscribe(b"b")


def test_what_changes_back_before_it_is_told_is_not_told(world):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    far = world.far(sub)
    far.peer.write(NEVER)
    far.bytes()
    sub.cancel(b"a")
    sub.subscribe(b"a")
    sub.subscribe(b"b")
    sub.cancel(b"b")
    far.peer.write(NEVER)
    assert far.bytes() == b""


@pytest.mark.parametrize("version", [Version.V1_0, Version.V2_0, Version.V3_0])
def test_before_zmtp_3_1_subscriptions_are_messages(world, version):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    far = world.far(sub, version=version)
    far.peer.write(NEVER)
    sub.cancel(b"a")
    far.peer.write(NEVER)
    assert far.got() == [[b"\1a"], [b"\0a"]]


def test_a_sub_takes_only_what_it_is_subscribed_to(world):
    push = world.side("PUSH")
    sub, way = world.way("SUB", push)
    source, sink = world.far(sub), world.far(push)
    every = [b"a1", b"b2", b"a3", b"", b"ab4", b"b5"]
    source.send(b"".join(map(wire, every)))
    assert sink.got() == []
    sub.subscribe(b"a")
    sub.subscribe(b"b5")
    source.send(b"".join(map(wire, every)))
    assert sink.singles() == [b"a1", b"a3", b"ab4", b"b5"]
    sub.subscribe(b"")
    source.send(b"".join(map(wire, every)))
    assert sink.singles() == every
    assert way.counters.received == 10
    check(way, source, sink)


def test_a_pub_gives_each_subscriber_what_it_has_asked_for_once(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, sinks = world.far(pull), [world.far(pub) for _ in range(4)]
    sinks[0].send(subscribe(b""))
    sinks[1].send(subscribe(b"a") + subscribe(b"ab") + subscribe(b"a"))
    sinks[2].send(wire(b"\1ab") + wire(b"\1c") + wire(b"message") + wire(b"\1z", b"two parts"))
    assert [sink.peer.counts().subscriptions for sink in sinks] == [1, 2, 2, 0]
    every = [[b"a"], [b"abc", b"x"], [b"b", b"ab"], [b"c"], [b"", b"a"], [b"ab" * 200]]
    source.send(b"".join(wire(*parts) for parts in every))
    assert sinks[0].got() == every
    assert sinks[1].got() == [every[0], every[1], every[5]]
    assert sinks[2].got() == [every[1], every[3], every[5]]
    assert sinks[3].got() == []
    # A set, not a count.
    sinks[1].send(cancel(b"a"))
    sinks[2].send(wire(b"\0ab") + wire(b"\0nothing"))
    source.send(b"".join(wire(*parts) for parts in every))
    assert sinks[1].got() == [every[1], every[5]]
    assert sinks[2].got() == [every[3]]
    assert (way.counters.received, way.counters.outlets[0].sent) == (12, 12)
    check(way, source, *sinks)


def test_a_pub_without_peers_drops_and_with_peers_that_want_nothing_sends(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source = world.far(pull)
    assert source.send(wire(b"one")) is Progress.NOT_READY
    assert way.counters.outlets[0].dropped == {Drop.NO_PEER: 1}
    sink = world.far(pub)
    source.send(wire(b"two"))
    assert way.counters.outlets[0].sent == 1
    sink.theirs.close()
    assert sink.read() is Progress.ENDED
    source.send(wire(b"three"))
    assert way.counters.outlets[0].dropped == {Drop.NO_PEER: 2}
    check(way, source, sink)


def test_a_subscriber_that_goes_gets_nothing_any_more_and_one_that_comes_back_asks_anew(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, sink = world.far(pull), world.far(pub)
    sink.send(subscribe(b"") + subscribe(b"a"))
    sink.hang_up()
    source.send(wire(b"one"))
    again = world.connect(sink.peer)
    source.send(wire(b"two"))
    assert again.peer.counts().subscriptions == 0
    again.send(subscribe(b"t"))
    source.send(wire(b"three"))
    assert again.singles() == [b"three"]
    check(way, source, again)


def test_a_subscriber_that_queues_without_a_connection_gets_what_was_published_meanwhile(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, peer = world.far(pull), pub.new_peer(queues_before=True)
    source.send(wire(b"a0"))
    sink = world.connect(peer)
    sink.send(subscribe(b"a"))
    sink.hang_up()
    source.send(wire(b"a1") + wire(b"b1"))
    assert (peer.counts().waiting, peer.counts().subscriptions) == (1, 1)
    again = world.connect(peer)
    again.send(subscribe(b"a"))
    source.send(wire(b"a2"))
    assert again.all_singles() == [b"a1", b"a2"]
    assert way.counters.outlets[0].dropped == {Drop.NO_PEER: 1}
    pub.remove(peer)
    check(way, source, again)


def test_a_peer_that_was_detached_is_not_reported_as_ended(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, gone = world.far(pull), world.far(push)
    gone.theirs.close()
    source.send(wire(b"one"))
    gone.hang_up()
    assert world.core.take_ended() == []
    assert world.core.take_stalled() == []


def test_a_subscriber_of_zmtp_1_0_gets_everything(world):
    pub = world.side("PUB")
    pull, _ = world.way("PULL", pub)
    source, sink = world.far(pull), world.far(pub, version=Version.V1_0)
    source.send(wire(b"one"))
    assert sink.singles() == [b"one"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (subscribe(b"a") + subscribe(b"b") + subscribe(b"a") + subscribe(b"c"), Fault.TOO_MANY_SUBSCRIPTIONS),
        (subscribe(b"x" * 21), Fault.TOPIC_TOO_LONG),
        (wire(b"\1" + b"x" * 21), Fault.TOPIC_TOO_LONG),
    ],
)
def test_a_subscriber_that_asks_for_too_much_is_ended(world, data, fault):
    pub = world.side("PUB", bounds=SMALL, max_subscriptions=2)
    world.way("PULL", pub)
    sink = world.far(pub)
    assert sink.send(data) is Progress.ENDED
    assert sink.peer.ended.fault is fault


def full(world, **options):
    """A way to a PUB with a subscriber that does not read and has as many waiting as it may."""
    pub = world.side("PUB", **options)
    pull, way = world.way("PULL", pub)
    source, slow, sink = world.far(pull), world.far(pub, small=True), world.far(pub)
    slow.send(subscribe(b""))
    sink.send(subscribe(b""))
    source.send(b"".join(map(wire, many(500, 100))))
    return source, slow, sink, way


def test_a_slow_subscriber_loses_the_newest_and_no_other_does(world):
    source, slow, sink, way = full(world, sndhwm=10)
    assert slow.peer.counts().waiting == 10
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    got = slow.all_singles()
    assert counts.dropped == {Drop.SLOW: 500 - len(got)}
    assert got == many(500, 100)[: len(got)]
    source.send(wire(b"later"))
    assert slow.singles() == [b"later"]
    assert way.counters.outlets[0].sent == 501
    check(way, source, slow, sink)


def test_a_slow_subscriber_may_lose_the_oldest(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    assert counts.waiting <= 10
    got = slow.all_singles()
    assert counts.dropped == {Drop.SLOW: 500 - len(got)}
    assert got[-9:] == many(500, 100)[-9:]
    assert got == sorted(got, key=many(500, 100).index)
    check(way, source, slow, sink)


def test_a_slow_subscriber_may_be_disconnected(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.DISCONNECT)
    assert world.core.take_ended() == [slow.peer]
    assert "slow" in slow.peer.ended.what
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    assert counts.waiting == 0
    assert counts.dropped == {Drop.SLOW: counts.matched - counts.delivered}
    check(way, source, slow, sink)


def test_all_may_wait_for_a_slow_subscriber(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.BLOCK)
    assert not way.has_room
    assert way.counters.received < 500
    found, got = sink.singles(), slow.singles()
    for _ in range(1000):
        if len(got) == 500:
            break
        slow.peer.write(NEVER)
        got += slow.singles()
        source.read()
        found += sink.singles()
    assert got == found == many(500, 100)
    assert way.has_room
    check(way, source, slow, sink)


def test_what_is_for_others_does_not_wait_for_a_slow_subscriber(world):
    pub = world.side("PUB", sndhwm=2, slow_subscriber=SlowSubscriber.BLOCK)
    pull, way = world.way("PULL", pub)
    source, slow, sink = world.far(pull), world.far(pub, small=True), world.far(pub)
    slow.send(subscribe(b"slow"))
    sink.send(subscribe(b"other"))
    source.send(b"".join(wire(b"slow" + bytes(10_000)) for _ in range(3)))
    assert slow.peer.counts().waiting == 2
    second = world.far(pull)
    second.send(wire(b"other"))
    assert sink.singles() == [b"other"]
    slow.hang_up()
    pub.remove(slow.peer)
    assert way.has_room
    check(way, source, slow, sink)


def test_what_has_waited_too_long_is_dropped(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, slow = world.far(pull), world.far(pub, small=True)
    slow.send(subscribe(b""))
    source.send(b"".join(map(wire, many(500, 100))))
    waiting = slow.peer.counts().waiting
    pub.plan = replace(pub.plan, subscriber_max_age_s=1e-9)
    got = slow.all_singles()
    # One that is written in half is finished.
    assert waiting - 1 <= slow.peer.counts().dropped[Drop.TOO_OLD] <= waiting
    assert got == many(500, 100)[: len(got)]
    check(way, source, slow)


# Relay: what several destinations get


PAYLOADS = {
    Payload.WHOLE: [[b"t a b"], [b"no-space"], [b"t", b"x", b"y"], [b"{1 2"], [b""]],
    Payload.AUTO: [[b"a b"], [b"no-space"], [b"x", b"y"], [b"{1 2"], [b""]],
    Payload.SPACE: [[b"a b"], [b"no-space"], [b"t", b"x", b"y"], [b"2"], [b""]],
    Payload.PARTS: [[b"t a b"], [b"no-space"], [b"x", b"y"], [b"{1 2"], [b""]],
    Payload.SWAP: [[b"t a b"], [b"no-space"], [b"x", b"t", b"y"], [b"{1 2"], [b""]],
}


@pytest.mark.parametrize("payload", Payload)
def test_a_relay_publishes_messages_and_pushes_what_of_them_is_asked_for(world, payload):
    pub, push = world.side("PUB"), world.side("PUSH")
    sub, way = world.way("SUB", pub, Destination(push, payload=payload))
    sub.subscribe(b"")
    source, subscriber, sinks = world.far(sub), world.far(pub), [world.far(push) for _ in range(2)]
    subscriber.send(subscribe(b""))
    every = PAYLOADS[Payload.WHOLE]
    source.send(b"".join(wire(*parts) for parts in every))
    assert subscriber.got() == every
    assert [sink.got() for sink in sinks] == [PAYLOADS[payload][0::2], PAYLOADS[payload][1::2]]
    whole, cut = way.counters.outlets
    assert (whole.sent, whole.sent_bytes, cut.sent) == (5, 20, 5)
    assert (cut.sent_parts, cut.sent_bytes) == (
        sum(map(len, PAYLOADS[payload])),
        sum(len(part) for parts in PAYLOADS[payload] for part in parts),
    )
    assert (whole.uncut, cut.uncut) == (0, int(payload is Payload.AUTO))
    check(way, source, subscriber, *sinks)


@pytest.mark.parametrize("when_full", WhenFull)
def test_a_relay_holds_both_destinations_to_the_same_messages(world, when_full):
    pub, push = world.side("PUB"), world.side("PUSH", sndhwm=5)
    sub, way = world.way("SUB", pub, Destination(push, when_full))
    sub.subscribe(b"")
    source, subscriber = world.far(sub), world.far(pub)
    subscriber.send(subscribe(b""))
    sent = many(500, 100)
    progress = source.send(b"".join(map(wire, sent)))
    published = subscriber.singles()
    if when_full is WhenFull.DROP:
        assert (progress, published) == (Progress.NOT_READY, sent)
        assert way.counters.outlets[1].dropped == {Drop.NO_PEER: 500}
    else:
        assert (progress, published) == (Progress.NO_ROOM, [])
    sink = world.far(push, small=True)
    source.read()
    published += subscriber.singles()
    got = sink.singles()
    while when_full is WhenFull.BLOCK and len(got) < 500:
        assert len(published) == way.counters.received == way.counters.outlets[1].sent
        sink.peer.write(NEVER)
        source.read()
        published += subscriber.singles()
        got += sink.singles()
    assert published == sent
    assert got == (sent if when_full is WhenFull.BLOCK else [])
    check(way, source, subscriber, sink)


# Forwarder: subscriptions go upstream


def forwarder(world, **options):
    """XSUB and XPUB, joined both ways: the sides, and the ways down and up."""
    xpub = world.side("XPUB", **options)
    xsub, down = world.way("XSUB", xpub)
    _, up = world.way(xpub, xsub)
    return xsub, xpub, down, up


def test_a_forwarder_asks_publishers_for_the_union_of_its_subscribers(world):
    xsub, xpub, down, up = forwarder(world)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a") + subscribe(b"a") + subscribe(b"b"))
    two.send(wire(b"\1a") + wire(b"\1c"))
    assert publisher.bytes() == subscribe(b"a") + subscribe(b"b") + subscribe(b"c")
    publisher.send(wire(b"a1") + wire(b"c2"))
    assert (one.singles(), two.singles()) == ([b"a1"], [b"a1", b"c2"])
    one.send(cancel(b"a") + cancel(b"nothing"))
    assert publisher.bytes() == b""
    two.send(cancel(b"a"))
    assert publisher.bytes() == cancel(b"a")
    later = world.far(xsub)
    later.peer.write(NEVER)
    assert sorted(frame.body for frame in later.frames()) == [b"\x09SUBSCRIBEb", b"\x09SUBSCRIBEc"]
    assert (up.counters.received, up.counters.outlets[0].sent, down.counters.received) == (4, 4, 2)
    check(up, publisher, one, two)
    check(down, publisher, one, two)


def test_what_a_subscriber_leaves_is_cancelled(world):
    xsub, xpub, _, up = forwarder(world)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a") + subscribe(b"b"))
    two.send(subscribe(b"b"))
    publisher.bytes()
    one.hang_up()
    while world.core.tidy(NEVER):
        pass
    assert world.core.take_stalled() == [publisher.peer]
    publisher.peer.write(NEVER)
    assert publisher.bytes() == cancel(b"a")
    assert up.counters.received == 3
    check(up, publisher, one, two)


def test_many_topics_of_a_subscriber_that_goes_are_cancelled_piece_by_piece(world):
    xsub, xpub, _, _ = forwarder(world, max_subscriptions=0)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    topics = [b"%d" % number for number in range(5000)]
    for at in range(0, 5000, 1000):
        one.send(b"".join(map(subscribe, topics[at : at + 1000])))
    assert len(publisher.frames()) == 5000
    two.send(subscribe(b"77"))
    one.hang_up()
    publisher.send(wire(b"777"))
    assert two.singles() == [b"777"]
    steps = 1
    while world.core.tidy(time.monotonic()):
        steps += 1
    assert steps > 1
    publisher.peer.write(NEVER)
    cancelled = sorted(frame.body.removeprefix(b"\6CANCEL") for frame in publisher.frames())
    assert cancelled == sorted(topic for topic in topics if topic != b"77")


def test_an_xpub_can_report_every_subscription(world):
    xsub, xpub, _, _ = forwarder(world, xpub_verbose=True)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a"))
    two.send(subscribe(b"a"))
    assert publisher.bytes() == subscribe(b"a") * 2
    one.send(cancel(b"a"))
    assert publisher.bytes() == b""
    two.send(cancel(b"a"))
    assert publisher.bytes() == cancel(b"a")


def test_messages_go_upstream_too(world):
    xsub, xpub, _, up = forwarder(world)
    subscriber = world.far(xpub)
    subscriber.send(wire(b"lost"))
    assert up.counters.outlets[0].dropped == {Drop.NO_PEER: 1}
    publishers = [world.far(xsub) for _ in range(2)]
    subscriber.send(wire(b"hello") + wire(b"\1no", b"subscription") + wire(b""))
    assert [one.got() for one in publishers] == [[[b"hello"], [b"\1no", b"subscription"], [b""]]] * 2
    check(up, subscriber, *publishers)


def test_a_subscription_without_a_publisher_is_kept_for_the_first(world):
    xsub, xpub, _, up = forwarder(world)
    world.far(xpub).send(subscribe(b"a"))
    assert (up.counters.received, up.counters.outlets[0].sent) == (1, 1)
    publisher = world.far(xsub)
    publisher.peer.write(NEVER)
    assert publisher.bytes() == subscribe(b"a")


# Queue: requests and replies


def queue(world, **options):
    """ROUTER and DEALER, joined both ways: the sides, and the ways of requests and replies."""
    dealer = world.side("DEALER")
    router, requests = world.way(world.side("ROUTER", **options), dealer)
    _, replies = world.way(dealer, router)
    return router, dealer, requests, replies


def test_a_reply_goes_back_to_the_client_that_has_asked(world):
    router, dealer, requests, replies = queue(world)
    clients = [world.far(router, routing_id=b"known"), world.far(router), world.far(router)]
    workers = [world.far(dealer), world.far(dealer)]
    envelope = [b"", b"request", b"x" * 300]
    for client in clients:
        client.send(wire(*envelope))
    got = [workers[0].got(), workers[1].got()]
    ids = [got[0][0][0], got[1][0][0], got[0][1][0]]
    assert [message[1:] for message in (got[0][0], got[1][0], got[0][1])] == [envelope] * 3
    assert ids[0] == b"known"
    assert all(len(one) == 5 and one[0] == 0 for one in ids[1:])
    assert len(set(ids)) == 3
    for number, one in enumerate(ids):
        workers[0].send(wire(one, b"", b"%d" % number, b"y" * 300))
    assert [client.bytes() for client in clients] == [wire(b"", b"%d" % number, b"y" * 300) for number in range(3)]
    counters = requests.counters
    assert (counters.received_parts, counters.received_bytes) == (12, 3 * 307 + 15)
    assert counters.outlets[0].sent_bytes == counters.received_bytes
    check(requests, *clients, *workers)
    check(replies, *clients, *workers)


def test_what_a_router_cannot_route_is_counted(world):
    router, dealer, _, replies = queue(world, sndhwm=3)
    client, worker = world.far(router, routing_id=b"known", small=True), world.far(dealer)
    worker.send(wire(b"unknown", b"x") + wire(b"known") + wire(b"", b"x"))
    assert replies.counters.outlets[0].dropped == {Drop.UNROUTABLE: 2, Drop.MALFORMED: 1}
    worker.send(b"".join(wire(b"known", one) for one in many(500, 100)))
    sent = replies.counters.outlets[0].sent
    assert replies.counters.outlets[0].dropped[Drop.FULL] == 500 - sent
    assert client.all_singles() == many(500, 100)[:sent]
    client.hang_up()
    worker.send(wire(b"known", b"x"))
    assert replies.counters.outlets[0].dropped[Drop.UNROUTABLE] == 3
    check(replies, client, worker)


def test_a_second_peer_with_the_same_routing_id_is_refused_until_the_first_has_gone(world):
    router, dealer, requests, _ = queue(world)
    worker = world.far(dealer)
    first, second = world.far(router, routing_id=b"same"), world.far(router, routing_id=b"same")
    assert world.core.take_ended() == [second.peer]
    assert "b'same'" in second.peer.ended.what
    second.peer.detach()
    worker.send(wire(b"same", b"one"))
    assert first.singles() == [b"one"]
    first.peer.detach()
    again = world.connect(second.peer, routing_id=b"same")
    again.send(wire(b"two"))
    worker.send(wire(b"same", b"three"))
    assert again.singles() == [b"three"]
    assert worker.got() == [[b"same", b"two"]]
    check(requests, first, again, worker)


def test_with_handover_a_second_peer_takes_over_the_routing_id_of_the_first(world):
    router, dealer, requests, _ = queue(world, router_handover=True)
    worker = world.far(dealer)
    first = world.far(router, routing_id=b"same")
    first.send(wire(b"begun", b"never")[:-1])
    second = world.far(router, routing_id=b"same")
    assert world.core.take_ended() == [first.peer]
    first.peer.detach()
    worker.send(wire(b"same", b"one"))
    assert second.singles() == [b"one"]
    assert worker.got() == []
    check(requests, first, second, worker)


def test_a_dealer_gives_requests_in_turn_and_waits_while_all_workers_are_full(world):
    router, dealer, requests, _ = queue(world)
    client = world.far(router, routing_id=b"c")
    assert client.send(b"".join(wire(b"", one) for one in many(4))) is Progress.NO_ROOM
    workers = [world.far(dealer), world.far(dealer)]
    assert client.read() is Progress.NOT_READY
    assert [worker.got() for worker in workers] == [
        [[b"c", b"", one] for one in many(4)[start::2]] for start in range(2)
    ]
    check(requests, client, *workers)


# Against a model


@given(data=st.data())
@settings(max_examples=25)
def test_routing_by_topic_is_that_of_a_naive_model(make_core, data):
    topics = st.text("ab", max_size=4).map(str.encode)
    with new_world(make_core) as world:
        xsub, xpub, down, up = forwarder(world)
        publisher, asked = world.far(xsub), set()
        sinks = [world.far(xpub) for _ in range(3)]
        wanted: list[set[bytes]] = [set() for _ in sinks]
        for number in range(data.draw(st.integers(1, 30))):
            which = data.draw(st.integers(0, 2))
            topic = data.draw(topics)
            match data.draw(st.sampled_from(["subscribe", "cancel", "publish", "publish", "go"])):
                case "subscribe":
                    sinks[which].send(subscribe(topic) if number % 2 else wire(b"\1" + topic))
                    wanted[which].add(topic)
                case "cancel":
                    sinks[which].send(cancel(topic) if number % 2 else wire(b"\0" + topic))
                    wanted[which].discard(topic)
                case "publish":
                    heads = data.draw(st.lists(topics, min_size=1, max_size=5))
                    publisher.send(b"".join(wire(head, b"%d" % number) for head in heads))
                    for sink, theirs in zip(sinks, wanted, strict=True):
                        expected = [[head, b"%d" % number] for head in heads if head.startswith(tuple(theirs))]
                        assert sink.got() == expected
                case "go":
                    sinks[which].hang_up()
                    xpub.remove(sinks[which].peer)
                    sinks[which], wanted[which] = world.far(xpub), set()
                    world.core.tidy(NEVER)
                    publisher.peer.write(NEVER)
            for frame in publisher.frames():
                _, _, topic = frame.body[1:].partition(b"SUBSCRIBE" if frame.body[0] == 9 else b"CANCEL")
                assert (topic in asked) == (frame.body[0] == 6)
                asked ^= {topic}
            assert asked == set().union(*wanted)
            assert [sink.peer.counts().subscriptions for sink in sinks] == list(map(len, wanted))
            check(up, publisher, *sinks)
            check(down, publisher, *sinks)


@given(data=st.data())
@settings(max_examples=20)
def test_each_subscriber_gets_what_it_did_not_lose_in_its_order(make_core, data):
    policy = data.draw(st.sampled_from([SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST, SlowSubscriber.BLOCK]))
    with new_world(make_core) as world:
        pub = world.side("PUB", sndhwm=data.draw(st.sampled_from([1, 7])), slow_subscriber=policy)
        pull, way = world.way("PULL", pub)
        source, sinks = world.far(pull), [world.far(pub, small=True) for _ in range(3)]
        versions = [b"", b"1", b"2"]
        for sink, topic in zip(sinks, versions, strict=True):
            sink.send(subscribe(topic))
        sent: list[bytes] = []
        got: list[list[bytes]] = [[] for _ in sinks]
        for _ in range(data.draw(st.integers(1, 12))):
            which = data.draw(st.integers(0, 2))
            if data.draw(st.booleans()) and len(sent) < 300:
                more = many(60, data.draw(st.sampled_from([1, 700])), len(sent))
                source.send(b"".join(map(wire, more)))
                sent += more
            else:
                sinks[which].peer.write(data.draw(st.sampled_from([0.0, NEVER])))
                got[which] += [frame.body for frame in sinks[which].frames()]
                source.read()
            check(way, source, *sinks)
        while source.read() is Progress.NO_ROOM or any(sink.peer.wants_write for sink in sinks):
            for sink, found in zip(sinks, got, strict=True):
                sink.peer.write(NEVER)
                found += [frame.body for frame in sink.frames()]
        for sink, topic, found in zip(sinks, versions, got, strict=True):
            found += sink.singles()
            matching = [message for message in sent if message.startswith(topic)]
            counts = sink.peer.counts()
            assert counts.matched == len(matching)
            assert len(found) == counts.delivered == len(matching) - counts.dropped.get(Drop.SLOW, 0)
            places = [matching.index(message) for message in found]
            assert places == sorted(set(places))
            if policy is SlowSubscriber.BLOCK:
                assert found == matching
        check(way, source, *sinks)


def test_a_type_that_no_core_speaks_is_refused(make_core):
    with pytest.raises(ValueError, match="PAIR"):
        make_core().side(SidePlan("frontend", "PAIR"))


def test_a_tap_sees_the_parts_of_what_is_moved(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source = world.far(pull)
    seen: list[Sequence[bytes]] = []
    way.set_tap(lambda parts: seen.append(list(parts)))
    source.send(wire(b"one", b"two") + wire(b"three"))
    assert seen == []
    world.far(push)
    source.read()
    way.set_tap(None)
    source.send(wire(b"four"))
    assert seen == [[b"one", b"two"], [b"three"]]


@given(data=st.data())
@settings(max_examples=25)
def test_pull_to_push_loses_and_repeats_nothing_whatever_happens(make_core, data):
    with new_world(make_core) as world:
        push = world.side("PUSH", sndhwm=data.draw(st.sampled_from([1, 3, 1000])))
        pull, way = world.way("PULL", push)
        sources = [world.far(pull) for _ in range(2)]
        sinks = [world.far(push, small=True) for _ in range(data.draw(st.integers(1, 3)))]
        sent: list[list[bytes]] = [[] for _ in sources]
        found: list[bytes] = []
        for _ in range(data.draw(st.integers(1, 15))):
            match data.draw(st.sampled_from(["send", "read", "take"])):
                case "send":
                    which = data.draw(st.integers(0, 1))
                    count, size = data.draw(st.sampled_from([(1, 1), (50, 100), (3, 9000)]))
                    more = [b"%d:" % which + one for one in many(count, size, len(sent[which]))]
                    with contextlib.suppress(BlockingIOError):
                        sources[which].theirs.send(b"")
                        if len(sent[which]) < 200:
                            sources[which].put(b"".join(map(wire, more)))
                            sent[which] += more
                case "read":
                    for source in sources:
                        source.read(data.draw(st.sampled_from([0.0, NEVER])))
                case "take":
                    sink = data.draw(st.sampled_from(sinks))
                    found += [frame.body for frame in sink.frames()]
                    sink.peer.write(NEVER)
            check(way, *sources, *sinks)
        for _ in range(2000):
            if len(found) == sum(map(len, sent)):
                break
            for source in sources:
                source.read()
            for sink in sinks:
                sink.peer.write(NEVER)
                found += [frame.body for frame in sink.frames()]
        assert sorted(found) == sorted(sent[0] + sent[1])
        check(way, *sources, *sinks)
