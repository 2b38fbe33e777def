"""What every core of the switch does with a peer whose rate is limited."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import World, check, many, new_world, wire

from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Grant
from geventrelay.engine.rate import SHORTEST_WAIT_S, RateLimit
from geventrelay.switch.contract import Destination, Progress
from geventrelay.terms import WhenFull
from geventrelay.zmtp import frames
from geventrelay.zmtp.greeting import Version

# A power of two, so that no sum is rounded.
SLOW = 2.0**-30
PARTS = st.lists(st.integers(0, 300).map(lambda size: b"x" * size), min_size=1, max_size=3)


def rate(world: World, messages: int = 0, nbytes: int = 0, *, drops: bool = False):
    """So much once, and then nothing for as long as a test lasts."""
    per_s = (messages and SLOW * messages, nbytes and SLOW * nbytes)
    return world.core.rate(RateLimit(*per_s, drops=drops, seconds_at_once=1 / SLOW))


def joined(world: World, **options):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    return world.far(pull, **options), world.far(push), way


def allowed(messages: list[list[bytes]], most: int, most_bytes: int) -> int:
    """How many of the first messages pass."""
    sizes = [sum(map(len, parts)) for parts in messages]
    count = 0
    while (
        count < len(sizes) and (not most or count < most) and (not most_bytes or sum(sizes[:count]) <= most_bytes - 1)
    ):
        count += 1
    return count


@given(
    messages=st.lists(PARTS, max_size=20),
    most=st.integers(0, 15),
    most_bytes=st.sampled_from([0, 1, 100, 1000]),
    drops=st.booleans(),
    v1_0=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_no_more_passes_than_the_rate_allows_and_the_rest_waits_or_is_dropped(
    make_core, messages, most, most_bytes, drops, v1_0
):
    with new_world(make_core) as world:
        source, sink, way = joined(world, version=Version.V1_0 if v1_0 else Version.V3_1)
        source.peer.set_rate(rate(world, most, most_bytes, drops=drops) if most or most_bytes else None)
        count = allowed(messages, most, most_bytes)
        progress = source.send(b"".join(frames.encode_message(parts, v1_0=v1_0) for parts in messages))
        assert sink.got() == messages[:count]
        rest = len(messages) - count
        waits = rest and not drops
        assert (progress is Progress.OVER_RATE) == bool(waits)
        assert way.counters.rate_waits == bool(waits)
        assert way.counters.outlets[0].dropped == ({Drop.RATE: rest} if rest and drops else {})
        counts = source.peer.counts()
        assert (counts.received, counts.over_rate) == ((len(messages), rest) if drops else (count, 0))
        if waits:
            assert source.read() is Progress.OVER_RATE, "nothing has come meanwhile"
        source.peer.set_rate(None)
        source.read()
        assert sink.got() == (messages[count:] if waits else [])
        check(way, source, sink)


def test_several_peers_may_have_one_rate(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    one, other, third, sink = world.far(pull), world.far(pull), world.far(pull), world.far(push)
    shared = rate(world, 5)
    for far in (one, other):
        far.peer.set_rate(shared)
    assert one.send(b"".join(map(wire, many(3)))) is Progress.NOT_READY
    assert other.send(b"".join(map(wire, many(3)))) is Progress.OVER_RATE
    assert one.send(wire(b"x")) is Progress.OVER_RATE
    assert third.send(b"".join(map(wire, many(30)))) is Progress.NOT_READY, "it has none"
    assert len(sink.got()) == 35
    assert not shared.has_room(0.0)
    check(way, one, other, third, sink)


def test_a_rate_has_room_again_after_its_wait(world):
    made = world.core.rate(RateLimit(messages_per_s=1000.0, bytes_per_s=10.0))
    assert made.has_room(0.0)
    assert made.is_full(0.0)
    assert made.wait_s(0.0) == SHORTEST_WAIT_S
    source, _, _ = joined(world)
    source.peer.set_rate(made)
    source.send(wire(b"x" * 100) + wire(b"y"))
    # The core's clock is the real one.
    assert not made.is_full(0.0)
    assert SHORTEST_WAIT_S < made.wait_s(0.0) < 9.2
    assert not made.has_room(0.0)
    assert made.has_room(1e12)
    assert made.is_full(1e12)


def test_what_waits_for_room_takes_nothing_of_the_rate(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", Destination(push, WhenFull.BLOCK))
    source = world.far(pull)
    source.peer.set_rate(rate(world, 2))
    assert source.send(b"".join(map(wire, (b"a", b"b", b"c")))) is Progress.NO_ROOM
    assert source.read() is Progress.NO_ROOM
    sink = world.far(push)
    assert source.read() is Progress.OVER_RATE
    assert sink.singles() == [b"a", b"b"]
    check(way, source, sink)


def test_what_is_forbidden_takes_of_the_rate_too(world):
    source, sink, way = joined(world, grant=Grant(send=(b"a",)))
    source.peer.set_rate(rate(world, 3, drops=True))
    source.send(b"".join(map(wire, (b"a1", b"b", b"a2", b"a3", b"b"))))
    assert sink.singles() == [b"a1", b"a2"]
    assert way.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1, Drop.RATE: 2}
    counts = source.peer.counts()
    assert (counts.received, counts.forbidden, counts.over_rate) == (5, 1, 2)
    check(way, source, sink)


def test_the_tap_sees_nothing_that_is_dropped(world):
    source, sink, way = joined(world)
    seen: list[bytes] = []
    way.set_tap(lambda parts: seen.extend(parts))
    source.peer.set_rate(rate(world, 1, drops=True))
    source.send(wire(b"a") + wire(b"b"))
    assert seen == sink.singles() == [b"a"]


def test_a_client_over_its_rate_holds_up_no_other(world):
    dealer = world.side("DEALER")
    router, way = world.way("ROUTER", dealer)
    worker, bad, good = world.far(dealer), world.far(router, routing_id=b"bad"), world.far(router, routing_id=b"good")
    bad.peer.set_rate(rate(world, nbytes=3))
    assert bad.send(wire(b"", b"one") + wire(b"", b"two")) is Progress.OVER_RATE
    assert good.send(wire(b"", b"three")) is Progress.NOT_READY
    assert worker.got() == [[b"bad", b"", b"one"], [b"good", b"", b"three"]]
    check(way, worker, bad, good)


def test_what_a_sub_has_not_asked_for_takes_nothing(world):
    push = world.side("PUSH")
    sub, way = world.way("SUB", push)
    sub.subscribe(b"a")
    source, sink = world.far(sub), world.far(push)
    source.peer.set_rate(rate(world, 2, drops=True))
    source.send(b"".join(map(wire, (b"b", b"a1", b"b", b"b", b"a2", b"b", b"a3"))))
    assert sink.singles() == [b"a1", b"a2"]
    assert way.counters.outlets[0].dropped == {Drop.RATE: 1}
    assert way.counters.received == 3


def test_at_the_end_the_rest_is_read_and_counted(world):
    source, sink, way = joined(world)
    source.peer.set_rate(rate(world, 1))
    assert source.send(b"".join(map(wire, many(600)))) is Progress.OVER_RATE
    way.stop()
    assert source.read() is Progress.NOT_READY
    assert way.counters.outlets[0].dropped == {Drop.STOPPED: 599}
    assert len(sink.got()) == 1
    check(way, source, sink)


def test_over_curve_it_is_the_same(world):
    source, sink, way = joined(world, sealed=True)
    source.peer.set_rate(rate(world, 5))
    assert source.send(b"".join(map(wire, many(600)))) is Progress.OVER_RATE
    assert sink.singles() == many(5)
    source.peer.set_rate(rate(world, 7, drops=True))
    assert source.read() is Progress.NOT_READY
    assert sink.singles() == many(12)[5:]
    assert source.peer.counts().over_rate == 588
    check(way, source, sink)
