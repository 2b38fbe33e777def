"""What only the native core of the switch can get wrong: where bytes lie, when they may go, and odd sizes of all kinds.

tests/wire/test_switch_core.py holds every core to the contract.
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
from geventrelay.switch.contract import Destination, Ended, Progress, SidePlan
from geventrelay.terms import WhenFull
from geventrelay.zmtp import frames
from geventrelay.zmtp.connection import Bounds
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
        (b"\x01\x50" + b"x" * 80 + b"\x00\x47", Fault.TOO_LARGE),
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
