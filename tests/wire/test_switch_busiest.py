"""What every core of the switch counts by topic: what is published, and what each subscriber loses."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from support.switch import ACCOUNTS, CORES, NEVER, Far, World, check, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import (
    LOST_TOPICS,
    LOST_TOPICS_FIRST,
    RATE_S,
    TOPIC_BYTES,
    LastValuePlan,
    LogPlan,
    LostTopic,
    Side,
    SlowSubscriber,
    TopicCounts,
    TopicPlan,
)
from geventrelay.switch.core_python.busiest import Busiest
from geventrelay.zmtp.greeting import Version


@pytest.fixture(params=CORES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which core."""
    return request.param


@pytest.fixture
def world(kind: str) -> Any:
    with new_world(CORES[kind]) as made:
        yield made


def publisher(world: World, *, type: str = "PUB", topics: int = 10, until: bytes = b"", **options: Any) -> Any:
    """A side that counts topics, a peer whose messages it publishes, and the way between them."""
    pub = world.side(type, topics=TopicPlan(topics, until), **options)
    pull, way = world.way("PULL", pub)
    return pub, world.far(pull), way


def counts(side: Side) -> TopicCounts:
    found = side.topic_counts()
    assert found is not None
    assert found.messages == sum(one.messages for one in found.topics)
    assert found.lost == sum(one.lost for one in found.topics) == sum(side.counts().dropped.values())
    return found


def messages(side: Side) -> dict[bytes, int]:
    return {one.topic: one.messages for one in counts(side).topics}


def lost(far: Far) -> list[tuple[bytes, int]]:
    """What a subscriber has lost, where that is exact."""
    found = far.peer.lost_topics()
    assert sum(one.lost for one in found) == sum(far.peer.counts().dropped.values())
    assert [one.error for one in found] == [0] * len(found)
    return [(one.topic, one.lost) for one in found]


# What is published -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["PUB", "XPUB"])
def test_messages_and_bytes_are_counted_by_topic_also_without_a_subscriber(world, type):
    pub, source, way = publisher(world, type=type)
    assert counts(pub) == TopicCounts(0, 0, ())
    before = time.monotonic()
    source.send(wire(b"a 1") + wire(b"a 22") + wire(b"b", b"x" * 300, b"") + wire(b"") + wire(b"a", b"3") + wire(b" y"))
    found = counts(pub)
    assert found.messages == 6
    assert found.lost == 0
    seen = [(one.topic, one.messages, one.error, one.nbytes) for one in found.topics]
    assert seen == [(b"a", 3, 0, 9), (b"", 2, 0, 2), (b"b", 1, 0, 301)]
    # No more can have decayed since.
    left = math.exp(-(time.monotonic() - before) / RATE_S) / RATE_S * 0.999
    for one in found.topics:
        assert before <= one.last <= time.monotonic()
        assert left * one.messages < one.per_s <= one.messages / RATE_S * 1.001
        assert left * one.nbytes < one.bytes_per_s <= one.nbytes / RATE_S * 1.001 or not one.nbytes
        assert (one.lost, one.lost_error, one.subscribers) == (0, 0, 0)
    check(way, source)


def test_only_a_side_that_publishes_and_is_told_to_counts_topics(world):
    for type in ("PUB", "XPUB"):
        side = world.side(type)
        assert side.topic_counts() is None
        assert world.far(side).peer.lost_topics() == []
    for type in ("PULL", "PUSH", "SUB", "XSUB", "ROUTER", "DEALER"):
        side = world.side(type, topics=TopicPlan())
        assert side.topic_counts() is None
        assert world.far(side).peer.lost_topics() == []


