"""What only the native core can get wrong of logs and of messages to the device: where bytes lie, and when they may go.

tests/wire/test_switch_log.py holds every core to the contract.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from support.switch import NEVER, Far, World, check, subscribe, wire

from geventrelay.switch.contract import Destination, LogPlan, Progress, Side
from geventrelay.terms import Payload

native = pytest.importorskip(
    "geventrelay.switch.native.core",
    reason="the native core is not built",
    # One that was built and does not load fails here.
    exc_type=ModuleNotFoundError,
)

PIECE = 65_536
# What a message of one part takes in a piece beside its body, of up to 255 bytes and above.
SHORT, LONG = 10, 17
# Around the sizes of heads, of a piece, and of what fits behind others there.
SIZES = (0, 1, 99, 255, 256, 5000, PIECE // 2 - LONG, PIECE - LONG, PIECE - LONG + 1, 200_000)
LAST = (1 << 64) - 1


class Rig:
    """A core, and its account."""

    def __init__(self) -> None:
        self.account = native.NativeAccount()
        self.world = World(native.NativeCore(self.account))

    def publisher(self, **options: Any) -> tuple[Any, Far]:
        pub = self.world.side("PUB", sndhwm=0, **options)
        pull, _ = self.world.way("PULL", pub)
        return pub, self.world.far(pull)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.world.close()


def publish(source: Far, *messages: list[bytes]) -> None:
    data = b"".join(wire(*parts) for parts in messages)
    for start in range(0, len(data), 100_000):
        source.send(data[start : start + 100_000])


def read(side: Side, first: int = 0, last: int = LAST, *prefixes: bytes, most: int = 1000) -> list[Any]:
    found, state = [], side.log_state()
    assert state is not None
    while first <= last and first < state.next:
        some, first = side.logged(first, last, prefixes, most, NEVER)
        found += some
    return found


@pytest.mark.parametrize("seed", range(6))
def test_messages_of_all_sizes_are_read_again_from_any_number_on(rig, seed):
    choose = random.Random(seed)
    plan = LogPlan(first=1000, nbytes=choose.choice([100_000, 1_000_000, 4_000_000]), messages=choose.choice([0, 40]))
    pub, source = rig.publisher(log=plan)
    every: list[list[bytes]] = []
    for _ in range(25):
        some = [
            [b"%d" % choose.randrange(3), *(b"x" * choose.choice(SIZES[:5]) for _ in range(choose.randrange(3)))]
            if choose.random() < 0.5
            else [choose.choice((b"0", b"1", b"2")) + b"y" * (choose.choice(SIZES) - 1)]
            for _ in range(choose.randrange(1, 12))
        ]
        publish(source, *some)
        every += some
        kept, nbytes, limit = 0, 0, plan.messages or len(every)
        while kept < limit and nbytes + len(wire(*every[-1 - kept])) <= plan.nbytes:
            nbytes += len(wire(*every[-1 - kept]))
            kept += 1
            if kept == len(every):
                break
        oldest, end = 1000 + len(every) - kept, 1000 + len(every)
        state = pub.log_state()
        assert (state.oldest, state.next, state.nbytes, state.for_memory) == (oldest, end, nbytes, 0)
        expected = list(zip(range(oldest, end), every[len(every) - kept :], strict=True))
        assert read(pub, most=choose.choice([1, 3, 1000])) == expected
        first, last = sorted(choose.randrange(1000, end + 5) for _ in range(2))
        prefixes = choose.choice([(), (b"1",), (b"0", b"2"), (b"none",)])
        assert read(pub, first, last, *prefixes) == [
            (number, parts)
            for number, parts in expected
            if first <= number <= last and (not prefixes or parts[0].startswith(prefixes))
        ]


@pytest.mark.parametrize(
    "bodies",
    [
        [PIECE - LONG] * 3,
        [PIECE - LONG - SHORT, 0] * 3,
        [PIECE - LONG - SHORT, 1] * 3,
        [PIECE - LONG + 1] * 3,
        [PIECE // 2 - LONG] * 5,
        [PIECE - LONG - 8, 0, PIECE - LONG - 8],
    ],
)
def test_a_piece_is_filled_to_its_last_byte(rig, bodies):
    pub, source = rig.publisher(log=LogPlan())
    messages = [[b"x" * size] for size in bodies]
    publish(source, *messages)
    assert [parts for _, parts in read(pub)] == messages
    for number in range(1, len(bodies) + 1):
        assert pub.logged(number, number, (), 1, NEVER) == ([(number, messages[number - 1])], number + 1)


@pytest.mark.parametrize("sizes", [(90, 70_000), (33_000,), (20_000, 50_000), (100,), (65_000, 600)])
def test_a_log_takes_little_more_than_its_messages(rig, sizes):
    pub, source = rig.publisher(log=LogPlan(nbytes=3_000_000))
    before = rig.account.used_bytes
    messages = [[b"x" * size] for size in sizes] * (6_000_000 // sum(sizes))
    for start in range(0, len(messages), 20):
        publish(source, *messages[start : start + 20])
    state, taken = pub.log_state(), rig.account.used_bytes - before
    assert 2_900_000 < state.nbytes <= 3_000_000
    entries = state.nbytes + 8 * (state.next - state.oldest)
    # An eighth of a piece may be free at its end. The first and the last may be filled in part, and there is the ring.
    assert entries < taken < entries * 8 // 7 + 2 * 70_000 + 16_384


def test_what_is_read_may_be_forgotten_while_python_makes_objects_of_it(rig):
    pub, source = rig.publisher(log=LogPlan())
    messages = [[b"%d" % number, b"x" * 1000] for number in range(900)]
    publish(source, *messages)
    forgotten = []

    def forget(phase: str, _info: object) -> None:
        if phase == "start" and not forgotten:
            forgotten.append(pub.forget(NEVER))
            publish(source, *([[b"other", b"y" * 1000]] * 900))

    thresholds = gc.get_threshold()
    gc.callbacks.append(forget)
    try:
        gc.set_threshold(1)
        found, go_on = pub.logged(1, 900, (), 900, NEVER)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(forget)
    assert forgotten
    assert (found, go_on) == (list(enumerate(messages, 1)), 901)
    assert pub.log_state().oldest == 901


@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.PARTS, Payload.SWAP, Payload.AUTO])
def test_what_subscribers_get_is_logged_and_stamped_without_a_change_of_what_came(rig, payload):
    pub, plain = rig.world.side("PUB", sndhwm=0, log=LogPlan(), stamp=True), rig.world.side("PUB", sndhwm=0)
    pull, way = rig.world.way("PULL", Destination(plain), Destination(pub, payload=payload), Destination(plain))
    source, fars = rig.world.far(pull), [rig.world.far(side) for side in (pub, plain)]
    for far in fars:
        far.send(subscribe(b""))
    messages = [[b"a b"], [b"a", b"b"], [b"c" * 300, b"", b"d" * 300], [b"e" * 70_000 + b" ", b"f"]]
    publish(source, *messages)
    stamped, twice = map(all_of, fars)
    logged = read(pub)
    assert len(logged) == len(messages)
    assert stamped == [[*parts, number.to_bytes(8, "big")] for number, parts in logged]
    assert twice == [parts for parts in messages for _ in range(2)]
    check(way, source, *fars)


def test_stamped_messages_are_still_given_to_subscribers_many_at_a_time(rig):
    pub, source = rig.publisher(log=LogPlan(), stamp=True)
    far = rig.world.far(pub, small=True)
    far.send(subscribe(b""))
    publish(source, *([b"%d" % number] for number in range(20_000)))
    # So that what waits takes little: it is not one piece a message.
    assert far.peer.counts().waiting > 15_000
    assert rig.account.used_bytes < 20_000 * 60
    assert [int(parts[0]) for parts in all_of(far)] == list(range(20_000))


def all_of(far: Far) -> list[list[bytes]]:
    data = [far.raw()]
    while far.peer.wants_write:
        far.peer.write(NEVER)
        data.append(far.raw())
    far.feed(b"".join(data))
    return far.got()


# Messages to the device -------------------------------------------------------------------------------------------


def test_many_requests_are_not_all_one_turn(rig):
    router = rig.world.side("ROUTER")
    far, seen = rig.world.far(router), []
    router.on_message = lambda peer, parts: seen.append(parts)
    far.put(b"".join(wire(b"%d" % number) for number in range(100)))
    turns = [far.read(until=0.0)]
    assert 1 <= len(seen) <= 20
    while turns[-1] is Progress.TURN_OVER:
        turns.append(far.read(until=0.0))
    assert seen == [[b"%d" % number] for number in range(100)]
    assert len(turns) > 5


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_request_may_end_the_connection_that_it_came_over(rig, sealed, large):
    router = rig.world.side("ROUTER")
    far, other = (rig.world.far(router, sealed=sealed) for _ in range(2))
    seen = []

    def end(peer: Any, parts: list[bytes]) -> None:
        seen.append(parts)
        peer.detach()
        router.remove(peer)

    router.on_message = end
    request = [b"1", b"x" * (300_000 if large else 10)]
    data = wire(*request) + wire(b"2")
    data = far.sealed(data) if sealed else data
    for start in range(0, len(data), 50_000):
        far.theirs.sendall(data[start : start + 50_000])
        progress = far.read()
    assert seen == [request]
    assert progress is Progress.ENDED
    assert far.peer.ended is None
    router.on_message = lambda peer, parts: seen.append(parts)
    other.send(wire(b"3"))
    assert seen == [request, [b"3"]]
    assert router.counts().received == 2


def test_memory_that_gets_short_in_a_request_ends_not_the_peer_that_asks(rig):
    router = rig.world.side("ROUTER")
    far, seen = rig.world.far(router), []

    def shorten(peer: Any, parts: list[bytes]) -> None:
        seen.append(parts)
        rig.account.limit_bytes = 1000

    router.on_message = shorten
    request = [b"x" * 300_000]
    data = wire(*request)
    # In the end it is whole, and no more a message without an end, which would be the first to go.
    for start in range(0, len(data), 50_000):
        far.put(data[start : start + 50_000])
        far.read()
    assert seen == [request]
    assert far.peer.ended is None
    rig.account.limit_bytes = 0
    far.send(wire(b"next"))
    assert seen == [request, [b"next"]]


def test_what_is_called_may_be_taken_away_by_the_call(rig):
    router = rig.world.side("ROUTER")
    far, seen = rig.world.far(router), []

    class Once:
        def __call__(self, peer: Any, parts: list[bytes]) -> None:
            router.on_message = None
            gc.collect()
            seen.append(parts)

    router.on_message = Once()
    far.send(wire(b"1") + wire(b"2"))
    assert seen == [[b"1"]]
    assert far.peer.counts().received == 2


def test_a_side_and_what_it_calls_are_collected(rig):
    class Service:
        def __init__(self) -> None:
            self.side = native.NativeCore().side(rig.world.side("ROUTER").plan)
            self.side.on_message = self.take

        def take(self, peer: Any, parts: list[bytes]) -> None:
            pass

    gone = weakref.ref(Service())
    gc.collect()
    assert gone() is None
