"""What every core of the switch keeps for subscribers that come later: the last message of each topic."""

from __future__ import annotations

import gc
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.last_values import Kept, topic_of
from support.switch import ACCOUNTS, CORES, NEVER, World, cancel, check, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Grant
from geventrelay.switch.contract import Forgotten, LastValuePlan, Progress, SlowSubscriber
from geventrelay.zmtp.greeting import Version


def publisher(world: World, *, type: str = "PUB", plan: LastValuePlan | None = None, **options: Any) -> Any:
    """A side that keeps last values, a peer whose messages it publishes, and the way between them."""
    pub = world.side(type, last_values=plan or LastValuePlan(), **options)
    pull, way = world.way("PULL", pub)
    return pub, world.far(pull), way


@pytest.mark.parametrize("version", [*Version])
@pytest.mark.parametrize("type", ["PUB", "XPUB"])
def test_a_later_subscriber_gets_the_last_message_of_each_topic_in_the_order_in_which_they_came(world, type, version):
    pub, source, way = publisher(world, type=type)
    source.send(wire(b"a", b"1") + wire(b"b 1") + wire(b"ab", b"", b"x" * 300) + wire(b"a", b"2") + wire(b"b 2"))
    late = world.far(pub, version=version)
    if version is not Version.V1_0:
        late.send(subscribe(b"") if version is Version.V3_1 else wire(b"\1"))
    late.peer.write(NEVER)
    assert late.got() == [[b"ab", b"", b"x" * 300], [b"a", b"2"], [b"b 2"]]
    source.send(wire(b"a", b"3"))
    assert late.got() == [[b"a", b"3"]]
    check(way, source, late)


def test_a_subscription_gets_what_it_matches_and_the_peer_had_not_and_other_peers_get_nothing(world):
    pub, source, way = publisher(world)
    fars = [world.far(pub) for _ in range(2)]
    fars[0].send(subscribe(b""))
    every = [b"a 1", b"ab 1", b"abc 1", b"b 1"]
    source.send(b"".join(map(wire, every)))
    assert fars[0].singles() == every
    for topic, got in (
        (b"ab", [b"ab 1", b"abc 1"]), (b"ab", []), (b"abc", []), (b"a", [b"a 1"]), (b"", [b"b 1"]), (b"a 1", [])
    ):  # fmt: skip
        fars[1].send(subscribe(topic))
        assert fars[1].singles() == got, topic
    # A new subscription, as far as the relay knows.
    fars[1].send(cancel(b"") + subscribe(b""))
    assert fars[1].singles() == [b"b 1"]
    assert fars[0].singles() == []
    check(way, source, *fars)


def test_what_is_subscribed_to_may_be_longer_than_a_topic(world):
    pub, source, _ = publisher(world)
    source.send(wire(b"temp 21") + wire(b"temp 3") + wire(b"tempo", b"1") + wire(b"te 1"))
    late = world.far(pub)
    for topic, got in ((b"temp 2", []), (b"temp 3", [b"temp 3"]), (b"temp", [b"tempo"])):
        late.send(subscribe(topic))
        assert [parts[0] for parts in late.got()] == got


@pytest.mark.parametrize(("until", "topics"), [(b"", 3), (b":", 2), (b"::", 3), (b"1", 3)])
def test_topic_until_says_what_the_topic_of_a_message_is(world, until, topics):
    pub, source, _ = publisher(world, plan=LastValuePlan(topic_until=until))
    source.send(wire(b"a:1") + wire(b"a:2", b"x") + wire(b"b::1") + wire(b"b::1"))
    assert pub.kept_values().count == topics


def test_only_messages_that_begin_with_a_prefix_are_kept(world):
    pub, source, _ = publisher(world, plan=LastValuePlan(prefixes=(b"ab", b"a", b"c")))
    source.send(b"".join(map(wire, [b"a", b"b", b"abc", b"", b"c 1", b"c 2"])))
    late = world.far(pub)
    late.send(subscribe(b""))
    assert late.singles() == [b"a", b"abc", b"c 2"]