def test_a_topic_ends_where_the_plan_says_and_is_cut_where_it_is_too_long(world):
    pub, source, _ = publisher(world, until=b"::")
    long = b"x" * 254
    source.send(wire(b"a b::c") + wire(b"a b", b"more") + wire(b"::") + wire(long + b"::") + wire(long + b"yyz"))
    assert messages(pub) == {b"a b": 2, b"": 1, long: 1, long + b"y": 1}
    pub, source, _ = publisher(world)
    source.send(wire(b"x" * 300, b"1") + wire(b"x" * 255 + b" 2") + wire(b"x" * 255) + wire(b"x" * 256))
    assert messages(pub) == {b"x" * 255: 4}


def test_a_new_topic_takes_the_place_of_the_smallest_that_came_longest_ago(world):
    pub, source, _ = publisher(world, topics=3)
    source.send(b"".join(map(wire, [b"c", b"a 1", b"b", b"a 2", b"c", b"b"])))
    assert messages(pub) == {b"a": 2, b"b": 2, b"c": 2}
    # Of three that have come as often, that is `a`.
    source.send(wire(b"d xx"))
    seen = [(one.topic, one.messages, one.error, one.nbytes) for one in counts(pub).topics]
    assert seen == [(b"d", 3, 2, 4), (b"b", 2, 0, 2), (b"c", 2, 0, 2)]
    source.send(wire(b"e") + wire(b"e"))
    seen = [(one.topic, one.messages, one.error, one.nbytes) for one in counts(pub).topics]
    assert seen == [(b"e", 4, 2, 2), (b"d", 3, 2, 4), (b"b", 2, 0, 2)]
    assert pub.topic_counts().messages == 9


STREAMS = [(1, 0.5), (2, 1.0), (7, 0.2), (100, 1.0), (1000, 0.8), (1000, 3.0), (5000, 0.0)]


def long_stream(skew: float) -> list[bytes]:
    """Topics of all lengths, some of them often one behind the other, and all of them at the end."""
    choose = random.Random(skew)
    topics = [b"%d" % number * choose.randrange(1, 60) for number in range(3000)]
    weights = [(number + 1) ** -skew for number in range(len(topics))]
    stream = [topic for topic in choose.choices(topics, weights, k=15_000) for _ in range(choose.choice([1, 1, 1, 4]))]
    return stream + topics * 2


def send_all(source: Far, topics: list[bytes]) -> None:
    for start in range(0, len(topics), 500):
        source.send(b"".join(wire(topic, b"") for topic in topics[start : start + 500]))


@pytest.mark.parametrize(("most", "skew"), STREAMS)
def test_a_long_stream_is_counted_as_the_rule_says(world, most, skew):
    pub, source, _ = publisher(world, topics=most)
    stream = long_stream(skew)
    expected = Busiest(most)
    for at in range(0, len(stream), 5000):
        send_all(source, stream[at : at + 5000])
        for topic in stream[at : at + 5000]:
            expected.add(topic[:TOPIC_BYTES], 1)
        found = [(one.topic, one.messages, one.error) for one in counts(pub).topics]
        assert found == [(one.topic, one.count, one.error) for one in expected.most_first()]


@pytest.mark.parametrize("skew", [0.0, 0.8, 3.0])
def test_so_are_the_losses_of_one_subscriber_and_of_all(world, skew):
    pub, source, _ = publisher(world, topics=1000, sndhwm=1)
    far = slow(world, pub)
    fill(source)
    stream = long_stream(skew)
    send_all(source, stream)
    of_one, of_all = Busiest(LOST_TOPICS), Busiest(1000)
    for topic in stream:
        for table in (of_one, of_all):
            table.add(topic[:TOPIC_BYTES], 1)
    expected = [LostTopic(one.topic, one.count, one.error) for one in of_one.most_first()]
    assert far.peer.lost_topics() == expected
    found = {one.topic: (one.lost, one.lost_error) for one in counts(pub).topics if one.lost}
    assert found == {one.topic: (one.count, one.error) for one in of_all}


