"""What all cores of a hub keep in memory for peers: counted, and bounded."""

from __future__ import annotations

import contextlib
import gc
import random

import pytest
from support.switch import ACCOUNTS, CORES, NEVER, Far, World, check, many, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Destination, Progress, SlowSubscriber
from geventrelay.terms import WhenFull
from geventrelay.zmtp.errors import Fault

MIB = 1 << 20
# What is read at once, and what the two buffers of a core may have grown by.
PIECE = MIB


@pytest.fixture(params=list(CORES))
def both(request):
    """An account, and two cores that share it."""
    account = ACCOUNTS[request.param]()
    worlds = [World(CORES[request.param](account)) for _ in range(2)]
    yield account, *worlds
    for world in worlds:
        world.close()


def publisher(world: World, **options):
    publishes = world.side("PUB", sndhwm=0, **options)
    source, way = world.way("PULL", publishes)
    return world.far(source), publishes, way


def subscriber(world: World, side, **options) -> Far:
    far = world.far(side, **options)
    far.send(subscribe(b""))
    return far


def flood(far: Far, nbytes: int, size: int = 10_000) -> int:
    """Send messages of so many bytes together, in pieces; how many."""
    count = nbytes // size
    for first in range(0, count, 10):
        for data in many(min(10, count - first), size, first):
            far.put(wire(data))
            far.read()
    return count


def all_of(far: Far) -> list[bytes]:
    """All messages that wait, written in many pieces."""
    found = far.singles()
    while far.peer.wants_write:
        far.peer.write(NEVER)
        found += far.singles()
    return found


def test_what_waits_is_counted_once_and_given_back(both):
    account, world, _ = both
    source, side, _ = publisher(world)
    slow = [subscriber(world, side, small=True) for _ in range(4)]
    before = account.used_bytes
    flood(source, 4 * MIB)
    assert 3 * MIB < account.used_bytes - before < 6 * MIB
    for far in slow:
        far.hang_up()
        side.remove(far.peer)
    world.fars = [source]
    world.core.tidy(NEVER)
    assert account.used_bytes == 0


def test_what_waits_for_slow_subscribers_is_dropped_and_a_good_one_loses_nothing(both):
    account, world, _ = both
    account.limit_bytes = 4 * MIB
    source, side, way = publisher(world)
    good, slow = subscriber(world, side), [subscriber(world, side, small=True) for _ in range(3)]
    most, got = 0, 0
    for first in range(0, 2000, 10):
        for data in many(10, 10_000, first):
            source.put(wire(data))
            source.read()
        got += len(all_of(good))
        most = max(most, account.used_bytes)
    assert got == 2000
    assert most <= 4 * MIB + PIECE
    assert good.peer.counts().dropped == {}
    for far in slow:
        assert far.peer.counts().dropped[Drop.MEMORY] > 1000
    check(way, source, good, *slow)
    assert world.core.take_shed() == sum(far.peer.counts().dropped[Drop.MEMORY] for far in slow)
    assert world.core.take_shed() == 0
    # What is left comes in its order.
    numbers = [int(data.rstrip(b"x")) for data in all_of(slow[0])]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1999


def test_another_core_drops_where_most_waits(both):
    account, world, other = both
    account.limit_bytes = 4 * MIB
    called = []
    other.core.set_attention(lambda: called.append(1))
    their_source, their_side, _ = publisher(other)
    slow = subscriber(other, their_side, small=True)
    flood(their_source, 3 * MIB)
    source, side, _ = publisher(world)
    little = subscriber(world, side, small=True)
    flood(source, MIB)
    assert slow.peer.counts().dropped[Drop.MEMORY] > 50
    assert called
    assert little.peer.counts().dropped == {}


def test_a_lower_limit_takes_effect_at_once(both):
    account, world, _ = both
    source, side, _ = publisher(world)
    slow = subscriber(world, side, small=True)
    flood(source, 4 * MIB)
    account.limit_bytes = MIB
    assert account.limit_bytes == MIB
    assert account.used_bytes <= MIB
    assert slow.peer.counts().dropped[Drop.MEMORY] > 200
    account.limit_bytes = 0
    assert account.limit_bytes == 0