def test_the_oldest_make_room_and_what_was_forgotten_is_counted(world):
    pub, source, _ = publisher(world, plan=LastValuePlan(topics=3, nbytes=60))
    source.send(b"".join(map(wire, [b"a 1", b"b 1", b"c 1", b"a 2", b"d 1"])))
    assert pub.kept_values().forgotten == {Forgotten.TOPICS: 1}
    late = world.far(pub)
    late.send(subscribe(b""))
    assert late.singles() == [b"c 1", b"a 2", b"d 1"]
    source.send(wire(b"d " + b"x" * 46))
    # One that is too large is not kept, and neither is what it has replaced.
    source.send(wire(b"a " + b"x" * 60))
    kept = pub.kept_values()
    assert (kept.count, kept.nbytes) == (2, 55)
    assert kept.forgotten == {Forgotten.TOPICS: 1, Forgotten.BYTES: 1}
    source.send(wire(b"e 12"))
    assert (pub.kept_values().count, pub.kept_values().nbytes) == (2, 56)
    assert pub.kept_values().forgotten == {Forgotten.TOPICS: 1, Forgotten.BYTES: 2}


def test_other_bounds_count_from_the_next_message_on(world):
    pub, source, _ = publisher(world)
    source.send(b"".join(map(wire, [b"a", b"b", b"c"])))
    pub.plan = replace(pub.plan, last_values=LastValuePlan(topics=2))
    source.send(wire(b"d"))
    assert pub.kept_values().forgotten == {Forgotten.TOPICS: 2}
    late = world.far(pub)
    late.send(subscribe(b""))
    assert late.singles() == [b"c", b"d"]


def test_what_is_too_old_is_not_given(world):
    pub, source, _ = publisher(world, plan=LastValuePlan(max_age_s=1e-9))
    source.send(wire(b"a 1"))
    late = world.far(pub)
    late.send(subscribe(b""))
    assert late.singles() == []
    assert pub.kept_values().forgotten == {Forgotten.AGE: 1}
    assert (pub.kept_values().count, pub.kept_values().nbytes) == (0, 0)


@pytest.mark.parametrize(
    ("slow", "marks"),
    [
        (SlowSubscriber.DROP, {"sndhwm": 2}),
        (SlowSubscriber.DROP_OLDEST, {"sndhwm": 2}),
        (SlowSubscriber.DISCONNECT, {"sndhwm_bytes": 100, "sndhwm": 0}),
        (SlowSubscriber.BLOCK, {"sndhwm_bytes": 100, "sndhwm": 0}),
    ],
)
def test_ten_thousand_last_values_reach_a_slow_subscriber_whatever_the_mark_is(world, marks, slow):
    pub, source, way = publisher(world, slow_subscriber=slow, **marks)
    every = many(10_000)
    for start in range(0, len(every), 1000):
        source.send(b"".join(wire(b"%s %d" % (one, start)) for one in every[start : start + 1000]))
    late, other = world.far(pub, small=True), world.far(pub)
    late.send(subscribe(b""))
    waiting = late.peer.counts().waiting
    assert waiting > 5000
    # The others do not wait, and what is published then comes behind it.
    other.send(subscribe(b"live"))
    source.send(wire(b"live 1"))
    assert other.singles() == [b"live 1"]
    got = late.all_singles()
    assert [one.split()[0] for one in got] == [*every, b"live"]
    assert late.peer.counts().dropped == {}
    check(way, source, late, other)


@pytest.mark.parametrize("slow", [SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST])
def test_behind_a_snapshot_the_mark_counts_what_is_published_later(world, slow):
    pub, source, way = publisher(world, sndhwm=2, slow_subscriber=slow)
    source.send(b"".join(wire(b"%s %s" % (one, b"x" * 200)) for one in many(200)))
    late = world.far(pub, small=True)
    late.send(subscribe(b""))
    assert late.peer.counts().waiting > 100
    for number in range(5):
        source.send(wire(b"live %d" % number))
    got = late.all_singles()
    assert [one.split()[0] for one in got[:200]] == many(200)
    wanted = (3, 4) if slow is SlowSubscriber.DROP_OLDEST else (0, 1)
    assert got[200:] == [b"live %d" % number for number in wanted]
    assert late.peer.counts().dropped == {Drop.SLOW: 3}
    check(way, source, late)