def test_subscribers_of_a_topic_are_those_that_its_messages_get_to(world):
    pub, source, _ = publisher(world)
    fars = [world.far(pub) for _ in range(4)]
    for far, topics in zip(fars, ([b""], [b"a", b"ab"], [b"ab", b"b"], [b"abc"]), strict=True):
        far.send(b"".join(map(subscribe, topics)))
    source.send(b"".join(map(wire, [b"a", b"ab", b"abc", b"b", b""])))
    seen = {one.topic: one.subscribers for one in counts(pub).topics}
    assert seen == {b"": 1, b"a": 2, b"ab": 3, b"abc": 4, b"b": 2}
    fars[1].peer.detach()
    seen = {one.topic: one.subscribers for one in counts(pub).topics}
    assert seen == {b"": 1, b"a": 1, b"ab": 2, b"abc": 3, b"b": 2}


def test_stamps_belong_neither_to_topics_nor_to_bytes(world):
    pub, source, _ = publisher(world, log=LogPlan(), stamp=True)
    source.send(wire(b"a 1") + wire(b"a b", b"22"))
    assert [(one.topic, one.messages, one.nbytes) for one in counts(pub).topics] == [(b"a", 1, 3), (b"a b", 1, 5)]


def test_a_rate_decays(world):
    pub, source, _ = publisher(world)
    source.send(b"".join(wire(b"a") for _ in range(1000)))
    first, *_ = counts(pub).topics
    later, *_ = counts(pub).topics
    assert 0 < later.per_s <= first.per_s <= 1000 / RATE_S


def test_a_side_forgets_what_it_has_counted(world):
    pub, source, _ = publisher(world)
    source.send(wire(b"a"))
    assert messages(pub) == {b"a": 1}
    assert not pub.forget(NEVER)
    assert counts(pub) == TopicCounts(0, 0, ())


# What is lost ------------------------------------------------------------------------------------------------------

STREAM = [b"a 1", b"b 1", b"a 2", b"c 1", b"b 2", b"a 3"]


def slow(world: World, pub: Side, **options: Any) -> Far:
    """A subscriber that reads nothing."""
    far = world.far(pub, small=True, **options)
    far.put(subscribe(b"") if options.get("version") is not Version.V3_0 else wire(b"\1"))
    far.read()
    return far


def fill(source: Far) -> None:
    """Have slow subscribers wait for the rest of a message, which is written in part."""
    source.send(wire(b"fill", b"x" * 100_000))


@pytest.mark.parametrize("stamp", [False, True])
@pytest.mark.parametrize("version", [Version.V3_1, Version.V1_0])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # One of three is the one that is written in part.
        (SlowSubscriber.DROP, [(b"a", 2), (b"b", 1), (b"c", 1)]),
        (SlowSubscriber.DROP_OLDEST, [(b"a", 2), (b"b", 1), (b"c", 1)]),
        (SlowSubscriber.DISCONNECT, [(b"a", 2), (b"b", 1), (b"fill", 1)]),
        (SlowSubscriber.BLOCK, []),
    ],
)
def test_what_a_slow_subscriber_loses_is_told_by_topic(world, policy, expected, version, stamp):
    log = LogPlan() if stamp else None
    pub, source, way = publisher(world, sndhwm=3, slow_subscriber=policy, log=log, stamp=stamp)
    far, other = slow(world, pub, version=version), world.far(pub)
    other.send(subscribe(b"a"))
    fill(source)
    source.send(b"".join(map(wire, STREAM)))
    assert lost(far) == expected
    assert lost(other) == []
    assert sorted((one.topic, one.lost) for one in counts(pub).topics if one.lost) == expected
    check(way, source, far, other)


def test_what_still_waits_is_lost_when_a_subscriber_is_removed_and_can_be_read_then(world):
    pub, source, _ = publisher(world)
    far = slow(world, pub)
    fill(source)
    source.send(b"".join(map(wire, STREAM)))
    assert lost(far) == []
    pub.remove(far.peer)
    assert lost(far) == [(b"a", 3), (b"b", 2), (b"c", 1), (b"fill", 1)]
    assert {one.topic: one.lost for one in counts(pub).topics} == {b"a": 3, b"b": 2, b"c": 1, b"fill": 1}