def test_a_subscriber_that_may_miss_nothing_is_disconnected_instead(both):
    account, world, _ = both
    account.limit_bytes = MIB
    source, side, way = publisher(world, slow_subscriber=SlowSubscriber.DISCONNECT)
    slow = subscriber(world, side, small=True)
    flood(source, 2 * MIB)
    assert slow.peer.ended is not None
    assert slow.peer in world.core.take_ended()
    assert slow.peer.counts().waiting == 0
    check(way, source, slow)


def test_the_largest_unfinished_message_is_ended(both):
    account, world, other = both
    account.limit_bytes = 4 * MIB
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    senders = [world.far(pull) for _ in range(3)]
    for far, size in zip(senders, (MIB // 2, MIB, MIB // 2), strict=True):
        far.put(wire(b"x" * 8 * MIB)[:20])
        for _ in range(size // 50_000):
            far.put(b"x" * 50_000)
            far.read()
    another = other.far(other.way("PULL", other.side("PUSH"))[0])
    another.put(wire(b"y" * 8 * MIB)[:20])
    for _ in range(4 * MIB // 50_000):
        with contextlib.suppress(BrokenPipeError):
            another.put(b"y" * 50_000)
        if another.read() is Progress.ENDED:
            break
    ended = [far.peer.ended for far in (*senders, another)]
    assert ended[3] is not None
    assert ended[3].fault is Fault.MEMORY
    assert "largest" in ended[3].what
    assert ended[0] is ended[2] is None
    assert account.used_bytes <= 4 * MIB


def test_the_peer_with_most_subscriptions_is_ended(both):
    account, world, _ = both
    account.limit_bytes = MIB
    side = world.side("PUB")
    few, most = world.far(side), world.far(side)
    few.send(subscribe(b"mine"))
    for number in range(200):
        if most.send(subscribe(b"%d" % number + b"t" * 8000)) is Progress.ENDED:
            break
    assert most.peer.ended is not None
    assert most.peer.ended.fault is Fault.MEMORY
    assert few.peer.ended is None
    most.hang_up()
    side.remove(most.peer)
    world.fars.remove(most)
    world.core.tidy(NEVER)
    assert account.used_bytes < MIB // 8


@pytest.mark.parametrize("type", ["PUSH", "PUB"])
def test_senders_to_full_peers_are_held_back_and_nothing_is_lost(both, type):
    account, world, _ = both
    account.limit_bytes = 2 * MIB
    options = {"slow_subscriber": SlowSubscriber.BLOCK} if type == "PUB" else {}
    side = world.side(type, sndhwm=0, **options)
    pull, way = world.way("PULL", side)
    source, sink = world.far(pull), world.far(side, small=True)
    if type == "PUB":
        sink.send(subscribe(b""))
    sent, progress = 0, Progress.NOT_READY
    while progress is not Progress.NO_ROOM:
        source.put(wire(b"%d" % sent + b"x" * 10_000))
        sent += 1
        progress = source.read()
        assert sent < 1000
    assert account.used_bytes <= 2 * MIB + PIECE
    assert not way.has_room
    got = []
    while len(got) < sent:
        got += [int(data.rstrip(b"x")) for data in all_of(sink)]
        source.read()
    assert got == list(range(sent))
    assert way.has_room
    check(way, source, sink)


def test_what_a_destination_drops_while_memory_is_short_says_so(both):
    account, world, _ = both
    account.limit_bytes = MIB
    side = world.side("PUSH", sndhwm=1000)
    pull, way = world.way("PULL", Destination(side, WhenFull.DROP))
    source, sink = world.far(pull), world.far(side, small=True)
    count = flood(source, 2 * MIB)
    dropped = way.counters.outlets[0].dropped
    assert dropped[Drop.MEMORY] > 50
    assert set(dropped) == {Drop.MEMORY}
    assert len(all_of(sink)) + dropped[Drop.MEMORY] == count
    check(way, source, sink)


def test_a_publisher_that_reads_no_subscriptions_is_ended_and_a_good_one_is_told_all(both):
    account, world, _ = both
    account.limit_bytes = 8 * MIB
    publishers, subscribers = world.side("XSUB"), world.side("XPUB")
    world.way(subscribers, Destination(publishers))
    deaf, good = [world.far(publishers, small=True) for _ in range(5)], world.far(publishers)
    asking = [world.far(subscribers) for _ in range(20)]
    told = 0
    for first in range(0, 6000, 100):
        asking[first // 100 % 20].send(b"".join(subscribe(b"%d" % number) for number in range(first, first + 100)))
        good.peer.write(NEVER)
        told += len(good.frames())
        assert account.used_bytes < 8 * MIB
    assert told == 6000
    assert Fault.MEMORY in [far.peer.ended and far.peer.ended.fault for far in deaf]
    assert [far.peer.ended for far in (good, *asking)] == [None] * 21
    before = account.used_bytes
    late = world.far(publishers)
    assert account.used_bytes > before + 6000
    for side, fars in ((publishers, [*deaf, good, late]), (subscribers, asking)):
        for far in fars:
            far.hang_up()
            side.remove(far.peer)
    world.fars = []
    while world.core.tidy(NEVER):
        pass
    assert account.used_bytes == 0


@pytest.mark.parametrize("kind", list(CORES))
def test_what_a_core_has_left_when_its_device_stops_goes_with_it(kind):
    account = ACCOUNTS[kind]()
    world = World(CORES[kind](account))
    subscribers = world.side("XPUB")
    world.way(subscribers, Destination(world.side("XSUB")))
    far = world.far(subscribers)
    for first in range(0, 3000, 100):
        far.send(b"".join(subscribe(b"%d" % number) for number in range(first, first + 100)))
    assert account.used_bytes > 0
    # Nothing is tidied.
    world.close()
    del world, subscribers, far
    gc.collect()
    assert account.used_bytes == 0


@pytest.mark.parametrize("seed", range(10))
def test_the_account_is_zero_when_all_have_gone_whatever_there_was(both, seed):
    account, *worlds = both
    choose = random.Random(seed)
    account.limit_bytes = choose.choice([MIB // 2, 2 * MIB])
    places, fars, ways = [], [], []
    for world in worlds:
        for source, type in (("PULL", "PUB"), ("XSUB", "XPUB"), ("PULL", "PUSH"), ("DEALER", "ROUTER")):
            slow = choose.choice([SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST, SlowSubscriber.DISCONNECT])
            side = world.side(type, sndhwm=choose.choice([0, 20]), slow_subscriber=slow)
            reads, way = world.way(source, Destination(side, WhenFull.DROP))
            places += [(world, reads), (world, side)]
            ways.append((world, side, way))
    for _ in range(150):
        act = choose.random()
        if act < 0.2 or len(fars) < 8:
            world, side = choose.choice(places)
            far = world.far(side, small=choose.random() < 0.7, routing_id=b"a" if choose.random() < 0.2 else b"")
            fars.append((world, side, far))
        elif act < 0.25:
            world, side, far = fars.pop(choose.randrange(len(fars)))
            leave(world, side, far)
        elif act < 0.5:
            world, side, far = choose.choice(fars)
            send(far, b"".join(subscribe(b"%d" % choose.randrange(30) + b"t" * 99) for _ in range(5)))
        elif act < 0.95:
            world, side, far = choose.choice(fars)
            parts = [b"a", b"%d" % choose.randrange(30) + b"t" * choose.choice([99, 20_000, 90_000])]
            data = wire(*parts[choose.randrange(2) :])
            send(far, data[: choose.choice([len(data)] * 3 + [len(data) // 2])])
        else:
            choose.choice(fars)[2].bytes()
        for world, side, far in list(fars):
            if far.peer.ended is not None:
                fars.remove((world, side, far))
                leave(world, side, far)
            else:
                counts = far.peer.counts()
                assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting
        assert account.used_bytes <= account.limit_bytes + PIECE
    for world, side, far in fars:
        leave(world, side, far)
    for world in worlds:
        while world.core.tidy(NEVER):
            pass
    assert account.used_bytes == 0
    for _, _, way in ways:
        check(way)


def send(far: Far, data: bytes) -> None:
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        for at in range(0, len(data), 30_000):
            far.put(data[at : at + 30_000])
            far.read()


def leave(world: World, side, far: Far) -> None:
    far.hang_up()
    world.fars.remove(far)
    side.remove(far.peer)