@pytest.mark.parametrize("half", ["message", "last value"])
@pytest.mark.parametrize(("sndhwm", "share"), [(4, 0.9), (4, 0.5), (40, 0.1)])
def test_among_last_values_the_oldest_of_the_others_is_dropped(world, sndhwm, share, half):
    choose = random.Random(sndhwm)
    pub, source, way = publisher(world, sndhwm=sndhwm, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    first, values, waits = wire(b"first " + b"x" * 50_000), many(300), [b"first"]
    late = world.far(pub, small=True)
    source.send(first if half == "last value" else b"")
    late.send(subscribe(b"live") + subscribe(b"first"))
    # From now on all waits.
    source.send(first if half == "message" else b"")
    source.send(b"".join(map(wire, values)))
    for number in range(300):
        if choose.random() < share:
            late.send(subscribe(values[number]))
            waits.append(values[number])
            continue
        source.send(wire(b"live %d" % number))
        waits.append(b"live %d" % number)
        lives = [one for one in waits if one.startswith(b"live")]
        if len(lives) > sndhwm - (half == "message"):
            waits.remove(lives[0])
    got: list[list[bytes]] = []
    read_all(late, got)
    assert [one[:5] if one.startswith(b"first") else one for (one,) in got] == waits
    assert late.peer.counts().dropped[Drop.SLOW] > 0
    check(way, source, late)


@pytest.mark.parametrize("others", [1, 100])
def test_what_was_had_by_longer_topics_is_left_out_whoever_else_has_subscribed_to_them(world, others):
    pub, source, _ = publisher(world)
    source.send(b"".join(map(wire, [b"a", b"ab", b"abc", b"abcd", b"b"])))
    late, other = world.far(pub), world.far(pub)
    other.send(subscribe(b"ab") + subscribe(b"abcd"))
    # With many topics of its own, and with few.
    late.send(b"".join(map(subscribe, [b"abc", *(b"x%d" % number for number in range(others))])))
    assert late.singles() == [b"abc", b"abcd"]
    late.send(subscribe(b"a"))
    assert late.singles() == [b"a", b"ab"]
    late.send(cancel(b"abc") + cancel(b"a") + subscribe(b""))
    assert late.singles() == [b"a", b"ab", b"abc", b"abcd", b"b"]


def test_no_more_last_values_wait_for_a_peer_than_may_be_kept(world):
    pub, source, way = publisher(world, plan=LastValuePlan(topics=10))
    hold = world.far(pub, small=True)
    for number in range(10):
        source.send(wire(b"%d %s" % (number, b"x" * 50_000)))
    for _ in range(5):
        hold.send(subscribe(b"") + cancel(b""))
    counts = hold.peer.counts()
    assert counts.waiting <= 10
    assert counts.dropped[Drop.SLOW] > 0
    assert counts.matched == 50 == pub.kept_values().given
    check(way, source, hold)


@pytest.mark.parametrize("form", ["commands", "messages"])
def test_a_peer_that_asks_for_all_of_them_again_and_again_gets_them_once_a_turn(world, form):
    pub, source, way = publisher(world, plan=LastValuePlan(prefixes=tuple(b"%d" % digit for digit in range(10))))
    every = many(2000)
    source.send(b"".join(map(wire, every)))
    far, other = world.far(pub), world.far(pub)
    other.send(subscribe(b"live"))
    ask, end = (subscribe(b""), cancel(b"")) if form == "commands" else (wire(b"\1"), wire(b"\0"))
    far.put(ask + (end + ask) * 50)
    got: list[bytes] = []
    turns, given, progress = 0, 0, Progress.TURN_OVER
    while progress is Progress.TURN_OVER:
        progress = far.read(until=0.0)
        before, given = given, pub.kept_values().given
        assert given - before <= len(every), "more than one snapshot in a turn"
        turns += given > before
        # Between two turns, others are served.
        source.send(wire(b"live %d" % turns))
        assert other.singles() == [b"live %d" % turns]
        got += far.all_singles()
    assert progress is Progress.NOT_READY
    assert turns == 51
    assert [one for one in got if not one.startswith(b"live")] == every * 51
    check(way, source, far, other)


def test_last_values_that_a_peer_loses_count_for_its_turn_too(world):
    pub, source, way = publisher(world, plan=LastValuePlan(topics=2000))
    source.send(b"".join(map(wire, many(2000))))
    far = world.far(pub, small=True)
    far.put(subscribe(b"") + (cancel(b"") + subscribe(b"")) * 50)
    given, progress = 0, Progress.TURN_OVER
    while progress is Progress.TURN_OVER:
        progress = far.read(until=0.0)
        before, given = given, pub.kept_values().given
        assert given - before <= 2000, "more than one snapshot in a turn"
    assert given == 51 * 2000
    assert far.peer.counts().dropped[Drop.SLOW] >= 49 * 2000
    check(way, source, far)


def test_a_peer_gets_no_last_value_that_it_may_not_subscribe_to(world):
    pub, source, _ = publisher(world)
    source.send(wire(b"a 1") + wire(b"b 1"))
    late = world.far(pub, grant=Grant(subscribe=(b"a",)))
    late.send(subscribe(b"") + subscribe(b"a"))
    assert late.singles() == [b"a 1"]


def test_an_xsub_asks_for_what_is_kept_whatever_is_asked_for_downstream(world):
    xsub = world.side("XSUB")
    xsub.subscribe(b"a")
    xpub = world.side("XPUB", last_values=LastValuePlan())
    world.way(xsub, xpub)
    world.way(xpub, xsub)
    source, sink = world.far(xsub), world.far(xpub)
    sink.send(subscribe(b"a") + subscribe(b"b") + cancel(b"a") + cancel(b"b"))
    source.peer.write(NEVER)
    source.bytes()
    assert list(xsub.asks_for) == [b"a"]
    later = world.far(xsub)
    later.peer.write(NEVER)
    assert later.bytes() == subscribe(b"a")


TOPICS = [b"", b"a", b"ab", b"abc", b"b", b"b " * 3, b"ba"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 2)), max_size=5)),
        st.tuples(st.sampled_from(["subscribe", "cancel"]), st.integers(0, 2), st.sampled_from(TOPICS)),
        st.tuples(st.sampled_from(["come", "go", "stall", "read"]), st.integers(0, 2)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, most=st.sampled_from([2, 100]))