def test_what_waits_too_long_is_lost(world):
    pub, source, _ = publisher(world, subscriber_max_age_s=60.0)
    far = slow(world, pub)
    fill(source)
    source.send(b"".join(map(wire, STREAM)))
    pub.drop_too_old(time.monotonic() + 61.0)
    assert lost(far) == [(b"a", 3), (b"b", 2), (b"c", 1)]
    assert far.peer.counts().dropped == {Drop.TOO_OLD: 6}


def test_last_values_for_which_there_is_no_room_are_lost(world):
    pub, source, _ = publisher(world, last_values=LastValuePlan())
    source.send(wire(b"b", b"x") + wire(b"a", b"x" * 5000) + wire(b"c 1"))
    pub.plan = replace(pub.plan, last_values=LastValuePlan(nbytes=1000))
    far = world.far(pub)
    far.send(subscribe(b""))
    assert far.got() == [[b"b", b"x"], [b"c 1"]]
    assert lost(far) == [(b"a", 1)]
    assert counts(pub).topics[0].lost == 1


def test_a_topic_that_is_lost_and_no_more_among_the_busiest_is_told(world):
    pub, source, _ = publisher(world, topics=1, sndhwm=1)
    far = slow(world, pub)
    fill(source)
    source.send(wire(b"a 1") + wire(b"b 1"))
    pub.remove(far.peer)
    # What waited was lost last.
    assert [(one.topic, one.messages > 0, one.lost, one.lost_error) for one in counts(pub).topics] == [
        (b"b", True, 0, 0),
        (b"fill", False, 3, 2),
    ]
    (last,) = [one for one in counts(pub).topics if one.topic == b"fill"]
    assert (last.error, last.nbytes, last.per_s, last.bytes_per_s, last.last) == (0, 0, 0.0, 0.0, 0.0)


def test_of_one_subscriber_a_bounded_number_of_topics_is_told(world):
    pub, source, _ = publisher(world, topics=1000, sndhwm=1)
    far = slow(world, pub)
    fill(source)
    every = many(3 * LOST_TOPICS, size=0, first=1000)
    source.send(wire(b"often", b"") * 50 + b"".join(map(wire, every)))
    found = far.peer.lost_topics()
    assert len(found) == LOST_TOPICS
    assert sum(one.lost for one in found) == far.peer.counts().dropped[Drop.SLOW] == 50 + len(every)
    assert found[0] == LostTopic(b"often", 50, 0)
    assert all(one.lost - one.error <= 1 for one in found[1:])
    # The side has room for all of them.
    assert all(one.lost == one.messages for one in counts(pub).topics if one.topic != b"fill")


def test_what_is_told_of_losses_is_in_the_account_until_the_peer_goes(kind):
    account = ACCOUNTS[kind]()
    with new_world(lambda: CORES[kind](account)) as world:
        pub, source, _ = publisher(world, topics=1000, sndhwm=1)
        far = slow(world, pub)
        fill(source)
        before = account.used_bytes
        every = [b"%d" % number + b"x" * 240 for number in range(1000, 1000 + LOST_TOPICS)]
        source.send(b"".join(map(wire, every)))
        used = account.used_bytes - before
        assert 250 * LOST_TOPICS < used < 1000 * LOST_TOPICS
        source.send(b"".join(map(wire, every)))
        assert account.used_bytes - before == used
        pub.remove(far.peer)
        world.core.tidy(NEVER)
        assert account.used_bytes == 0


