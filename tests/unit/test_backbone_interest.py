"""What a device asks the others for, and which messages are for which device: held to a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backbone.interest import EVERYTHING, Interest, Wanted, id_of, interest_of, is_normal
from geventrelay.backbone.topics.sorting import Sorter

# Few letters, so that prefixes of each other come up; the first and the last byte are special.
TOPICS = st.text("ab\x00\xff", max_size=4).map(lambda text: text.encode("latin-1"))
SETS = st.sets(TOPICS, max_size=12)


def wants(interest: Interest | set[bytes], topic: bytes) -> bool:
    return any(topic.startswith(prefix) for prefix in interest)


@given(SETS, TOPICS)
def test_an_interest_says_the_same_in_fewest_words(topics, topic):
    interest = interest_of(topics)
    assert wants(interest, topic) == wants(topics, topic)
    assert is_normal(interest)
    assert set(interest) <= topics
    assert interest_of(interest) == interest


@given(SETS, st.integers(1, 5), st.integers(0, 12), st.integers(0, 4), TOPICS)
def test_a_bounded_interest_is_in_more_and_never_in_less(topics, most, most_bytes, longest, topic):
    interest = interest_of(topics, most, most_bytes, longest)
    assert len(interest) <= most
    assert sum(map(len, interest)) <= most_bytes
    assert all(len(prefix) <= longest for prefix in interest)
    assert is_normal(interest)
    assert wants(interest, topic) or not wants(topics, topic)
    assert bool(interest) == bool(topics)


def test_what_fits_is_not_cut_and_what_does_not_is_cut_no_more_than_it_has_to():
    topics = [b"sensor/%03d/temperature" % number for number in range(200)]
    assert interest_of(topics, 200, 1 << 20) == tuple(topics)
    assert interest_of(topics, 199, 1 << 20) == tuple(b"sensor/%02d" % number for number in range(20))
    assert interest_of(topics, 3, 1 << 20) == (b"sensor/0", b"sensor/1")
    assert interest_of(topics, 1, 1 << 20) == (b"sensor/",)
    assert interest_of([b"a", b"b"], 1, 100) == EVERYTHING


STEPS = st.lists(st.tuples(st.booleans(), TOPICS), max_size=60)


@given(STEPS, st.integers(2, 6), st.integers(4, 40), SETS, TOPICS)
def test_what_subscribers_ask_for_is_asked_for_whatever_comes_and_goes(steps, most, most_bytes, own, topic):
    wanted, topics = Wanted(most, most_bytes), set()
    for is_wanted, one in steps:
        # As an XPUB tells: the first subscription to a topic, and the end of the last.
        if is_wanted is not (one in topics):
            (topics.add if is_wanted else topics.remove)(one)
            (wanted.add if is_wanted else wanted.discard)(one)
        assert len(wanted._counts) <= most
        assert wanted._nbytes == sum(map(len, wanted._counts)) <= most_bytes
        assert sum(wanted._counts.values()) == len(topics)
    interest = wanted.interest(own)
    assert wants(interest, topic) or not wants(topics | own, topic)
    if not topics:
        assert interest == interest_of(own)


def test_few_topics_are_asked_for_as_they_are_and_many_by_their_beginnings():
    wanted = Wanted(100)
    topics = [b"sensor/%03d" % number for number in range(1000)]
    for topic in topics[:100]:
        wanted.add(topic)
    assert wanted.interest() == tuple(topics[:100])
    for topic in topics[100:]:
        wanted.add(topic)
    assert wanted.interest() == tuple(b"sensor/%02d" % number for number in range(100))
    for topic in topics:
        wanted.discard(topic)
    wanted.add(b"sensor/007")
    assert wanted.interest() == (b"sensor/007",)


@given(SETS, SETS)
def test_interests_that_differ_have_other_names(one, other):
    one, other = interest_of(one), interest_of(other)
    assert (id_of(one) == id_of(other)) == (one == other)


def frame(part: bytes, *, more: bool, large: bool) -> bytes:
    if large or len(part) > 255:
        return bytes([2 | more]) + len(part).to_bytes(8, "big") + part
    return bytes([more, len(part)]) + part


def encoded(parts: list[tuple[bytes, bool]]) -> bytes:
    return b"".join(
        frame(part, more=number < len(parts) - 1, large=large) for number, (part, large) in enumerate(parts)
    )


PARTS = st.tuples(TOPICS, st.booleans())
MESSAGES = st.lists(st.lists(PARTS, min_size=1, max_size=3), max_size=12)


@given(st.lists(SETS, max_size=4), MESSAGES)
def test_each_message_comes_to_those_who_want_it_in_order(sets, messages):
    interests = {id_of(one): one for one in map(interest_of, sets)}
    sorter = Sorter(interests)
    found: dict[bytes, list[bytes]] = {name: [] for name in interests}
    data, count, end = b"".join(map(encoded, messages)), 0, 0
    for takers, first, last, number in sorter.sort(data):
        assert first == end
        end = last
        count += number
        for name in takers:
            found[name].append(data[first:last])
    assert (count, end) == (len(messages), len(data))
    for name, interest in interests.items():
        wanted = [encoded(parts) for parts in messages if wants(interest, parts[0][0])]
        assert b"".join(found[name]) == b"".join(wanted)


@given(st.lists(SETS, max_size=4), TOPICS)
def test_takers_of_one_message_are_found_likewise(sets, topic):
    interests = {id_of(one): one for one in map(interest_of, sets)}
    expected = {name for name, one in interests.items() if wants(one, topic)}
    assert set(Sorter(interests).takers(topic)) == expected


def test_with_one_interest_in_everything_no_message_is_looked_at():
    assert Sorter({b"id": EVERYTHING}).only == (b"id",)
    assert Sorter({}).only == ()
    assert Sorter({b"id": (b"a",)}).only is None
    assert Sorter({b"id": EVERYTHING, b"other": (b"a",)}).only is None


@given(st.lists(SETS, max_size=4), st.lists(TOPICS, max_size=30))
def test_a_piece_that_was_found_is_found_again(sets, topics):
    interests = {id_of(one): one for one in map(interest_of, sets)}
    sorter = Sorter(interests)
    for topic in topics:
        found = sorter.takers(topic)
        assert set(found) == {name for name, one in interests.items() if wants(one, topic)}
        assert sorter.takers(topic) is found
    assert sorter._begins == sorted(set(sorter._begins))
    assert all(end <= begin for end, begin in zip(sorter._ends, sorter._begins[1:], strict=False))


def test_pieces_are_bounded():
    sorter = Sorter({b"id": tuple(b"%05d" % number for number in range(1000))})
    for number in range(1000):
        for other in range(20):
            assert bool(sorter.takers(b"%05d.%d" % (number * 50, other))) == (number * 50 < 1000)
    assert len(sorter._begins) <= 10_000