@pytest.mark.parametrize("make", CORES.values(), ids=[*CORES])
def test_each_subscriber_gets_the_snapshot_of_a_model_and_then_all_that_follows(make, steps, most):
    with new_world(make) as world:
        pub, source, way = publisher(world, plan=LastValuePlan(topics=most), sndhwm=0)
        model, fars, number = Kept(most), dict.fromkeys(range(3)), 0
        got: dict[int, list[list[bytes]]] = {}
        for step in steps:
            match step:
                case ("publish", messages):
                    sent = []
                    for topic, more in messages:
                        number += 1
                        parts = [topic, *[b"%d" % number] * more] if more else [topic + b" %d" % number]
                        sent.append(parts)
                        model.publish(parts)
                    source.send(b"".join(wire(*parts) for parts in sent))
                case ("come", who) if fars[who] is None:
                    fars[who], got[who] = world.far(pub, small=True), []
                    model.come(who)
                case ("go", who) if fars[who] is not None:
                    got[who] += whole_messages(fars[who])
                    # It has read a part of what it was to get, and nothing else.
                    assert got[who] == model.wanted[who][: len(got[who])]
                    fars[who].hang_up()
                    fars[who] = None
                    model.go(who)
                case ("stall", who) if fars[who] is not None:
                    # More than the kernel takes: from now on all waits.
                    parts = [b"stall%d" % who, b"x" * 50_000]
                    fars[who].send(subscribe(parts[0]))
                    model.subscribe(who, parts[0])
                    source.send(wire(*parts))
                    model.publish(parts)
                case ("read", who) if fars[who] is not None:
                    read_all(fars[who], got[who])
                    assert got[who] == model.wanted[who]
                case ("subscribe" | "cancel", who, topic) if fars[who] is not None:
                    fars[who].send(subscribe(topic) if step[0] == "subscribe" else cancel(topic))
                    (model.subscribe if step[0] == "subscribe" else model.cancel)(who, topic)
        for who, far in fars.items():
            if far is not None:
                read_all(far, got[who])
                assert got[who] == model.wanted[who]
        check(way, source, *(far for far in fars.values() if far is not None))
        assert pub.kept_values().count == len(model.values)


def whole_messages(far: Any) -> list[list[bytes]]:
    """What has come, without a message whose end has not."""
    found: list[list[bytes]] = [[]]
    for frame in far.frames():
        found[-1].append(frame.body)
        if not frame.more:
            found.append([])
    return found[:-1]