@pytest.mark.parametrize("peers", [1, 20])
def test_where_memory_is_short_fewer_topics_of_losses_are_told(kind, peers):
    account = ACCOUNTS[kind]()
    account.limit_bytes = 400_000
    with new_world(lambda: CORES[kind](account)) as world:
        pub, source, _ = publisher(world, topics=1000, sndhwm=1)
        fars = [slow(world, pub) for _ in range(peers)]
        fill(source)
        before = account.used_bytes
        every = [b"%d" % number + b"x" * 240 for number in range(1000, 1000 + 2 * LOST_TOPICS)]
        for start in range(0, len(every), 10):
            source.send(b"".join(map(wire, every[start : start + 10])))
        # And the first ones of each.
        assert account.used_bytes - before < account.limit_bytes // 8 + 10_000 + peers * LOST_TOPICS_FIRST * 700
        for far in fars:
            found = far.peer.lost_topics()
            assert LOST_TOPICS_FIRST <= len(found) <= LOST_TOPICS
            assert sum(one.lost for one in found) == sum(far.peer.counts().dropped.values()) == len(every)
            assert max(one.error for one in found) <= len(every) // len(found)
        assert peers == 1 or min(len(far.peer.lost_topics()) for far in fars) < LOST_TOPICS
        assert all(far.peer.ended is None for far in fars)


# Last values, to be read -------------------------------------------------------------------------------------------


def topics_of(side: Side, prefix: bytes, after: bytes | None = None, most: int = 1000) -> list[bytes]:
    return [topic for topic, _, _ in side.last_values_from(prefix, after, most)]


def test_last_values_are_read_by_topic(world):
    pub, source, _ = publisher(world, last_values=LastValuePlan())
    before = time.monotonic()
    source.send(b"".join(map(wire, [b"b 1", b"a x", b"ab", b"a", b"abc 1", b"a y"])) + wire(b"b", b"", b"2"))
    found = pub.last_values_from(b"", None, 1000)
    assert [(topic, parts) for topic, _, parts in found] == [
        (b"a", [b"a y"]),
        (b"ab", [b"ab"]),
        (b"abc", [b"abc 1"]),
        (b"b", [b"b", b"", b"2"]),
    ]
    assert all(before <= at <= time.monotonic() for _, at, _ in found)
    assert topics_of(pub, b"ab") == [b"ab", b"abc"]
    assert topics_of(pub, b"a ") == topics_of(pub, b"a y") == [b"a"]
    assert topics_of(pub, b"a x") == topics_of(pub, b"abd") == topics_of(pub, b"c") == []
    assert topics_of(pub, b"", b"ab") == [b"abc", b"b"]
    assert topics_of(pub, b"", b"aa", 2) == [b"ab", b"abc"]
    assert topics_of(pub, b"a y", b"a") == topics_of(pub, b"", b"b") == []
    assert pub.kept_values().given == 0


def test_last_values_that_are_read_at_once_are_bounded(world):
    pub, source, _ = publisher(world, last_values=LastValuePlan())
    for name in b"abcde":
        data = wire(b"%c" % name, b"x" * 400_000)
        for start in range(0, len(data), 50_000):
            source.send(data[start : start + 50_000])
    assert topics_of(pub, b"") == [b"a", b"b"]
    assert topics_of(pub, b"", b"b") == [b"c", b"d"]
    assert topics_of(pub, b"", b"d") == [b"e"]
    assert topics_of(pub, b"", None, 1) == [b"a"]


def test_a_last_value_has_its_stamp_and_one_that_is_too_old_is_not_read(world):
    pub, source, _ = publisher(world, last_values=LastValuePlan(max_age_s=60.0), log=LogPlan(first=7), stamp=True)
    source.send(wire(b"a 1"))
    ((topic, _, parts),) = pub.last_values_from(b"a", None, 10)
    assert (topic, parts) == (b"a", [b"a 1", (7).to_bytes(8, "big")])
    assert world.side("PUB").last_values_from(b"", None, 10) == []
    pub, source, _ = publisher(world, last_values=LastValuePlan(max_age_s=1e-9))
    source.send(wire(b"a 1"))
    assert pub.last_values_from(b"", None, 10) == []
