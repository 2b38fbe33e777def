"""What every core of the switch keeps of all that it has published, so that it can be read again: a log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.switch import ACCOUNTS, CORES, NEVER, World, check, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import LastValuePlan, LogPlan, LogState, Side, SlowSubscriber
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
def test_all_that_was_published_can_be_read_by_number_also_where_nobody_has_subscribed(world, type):
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
        # Nobody has to be connected.
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


def test_put_has_room_for_one_message_only_while_memory_is_short(kind):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        account.limit_bytes = 1_000_000
        router = world.side("ROUTER", sndhwm=0)
        fars = [world.far(router, small=True) for _ in range(3)]
        put = 0
        while fars[0].peer.put([b"x" * 10_000]):
            put += 1
        assert account.used_bytes < 800_000
        assert 70 < put < 80
        assert [fars[1].peer.put([b"y"]) for _ in range(2)] == [True, False]
        fars[0].hang_up()
        router.remove(fars[0].peer)
        fars[1].peer.write(NEVER)
        assert [fars[1].peer.put([b"y"]) for _ in range(2)] == [True, True]
        check_counts(*fars)