def read_all(far: Any, got: list[list[bytes]]) -> None:
    """Read until nothing waits any more, also of a message that came in half."""
    data = [far.raw()]
    while far.peer.wants_write:
        far.peer.write(NEVER)
        data.append(far.raw())
    far.feed(b"".join(data))
    got += far.got()


def story(world: World, seed: int) -> list[object]:
    """All that can be seen where subscribers are slow and little is kept."""
    choose = random.Random(seed)
    plan = LastValuePlan(
        topics=choose.choice([2, 5, 100]),
        nbytes=choose.choice([60, 10_000_000]),
        prefixes=choose.choice([None, (b"a", b"s"), (b"ab",)]),
        topic_until=choose.choice([b"", b" ", b"::"]),
    )
    slow, marks = (
        choose.choice([*SlowSubscriber][:3]),
        choose.choice([{"sndhwm": 0}, {"sndhwm": 3}, {"sndhwm_bytes": 90}]),
    )
    pub, source, way = publisher(world, plan=plan, slow_subscriber=slow, **marks)
    fars = [world.far(pub, small=True, sealed=choose.random() < 0.3) for _ in range(2)]
    for far in fars:
        if choose.random() < 0.5:
            far.send(subscribe(b"stall"))
    source.send(wire(b"stall", b"x" * 50_000))
    seen: list[object] = []
    for number in range(30):
        far, topic = choose.choice(fars), choose.choice(TOPICS)
        match choose.choice(["publish", "publish", "subscribe", "cancel"]):
            case "publish":
                parts = choose.choice([[topic], [topic, b"%d" % number], [topic + b" %d" % number], [topic + b"::1"]])
                # How many come together says how many count for a subscriber that is disconnected at the first.
                source.send(wire(*parts) * (1 if slow is SlowSubscriber.DISCONNECT else choose.choice([1, 1, 2])))
            case what if far.peer.ended is None:
                far.send(subscribe(topic) if what == "subscribe" else cancel(topic))
        seen += [pub.kept_values(), *(one.peer.counts() for one in fars), dict(way.counters.outlets[0].dropped)]
    for far in fars:
        got: list[list[bytes]] = []
        if far.peer.ended is None:
            read_all(far, got)
        seen += [got, far.peer.counts(), far.peer.ended and far.peer.ended.fault]
    return seen


@pytest.mark.skipif("native" not in CORES, reason="the native core is not built")
def test_both_cores_do_the_same_with_slow_subscribers_and_little_that_is_kept():
    for seed in range(60):
        stories = []
        for make in CORES.values():
            with new_world(make) as world:
                stories.append(story(world, seed))
        for number, (one, other) in enumerate(zip(*stories, strict=True)):
            assert one == other, f"seed {seed}, entry {number}"


@pytest.mark.parametrize(
    ("parts", "topic"), [([b"a b"], b"a"), ([b"a b", b"c"], b"a b"), ([b"a"], b"a"), ([b""], b""), ([b" a"], b"")]
)
def test_the_topic_of_a_message_is_as_the_model_has_it(world, parts, topic):
    assert topic_of(parts) == topic
    pub, source, _ = publisher(world)
    source.send(wire(*parts) + wire(topic, b"another of the same topic"))
    assert pub.kept_values().count == 1


@pytest.mark.parametrize("core", CORES)
def test_last_values_make_room_when_memory_is_short_and_leave_half_of_it_to_others(core):
    account = ACCOUNTS[core]()
    world = World(CORES[core](account))
    account.limit_bytes = 1_000_000
    pub, source, way = publisher(world)
    for number in range(30):
        source.send(wire(b"%d %s" % (number, b"x" * 50_000)))
    kept = pub.kept_values()
    assert kept.nbytes <= 500_000
    assert kept.forgotten == {Forgotten.MEMORY: 30 - kept.count}
    account.limit_bytes = 300_000
    assert pub.kept_values().nbytes <= 300_000
    late = world.far(pub)
    late.send(subscribe(b""))
    got: list[list[bytes]] = []
    read_all(late, got)
    assert len(got) == pub.kept_values().count > 0
    check(way, source, late)
    world.close()
    del world, pub, source, late, way
    gc.collect()
    assert account.used_bytes == 0
