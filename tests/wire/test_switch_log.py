"""What every core of the switch keeps of all that it has published, so that it can be read again: a log."""

from __future__ import annotations

import contextlib
import random
import time
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.log import Kept
from support.switch import ACCOUNTS, CORES, NEVER, World, check, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Grant
from geventrelay.engine.rate import RateLimit
from geventrelay.switch.contract import (
    Destination,
    LastValuePlan,
    LogPlan,
    LogState,
    Progress,
    Side,
    SlowSubscriber,
)
from geventrelay.switch.core_python import core, log, reading
from geventrelay.terms import Payload
from geventrelay.zmtp.greeting import Version

FIRST = (1 << 52) + 5


@pytest.fixture(params=CORES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which core."""
    return request.param


@pytest.fixture
def world(kind: str) -> Any:
    with new_world(CORES[kind]) as made:
        yield made


def publisher(world: World, *, type: str = "PUB", plan: LogPlan | None = None, **options: Any) -> Any:
    """A side that has a log, a peer whose messages it publishes, and the way between them."""
    pub = world.side(type, log=plan or LogPlan(first=FIRST), **options)
    pull, way = world.way("PULL", pub)
    return pub, world.far(pull), way


def stamped(number: int, *parts: bytes) -> list[bytes]:
    return [*parts, number.to_bytes(8, "big")]


def everything(side: Side, *prefixes: bytes) -> list[tuple[int, list[bytes]]]:
    """All that can be read."""
    found, state = [], side.log_state()
    assert state is not None
    number = state.oldest
    while number < state.next:
        some, go_on = side.logged(number, state.next - 1, prefixes, 1000, NEVER)
        assert go_on > number
        found += some
        number = go_on
    return found


SOME = [[b"a"], [b"ab", b""], [b"", b"x" * 300, b"y"], [b"b" * 70_000], [b""], [b"a 2"]]


@pytest.mark.parametrize("type", ["PUB", "XPUB"])
def test_all_that_was_published_can_be_read_by_number_also_without_a_subscriber(world, type):
    pub, source, way = publisher(world, type=type)
    assert pub.log_state() == LogState(oldest=FIRST, next=FIRST, nbytes=0, for_memory=0)
    assert pub.logged(FIRST, FIRST + 10, (), 10, NEVER) == ([], FIRST)
    source.send(b"".join(wire(*parts) for parts in SOME[:3]))
    source.send(b"".join(wire(*parts) for parts in SOME[3:]))
    every = list(enumerate(SOME, FIRST))
    end = FIRST + len(SOME)
    assert pub.log_state() == LogState(FIRST, end, sum(len(wire(*parts)) for parts in SOME), 0)
    assert pub.logged(FIRST, end - 1, (), 10, NEVER) == (every, end)
    assert pub.logged(0, 1 << 62, (), 10, NEVER) == (every, end)
    assert pub.logged(FIRST + 1, FIRST + 3, (), 10, NEVER) == (every[1:4], FIRST + 4)
    assert pub.logged(FIRST + 1, FIRST + 3, (), 2, NEVER) == (every[1:3], FIRST + 3)
    assert pub.logged(FIRST, end, (b"b", b"a"), 10, NEVER) == ([every[0], every[1], every[3], every[5]], end)
    assert pub.logged(FIRST, end, (b"b", b"a"), 2, NEVER) == ([every[0], every[1]], FIRST + 2)
    assert pub.logged(FIRST, end, (b"", b"a"), 10, NEVER) == (every, end)
    assert pub.logged(end + 3, end + 9, (), 10, NEVER) == ([], end + 3)
    assert pub.logged(FIRST + 3, FIRST + 2, (), 10, NEVER) == ([], FIRST + 3)
    check(way, source)


def test_a_side_without_a_log_says_so(world):
    for type in ("PUB", "PULL", "ROUTER"):
        side = world.side(type)
        assert side.log_state() is None
        with pytest.raises(ValueError, match="log"):
            side.logged(1, 2, (), 10, NEVER)


def test_what_is_read_at_once_is_bounded(world):
    pub, source, _ = publisher(world, plan=LogPlan())
    for number in range(20):
        source.send(wire(b"%d" % number, b"x" * 100_000))
    found, go_on = pub.logged(1, 20, (), 100, NEVER)
    assert sum(len(wire(*parts)) for _, parts in found) <= 1 << 20
    assert go_on == len(found) + 1 == 11
    for start in range(0, 1 << 21, 50_000):
        source.put(wire(b"y" * (1 << 21))[start : start + 50_000])
        source.read()
    source.put(wire(b"y" * (1 << 21))[(1 << 21) // 50_000 * 50_000 + 50_000 :])
    source.read()
    assert pub.logged(21, 21, (), 100, NEVER) == ([(21, [b"y" * (1 << 21)])], 22)
    # The clock is not looked at before some hundred messages.
    source.send(b"".join(map(wire, many(2000))))
    found, go_on = pub.logged(22, 10_000, (b"none",), 100, 0.0)
    assert found == []
    assert 100 < go_on - 22 < 1000


@pytest.mark.parametrize("at_once", [1, 100])
def test_the_oldest_make_room(world, at_once):
    pub, source, _ = publisher(world, plan=LogPlan(messages=7, nbytes=97))
    every = many(50, 10)
    for start in range(0, 50, at_once):
        source.send(b"".join(map(wire, every[start : start + at_once])))
    sizes = [len(wire(one)) for one in every]
    assert pub.log_state() == LogState(oldest=45, next=51, nbytes=sum(sizes[44:]), for_memory=0)
    assert everything(pub) == [(number, [every[number - 1]]) for number in range(45, 51)]
    assert pub.logged(3, 46, (), 10, NEVER) == ([(45, [every[44]]), (46, [every[45]])], 47)
    # One that is too large is not kept, and neither is what was before it.
    source.send(wire(b"x" * 100) + wire(b"y"))
    assert everything(pub) == [(52, [b"y"])]
    source.send(wire(b"x" * 100))
    assert pub.log_state() == LogState(oldest=54, next=54, nbytes=0, for_memory=0)
    source.send(b"".join(map(wire, [b"%d" % number for number in range(20)])))
    assert pub.log_state() == LogState(oldest=67, next=74, nbytes=28, for_memory=0)


def test_what_is_too_old_cannot_be_read(world):
    pub, source, _ = publisher(world, plan=LogPlan(max_age_s=1e-9))
    source.send(wire(b"a 1"))
    assert pub.logged(1, 1, (), 10, NEVER) == ([], 2)
    source.send(wire(b"a 2"))
    assert pub.log_state() == LogState(oldest=3, next=3, nbytes=0, for_memory=0)


def test_other_bounds_count_from_the_next_message_on(world):
    pub, source, _ = publisher(world)
    source.send(b"".join(map(wire, many(10))))
    pub.plan = replace(pub.plan, log=LogPlan(first=1, messages=3))
    assert pub.log_state().oldest == FIRST
    source.send(wire(b"d"))
    assert (pub.log_state().oldest, pub.log_state().next) == (FIRST + 8, FIRST + 11)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("version", [*Version])
@pytest.mark.parametrize("type", ["PUB", "XPUB"])
def test_a_stamp_is_the_last_part_of_what_subscribers_get(world, type, version, sealed):
    if sealed and version not in (Version.V3_0, Version.V3_1):
        pytest.skip("CURVE is of ZMTP 3")
    pub, source, way = publisher(world, type=type, stamp=True)
    far = world.far(pub, version=version, sealed=sealed)
    if version is not Version.V1_0:
        far.send(subscribe(b"") if version is Version.V3_1 else wire(b"\1"))
    source.send(b"".join(wire(*parts) for parts in SOME))
    got = []
    while len(got) < len(SOME):
        got += far.got()
        far.peer.write(NEVER)
    assert got == [stamped(number, *parts) for number, parts in enumerate(SOME, FIRST)]
    assert everything(pub) == list(enumerate(SOME, FIRST))
    assert way.counters.outlets[0].sent_parts == way.counters.received_parts + len(SOME)
    assert way.counters.outlets[0].sent_bytes == way.counters.received_bytes + 8 * len(SOME)
    check(way, source, far)


def test_without_a_log_there_are_no_stamps(world):
    pub = world.side("PUB", stamp=True)
    pull, _ = world.way("PULL", pub)
    source, far = world.far(pull), world.far(pub)
    far.send(subscribe(b""))
    source.send(wire(b"a"))
    assert far.got() == [[b"a"]]


def test_a_last_value_has_its_stamp_and_its_topic_without_it(world):
    pub, source, way = publisher(world, stamp=True, last_values=LastValuePlan(prefixes=(b"a", b"b")))
    source.send(wire(b"a 1") + wire(b"a 2") + wire(b"b 1", b"x") + wire(b"b 1", b"y") + wire(b"c"))
    late = world.far(pub)
    late.send(subscribe(b""))
    assert late.got() == [stamped(FIRST + 1, b"a 2"), stamped(FIRST + 3, b"b 1", b"y")]
    assert pub.kept_values().nbytes == len(wire(b"a 2") + wire(b"b 1", b"y")) + 20
    source.send(wire(b"c"))
    assert late.got() == [stamped(FIRST + 5, b"c")]
    check(way, source, late)


def test_what_waits_for_a_slow_subscriber_keeps_its_stamp(world):
    pub, source, way = publisher(world, stamp=True, sndhwm=3, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    far = world.far(pub, small=True)
    far.send(subscribe(b""))
    source.send(wire(b"x" * 50_000))
    for number in range(10):
        source.send(wire(b"%d" % number))
    data = [far.raw()]
    while far.peer.wants_write:
        far.peer.write(NEVER)
        data.append(far.raw())
    far.feed(b"".join(data))
    got = far.got()
    assert got[0] == stamped(FIRST, b"x" * 50_000)
    assert got[1:] == [stamped(FIRST + 1 + number, b"%d" % number) for number in (8, 9)]
    assert far.peer.counts().dropped == {Drop.SLOW: 8}
    check(way, source, far)


def test_a_log_that_memory_is_short_for_forgets_its_older_half_and_takes_half_of_it_at_most(kind):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        account.limit_bytes = 1_000_000
        pub, source, _ = publisher(world, plan=LogPlan(messages=20))
        for number in range(8):
            source.send(wire(b"%d" % number, b"x" * 50_000))
        assert pub.log_state().oldest == 1
        assert account.used_bytes > 400_000
        for number in range(8, 12):
            source.send(wire(b"%d" % number, b"x" * 50_000))
        size = len(wire(b"1", b"x" * 50_000))
        kept = 500_000 // size
        assert pub.log_state() == LogState(oldest=13 - kept, next=13, nbytes=kept * size + 2, for_memory=12 - kept)
        # No peer has to be connected.
        source.hang_up()
        world.fars = []
        account.limit_bytes = 300_000
        state = pub.log_state()
        assert state.nbytes <= kept * size // 2
        assert state.for_memory == state.oldest - 1
        assert [number for number, _ in everything(pub)] == [*range(state.oldest, 13)]
        assert account.used_bytes <= 300_000
        while pub.forget(0.0):
            pass
        assert account.used_bytes == 0
        assert pub.log_state() == replace(state, oldest=13, nbytes=0)


def test_a_device_that_ends_forgets_its_log(kind):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        pub, source, _ = publisher(world, last_values=LastValuePlan())
        for _ in range(200):
            source.send(b"".join(map(wire, many(100, 200))))
        for far in world.fars:
            far.hang_up()
        world.fars = []
        while pub.forget(0.0):
            pass
        while world.core.tidy(NEVER):
            pass
        assert account.used_bytes == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_messages_to_a_router_without_a_way_are_handed_to_its_owner_who_answers(world, sealed):
    router = world.side("ROUTER", sndhwm=3)
    far, other = world.far(router, sealed=sealed), world.far(router)
    far.send(wire(b"nobody asks"))
    seen = []
    router.on_message = lambda peer, parts: seen.append((peer, parts))
    far.send(b"".join(wire(*parts) for parts in SOME[:3]))
    far.put(wire(*SOME[3])[:30_000])
    far.read()
    other.send(wire(b"", b"1"))
    far.put(wire(*SOME[3])[30_000:])
    far.read()
    assert [parts for peer, parts in seen if peer is far.peer] == SOME[:4]
    assert [parts for peer, parts in seen if peer is other.peer] == [[b"", b"1"]]
    assert far.peer.counts().received == 5
    assert other.peer.put([b"", b"2"])
    assert other.peer.wants_write
    other.peer.write(NEVER)
    assert other.got() == [[b"", b"2"]]
    assert far.got() == []
    check_counts(far, other)


def check_counts(*fars: Any) -> None:
    for far in fars:
        counts = far.peer.counts()
        assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting


@pytest.mark.parametrize("version", [*Version])
def test_put_has_room_up_to_the_mark_and_for_one_of_any_size(world, version):
    router = world.side("ROUTER", sndhwm=4, sndhwm_bytes=1000)
    far = world.far(router, small=True, version=version)
    assert far.peer.put([b"x" * 100_000, b""])
    assert not far.peer.put([b"2"])
    far.peer.write(NEVER)
    counts = far.peer.counts()
    assert (counts.matched, counts.waiting, counts.delivered) == (1, 1, 0)
    data = far.raw()
    while far.peer.wants_write:
        far.peer.write(NEVER)
        data += far.raw()
    far.feed(data)
    assert far.got() == [[b"x" * 100_000, b""]]
    assert [far.peer.put([b"%d" % number, b""]) for number in range(6)] == [True] * 4 + [False] * 2
    check_counts(far)
    far.peer.write(NEVER)
    assert far.got() == [[b"%d" % number, b""] for number in range(4)]
    assert far.peer.put([b"last"])
    far.peer.detach()
    assert not far.peer.put([b"gone"])
    check_counts(far)
    router.remove(far.peer)
    assert router.counts().matched == 6
    assert router.counts().dropped == {Drop.LEFT: 1}


def test_put_wants_a_part(world):
    far = world.far(world.side("ROUTER"))
    with pytest.raises(ValueError, match="part"):
        far.peer.put([])


@pytest.mark.parametrize("type", ["ROUTER", "PUB", "PUSH"])
def test_put_has_room_for_one_message_only_while_memory_is_short(kind, type):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        account.limit_bytes = 1_000_000
        side = world.side(type, sndhwm=0)
        fars = [world.far(side, small=True) for _ in range(3)]
        put = 0
        while fars[0].peer.put([b"x" * 10_000]):
            put += 1
        assert account.used_bytes < 800_000
        assert 70 < put < 80
        assert [fars[1].peer.put([b"y"]) for _ in range(2)] == [True, False]
        fars[0].hang_up()
        side.remove(fars[0].peer)
        fars[1].peer.write(NEVER)
        assert [fars[1].peer.put([b"y"]) for _ in range(2)] == [True, True]
        check_counts(*fars)


# What a model of it has


PARTS = st.one_of(
    st.lists(st.sampled_from([b"", b"a", b"ab", b"b", b"abc" * 30]), min_size=1, max_size=4),
    st.lists(st.sampled_from([b"a", b"b" * 255, b"b" * 256, b"ab" * 2000]), min_size=1, max_size=2),
    st.sampled_from([[b"a" * 40_000], [b"b", b"x" * 66_000, b""]]),
)
BOUNDS = st.builds(
    LogPlan,
    first=st.just(FIRST),
    messages=st.sampled_from([0, 0, 1, 3, 10, 100]),
    nbytes=st.sampled_from([256 << 20, 256 << 20, 200_000, 10_000, 300, 6, 1]),
    max_age_s=st.sampled_from([0.0, 0.0, 1000.0]),
)
NUMBERS = st.one_of(st.integers(-5, 60), st.integers(0, 200), st.just(1 << 60))
PREFIXES = st.sampled_from([(), (), (b"a",), (b"b", b"ab"), (b"", b"a"), (b"none",), (b"abcabc",)])
LOG_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(PARTS, max_size=12), st.booleans()),
        st.tuples(st.just("publish"), st.lists(PARTS, max_size=12), st.booleans()),
        st.tuples(st.just("read"), NUMBERS, NUMBERS, PREFIXES, st.sampled_from([1, 2, 3, 10, 1000])),
        st.tuples(st.just("bound"), BOUNDS),
    ),
    max_size=25,
)


def pieces(data: bytes) -> list[bytes]:
    """What the kernel takes at once of `data`."""
    return [data[start : start + 50_000] for start in range(0, len(data), 50_000)]


class Whole:
    """The messages that have come to a far end, the last of which may be there in part."""

    def __init__(self, far: Any) -> None:
        self._far = far
        self._parts: list[bytes] = []
        self.messages: list[list[bytes]] = []

    def read(self) -> None:
        for frame in self._far.frames():
            if not frame.command:
                self._parts.append(frame.body)
                if not frame.more:
                    self.messages.append(self._parts)
                    self._parts = []


@settings(max_examples=80, deadline=None)
@given(
    steps=LOG_STEPS,
    plan=BOUNDS,
    limit=st.sampled_from([0, 0, 500_000, 1_000_000]),
    stamp=st.booleans(),
    values=st.booleans(),
    sealed=st.booleans(),
)
@pytest.mark.parametrize("name", CORES)
def test_a_log_is_as_a_model_has_it_whatever_is_published_and_read(name, steps, plan, limit, stamp, values, sealed):
    account = ACCOUNTS[name]()
    account.limit_bytes = limit
    with new_world(lambda: CORES[name](account)) as world:
        last_values = LastValuePlan(topics=3, nbytes=50_000) if values else None
        pub = world.side("PUB", log=plan, stamp=stamp, last_values=last_values)
        pull, way = world.way("PULL", pub)
        source = world.far(pull)
        model = Kept(plan, half=limit // 2 or 1 << 62)
        sink, wanted = world.far(pub, sealed=sealed), []
        got = Whole(sink)
        sink.send(subscribe(b""))

        def send(data: bytes) -> None:
            for piece in pieces(data):
                source.send(piece)
                # Nothing waits for long: it would count for the memory budget.
                sink.peer.write(NEVER)
                got.read()

        for step in steps:
            match step:
                case ("publish", messages, one_by_one):
                    for parts in messages:
                        wanted.append(stamped(model.next, *parts) if stamp else parts)
                        model.publish(parts)
                    every = [wire(*parts) for parts in messages]
                    for data in every if one_by_one else [b"".join(every)]:
                        send(data)
                case ("read", first, last, prefixes, most):
                    asked = FIRST + first, FIRST + last, prefixes, most
                    assert pub.logged(*asked, NEVER) == model.read(*asked)
                case ("bound", other):
                    pub.plan = replace(pub.plan, log=other)
                    model.plan = other
            assert pub.log_state() == model.state()
            while sink.peer.wants_write:
                sink.peer.write(NEVER)
                got.read()
            assert got.messages == wanted
        assert everything(pub) == [(number, parts) for number, (_, parts) in model.kept.items()]
        check(way, source, sink)
        for side, far in ((pub, sink), (pull, source)):
            far.hang_up()
            side.remove(far.peer)
        world.fars = []
        while pub.forget(0.0) or world.core.tidy(NEVER):
            pass
        assert account.used_bytes == 0


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.lists(PARTS, max_size=5)), max_size=20), bounds=BOUNDS)
@settings(max_examples=60, deadline=None)
def test_a_log_forgets_by_a_clock_what_a_model_forgets(steps, bounds):
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    model = Kept(replace(bounds, max_age_s=5.0))
    with pytest.MonkeyPatch.context() as patch, new_world(CORES["python"]) as world:
        for module in (core, log, reading):
            patch.setattr(module, "time", clock)
        pub, source, _ = publisher(world, plan=model.plan)
        for seconds, messages in steps:
            now += seconds
            model.grow_old(now)
            assert pub.logged(model.oldest, 1 << 60, (), 1000, NEVER) == model.read(0, 1 << 60, (), 1000)
            for parts in messages:
                model.publish(parts, now)
            for piece in pieces(b"".join(wire(*parts) for parts in messages)):
                source.send(piece)
            assert pub.log_state() == model.state()


def test_each_message_is_forgotten_once_it_is_older_than_the_age(world):
    age_s = 0.002
    pub, source, _ = publisher(world, plan=LogPlan(max_age_s=age_s))
    times: list[tuple[float, float]] = [(0.0, 0.0)]
    for number in range(1, 400):
        before = time.monotonic()
        source.send(wire(b"%d" % number))
        times.append((before, time.monotonic()))
        if number % 7 == 0:
            before = time.monotonic()
            oldest = pub.log_state().oldest
            after = time.monotonic()
            # When a message came is known from two sides, as is when it was looked at.
            assert all(came >= before - age_s for _, came in times[oldest:]), "one was kept for too long"
            assert all(came <= after - age_s for came, _ in times[1:oldest]), "one was forgotten early"
    while pub.log_state().oldest < 400:
        pass
    assert pub.log_state().nbytes == 0


def test_what_is_not_published_is_not_in_the_log(world):
    pub = world.side("PUB", log=LogPlan(), stamp=True, sndhwm=2, slow_subscriber=SlowSubscriber.BLOCK)
    pull, way = world.way("PULL", Destination(pub, payload=Payload.AUTO))
    source, far = world.far(pull), world.far(pub, small=True)
    far.send(subscribe(b""))
    source.send(wire(b"topic", b"x" * 50_000))
    source.put(b"".join(wire(b"topic %d" % number) for number in range(5)))
    assert source.read() is Progress.NO_ROOM
    # What waits for room is no message yet; and what is logged is what is sent.
    assert pub.log_state().next == 1 + way.counters.outlets[0].sent
    got = Whole(far)
    while len(got.messages) < 6:
        far.peer.write(NEVER)
        got.read()
        source.read()
    assert got.messages[1:] == [stamped(2 + number, b"%d" % number) for number in range(5)]
    assert everything(pub) == [(1, [b"x" * 50_000]), *((2 + number, [b"%d" % number]) for number in range(5))]
    way.stop()
    source.send(wire(b"topic late"))
    assert pub.log_state().next == 7
    check(way, source, far)


def test_a_welcome_message_is_not_published(world):
    pub, source, _ = publisher(world, type="XPUB", stamp=True, xpub_welcome_msg=b"hello")
    far = world.far(pub)
    far.send(subscribe(b""))
    source.send(wire(b"a"))
    assert far.got() == [[b"hello"], stamped(FIRST, b"a")]
    assert everything(pub) == [(FIRST, [b"a"])]


@pytest.mark.parametrize("slow", [SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST, SlowSubscriber.DISCONNECT])
def test_a_subscriber_sees_by_the_numbers_what_it_has_missed(world, slow):
    pub, source, way = publisher(world, stamp=True, sndhwm=5, slow_subscriber=slow)
    choose, fars = random.Random(1), [world.far(pub, small=True) for _ in range(4)]
    wholes, sent = [Whole(far) for far in fars], []
    for number, far in enumerate(fars):
        for topic in (b"a", b"b")[: 1 + number % 2]:
            far.send(subscribe(topic))
    for _ in range(300):
        sent.append([choose.choice([b"a", b"ab", b"b"]), b"x" * choose.choice([1, 300, 20_000])])
        source.send(wire(*sent[-1]))
        for far, whole in zip(fars, wholes, strict=True):
            if choose.random() < 0.1:
                far.peer.write(NEVER)
                whole.read()
    for far, whole in zip(fars, wholes, strict=True):
        while far.peer.wants_write:
            far.peer.write(NEVER)
            whole.read()
        numbers = [int.from_bytes(parts[-1], "big") - FIRST for parts in whole.messages]
        assert numbers == sorted(set(numbers))
        assert [sent[number] for number in numbers] == [parts[:-1] for parts in whole.messages]
    everywhere = {len(whole.messages) for whole in wholes}
    assert min(everywhere) < 150
    assert everything(pub) == list(enumerate(sent, FIRST))
    check(way, source, *fars)


# Its memory


@pytest.mark.parametrize(("logged", "waiting", "goes"), [(30, 3, "log"), (3, 30, "queue")])
def test_when_memory_is_short_the_largest_goes(kind, logged, waiting, goes):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        pub, source, _ = publisher(world, plan=LogPlan())
        other = world.side("PUB", sndhwm=0)
        pull, _ = world.way("PULL", other)
        feeder, far = world.far(pull), world.far(other, small=True)
        far.send(subscribe(b""))
        for far_end, times in ((source, logged), (feeder, waiting)):
            for _ in range(times):
                far_end.send(wire(b"x" * 50_000))
        assert account.used_bytes > 1_500_000
        account.limit_bytes = 1_500_000
        assert (pub.log_state().for_memory > 0) == (goes == "log")
        assert (far.peer.counts().dropped.get(Drop.MEMORY, 0) > 0) == (goes == "queue")
        assert account.used_bytes <= 1_500_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_budget_holds_and_what_is_left_is_the_newest_whatever_there_is(kind, seed):
    account, choose = ACCOUNTS[kind](), random.Random(seed)
    account.limit_bytes = choose.choice([500_000, 2_000_000])
    with contextlib.ExitStack() as stack:
        worlds = [stack.enter_context(new_world(lambda: CORES[kind](account))) for _ in range(2)]
        logs: list[tuple[Any, Any, list[list[bytes]]]] = []
        ends: list[tuple[Any, Any]] = []
        for world in worlds:
            for values in (None, LastValuePlan()):
                stamp = choose.random() < 0.5
                pub = world.side("PUB", log=LogPlan(), last_values=values, stamp=stamp, sndhwm=0)
                pull, _ = world.way("PULL", pub)
                source = world.far(pull)
                ends.append((pull, source))
                logs.append((pub, source, []))
                ends.append((pub, world.far(pub, small=True)))
                ends[-1][1].send(subscribe(b"a"))
        for _ in range(300):
            pub, source, sent = choose.choice(logs)
            for _ in range(choose.choice([1, 5])):
                topic = choose.choice([b"a", b"b%d" % choose.randrange(20)])
                sent.append([topic, b"x" * choose.choice([10, 5000, 40_000])])
                source.send(wire(*sent[-1]))
            # A lower limit has what is kept go down by halves, and half of it counts from the next message on.
            assert account.used_bytes <= account.limit_bytes + (1 << 20)
            assert pub.log_state().nbytes <= account.limit_bytes // 2
            for pub, _, sent in logs:
                state = pub.log_state()
                assert state.next == len(sent) + 1
                # No other limit has had any forgotten.
                assert state.for_memory == state.oldest - 1
                assert state.nbytes == sum(len(wire(*parts)) for parts in sent[state.oldest - 1 :])
            if choose.random() < 0.1:
                account.limit_bytes = choose.choice([500_000, 1_000_000, 2_000_000])
        for pub, _, sent in logs:
            assert everything(pub) == [*enumerate(sent, 1)][pub.log_state().oldest - 1 :]
            assert pub.log_state().oldest > 1
        for side, far in ends:
            far.hang_up()
            side.remove(far.peer)
        for world in worlds:
            world.fars = []
        for pub, _, _ in logs:
            while pub.forget(0.0):
                pass
        while any(world.core.tidy(NEVER) for world in worlds):
            pass
        assert account.used_bytes == 0


def test_a_large_message_does_not_stay_for_the_small_ones_beside_it(kind):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        pub, source, _ = publisher(world, plan=LogPlan(nbytes=1_000_000))
        small = [b"%d" % number for number in range(1000)]
        for piece in pieces(wire(b"x" * 5_000_000) + b"".join(map(wire, small))):
            source.send(piece)
        assert everything(pub) == [(2 + number, [one]) for number, one in enumerate(small)]
        assert account.used_bytes < 1_000_000


def test_nothing_stays_in_memory_of_blocks_that_are_forgotten(monkeypatch):
    # Each message has one of its own then.
    monkeypatch.setattr(log, "_BLOCK_BYTES", 1)
    with new_world(CORES["python"]) as world:
        _, source, _ = publisher(world, plan=LogPlan(messages=10))
        source.send(wire(b"x") * 1000)
        tracemalloc.start()
        try:
            source.send(wire(b"x") * 20_000)
            assert tracemalloc.get_traced_memory()[0] < 200_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("values", [False, True])
def test_what_is_stored_holds_no_sender_back_and_makes_room_for_what_waits(kind, values):
    account = ACCOUNTS[kind]()
    account.limit_bytes = 4_000_000
    with new_world(lambda: CORES[kind](account)) as world:
        for _ in range(3):
            stored = {"last_values": LastValuePlan()} if values else {"log": LogPlan()}
            pub = world.side("PUB", **stored)
            source = world.far(world.way("PULL", pub)[0])
            for number in range(200):
                source.send(wire(b"%d" % number, b"x" * 20_000))
        assert account.used_bytes > 3_000_000
        push, router = world.side("PUSH", sndhwm=0), world.side("ROUTER", sndhwm=0)
        pull, way = world.way("PULL", push)
        source, sink, asking = world.far(pull), world.far(push, small=True), world.far(router, small=True)
        sent, progress = 0, Progress.NOT_READY
        while progress is Progress.NOT_READY:
            source.put(wire(b"%d " % sent, b"x" * 20_000))
            progress = source.read()
            sent += 1
            assert account.used_bytes <= 4_000_000 + (1 << 20)
        # It is what waits that holds them back.
        assert progress is Progress.NO_ROOM
        assert 100 < sink.peer.counts().waiting < 160
        # Once that has gone, there is room again, whatever is stored.
        whole = Whole(sink)
        while sink.peer.wants_write:
            sink.peer.write(NEVER)
            whole.read()
        assert account.used_bytes < 3_000_000
        assert [asking.peer.put([b"x" * 20_000]) for _ in range(100)] == [True] * 100
        source.read()
        check(way, source, sink)


# Answers to peers


def test_what_a_peer_may_send_and_how_much_does_not_hold_for_messages_to_the_device_itself(world):
    router, seen = world.side("ROUTER"), []
    router.on_message = lambda peer, parts: seen.append(parts)
    far = world.far(router, grant=Grant(send=(b"no",)), routing_id=b"me")
    far.peer.set_rate(world.core.rate(RateLimit(messages_per_s=1)))
    far.send(wire(b"yes", b"1") * 10)
    assert seen == [[b"yes", b"1"]] * 10
    assert far.peer.counts().forbidden == far.peer.counts().over_rate == 0


def test_a_peer_that_has_to_stop_in_a_turn_is_asked_again(world):
    router, seen = world.side("ROUTER"), []
    router.on_message = lambda peer, parts: seen.append(parts)
    far = world.far(router)
    far.put(b"".join(map(wire, many(2000))))
    while far.read(until=0.0) is Progress.TURN_OVER:
        pass
    assert [one for (one,) in seen] == many(2000)


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_put_within_the_call_is_written_without_more(world, sealed):
    router = world.side("ROUTER")
    fars = [world.far(router, sealed=sealed) for _ in range(3)]

    def answer(peer: Any, parts: list[bytes]) -> None:
        assert all(far.peer.put([b"to", *parts]) for far in fars[:2])

    router.on_message = answer
    fars[1].send(wire(b"1") + wire(b"2"))
    for far in fars[:2]:
        assert far.got() == [[b"to", b"1"], [b"to", b"2"]]
        assert not far.peer.wants_write
    # What is put at another time waits for a write.
    assert fars[2].peer.put([b"3"])
    assert fars[2].got() == []
    fars[2].peer.write(NEVER)
    assert fars[2].got() == [[b"3"]]
    check_counts(*fars)


def test_many_messages_to_the_device_give_way_to_others(world):
    router, seen = world.side("ROUTER"), []
    router.on_message = lambda peer, parts: seen.append(parts)
    far = world.far(router)
    far.put(wire(b"") * 2000)
    turns = 0
    while far.read(until=0.0) is Progress.TURN_OVER:
        turns += 1
        assert len(seen) <= 100 * turns
    assert len(seen) == 2000


@pytest.mark.parametrize("sealed", [False, True])
def test_an_answer_within_the_call_that_memory_is_too_short_for_ends_no_peer_that_has_sent_all(kind, sealed):
    account = ACCOUNTS[kind]()
    account.limit_bytes = 1_000_000
    with new_world(lambda: CORES[kind](account)) as world:
        router, seen = world.side("ROUTER"), []
        far = world.far(router, sealed=sealed)

        def answer(peer: Any, parts: list[bytes]) -> None:
            seen.append(len(parts[0]))
            assert peer.put([b"x" * 900_000])

        router.on_message = answer
        message = wire(b"y" * 600_000)
        data = message if not sealed else far.sealed(message)
        for piece in pieces(data):
            far.theirs.sendall(piece)
            far.read()
        assert seen == [600_000]
        assert far.peer.ended is None
        got = Whole(far)
        while far.peer.wants_write:
            far.peer.write(NEVER)
            got.read()
        assert got.messages == [[b"x" * 900_000]]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("type", ["ROUTER", "PUB", "PUSH"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_put_is_delivered_in_order_or_lost_and_is_counted(kind, type, sealed, seed):
    choose, account = random.Random(seed), ACCOUNTS[kind]()
    account.limit_bytes = choose.choice([0, 400_000])
    with new_world(lambda: CORES[kind](account)) as world:
        side = world.side(type, sndhwm=choose.choice([0, 5]), sndhwm_bytes=choose.choice([0, 30_000]))
        fars: list[tuple[Any, Whole, list[list[bytes]]]] = []
        past: list[tuple[Any, list[list[bytes]]]] = []
        number = 0
        for _ in range(300):
            act = choose.random()
            if act < 0.05 or not fars:
                version = choose.choice([*Version] if not sealed else [Version.V3_0, Version.V3_1])
                far = world.far(side, small=True, sealed=sealed, version=version)
                fars.append((far, Whole(far), []))
            elif act < 0.08:
                far, whole, put = fars.pop(choose.randrange(len(fars)))
                far.hang_up()
                assert not far.peer.put([b"gone"])
                side.remove(far.peer)
                world.fars.remove(far)
                assert is_part(whole.messages, put, lost=type == "PUB")
                past.append((far.peer.counts(), put))
            elif act < 0.8:
                far, _, put = choose.choice(fars)
                waits = far.peer.counts().waiting
                number += 1
                parts = [b"%d" % number, b"x" * choose.choice([10, 300, 9000, 60_000])]
                if far.peer.put(parts):
                    put.append(parts)
                else:
                    # Or what others have was the least that memory could be had from.
                    assert waits > 0 or far.peer.ended is not None
            else:
                far, whole, _ = choose.choice(fars)
                far.peer.write(NEVER)
                whole.read()
            for far, _, put in fars:
                counts = far.peer.counts()
                assert counts.matched == len(put)
                assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting
            assert not account.limit_bytes or account.used_bytes < account.limit_bytes + 70_000 * len(fars)
        for far, whole, put in fars:
            while far.peer.wants_write:
                far.peer.write(NEVER)
                whole.read()
            assert is_part(whole.messages, put, lost=type == "PUB")
            assert len(whole.messages) == far.peer.counts().delivered
            past.append((far.peer.counts(), put))
        assert side.counts().matched == sum(len(put) for _, put in past)
        assert side.counts().dropped.get(Drop.LEFT, 0) > 0


def is_part(got: list[list[bytes]], put: list[list[bytes]], *, lost: bool) -> bool:
    """Whether a peer has got, of what was put, the beginning; or where some may be `lost`, some in their order."""
    if not lost:
        return got == put[: len(got)]
    left = iter(put)
    return all(any(one == other for other in left) for one in got)
