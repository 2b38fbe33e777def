"""The table of the busiest topics, pure, against a naive model and against what is promised of it."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.busiest import NaiveBusiest, check_table

from geventrelay.switch.contract import RATE_S
from geventrelay.switch.core_python.busiest import ENTRY_BYTES, Busiest, Entry, decay
from geventrelay.switch.core_python.topics import Topics

TOPIC = st.integers(0, 12).map(lambda number: b"%d" % number * (number % 4))


def table_of(busiest: Busiest) -> dict[bytes, tuple[int, int]]:
    return {one.topic: (one.count, one.error) for one in busiest}


@given(most=st.integers(1, 8), stream=st.lists(st.tuples(TOPIC, st.integers(1, 4)), max_size=80))
@settings(max_examples=300)
def test_a_table_is_what_space_saving_says_and_holds_what_is_promised(most, stream):
    busiest, naive, came = Busiest(most), NaiveBusiest(most), Counter()
    for topic, count in stream:
        entry = busiest.add(topic, count)
        for _ in range(count):
            naive.add(topic)
        came[topic] += count
        assert entry is busiest.get(topic)
        assert table_of(busiest) == {name: (row.count, row.error) for name, row in naive.rows.items()}
    check_table(table_of(busiest), came, most)
    assert busiest.total == sum(came.values())
    assert busiest.nbytes == sum(len(one.topic) + ENTRY_BYTES for one in busiest)
    pairs = [(one.count, one.topic) for one in busiest.most_first()]
    assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.parametrize("skew", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("most", [1, 10, 100])
def test_a_table_of_a_long_stream_holds_what_is_promised(most, skew):
    choose = random.Random(most * skew)
    topics = [b"%d" % number for number in range(1000)]
    stream = choose.choices(topics, [(number + 1) ** -skew for number in range(1000)], k=20_000)
    # The worst that can come: no topic again before all others.
    stream += topics * 3
    busiest, came = Busiest(most), Counter(stream)
    for topic in stream:
        busiest.add(topic, 1)
    check_table(table_of(busiest), came, most)


def test_what_is_left_of_a_topic_that_had_to_go_is_its_count_alone():
    busiest = Busiest(1)
    busiest.add(b"a", 3).measure(3, 100, 5.0)
    entry = busiest.add(b"b", 2)
    assert (entry.count, entry.error, entry.nbytes) == (5, 3, 0)
    assert (entry.per_s, entry.bytes_per_s, entry.last) == (0.0, 0.0, 0.0)
    entry.measure(2, 7, 6.0)
    assert (entry.nbytes, entry.per_s, entry.bytes_per_s, entry.last) == (7, 2 / RATE_S, 7 / RATE_S, 6.0)


@given(came=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5), st.integers(0, 500)), min_size=1, max_size=20))
def test_a_rate_is_the_sum_of_what_came_each_less_with_time(came):
    entry, now, times = Entry(b"", 0), 1000.0, []
    for passed_s, count, nbytes in came:
        now += passed_s
        times.append((now, count, nbytes))
        entry.measure(count, nbytes, now)
    for value, index in ((entry.per_s, 1), (entry.bytes_per_s, 2)):
        expected = sum(one[index] * math.exp((one[0] - now) / RATE_S) / RATE_S for one in times)
        assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
    assert entry.nbytes == sum(one[2] for one in times)


def test_what_comes_evenly_has_its_rate():
    entry = Entry(b"", 0)
    for number in range(100 * int(RATE_S)):
        entry.measure(1, 50, number / 100)
    assert math.isclose(entry.per_s, 100 * (1 - math.exp(-1)), rel_tol=0.01)
    for number in range(1000 * int(RATE_S)):
        entry.measure(1, 50, RATE_S + number / 100)
    assert math.isclose(entry.per_s, 100, rel_tol=0.01)
    assert math.isclose(entry.bytes_per_s, 5000, rel_tol=0.01)


def test_where_time_goes_back_a_rate_does_not_decay():
    entry = Entry(b"", 0)
    entry.measure(10, 100, 50.0)
    entry.measure(10, 100, 40.0)
    assert (entry.per_s, entry.bytes_per_s, entry.last) == (20 / RATE_S, 200 / RATE_S, 40.0)
    assert decay(-5.0) == decay(0.0) == 1.0
    assert decay(RATE_S) == math.exp(-1)


SHORT = st.text("ab", max_size=5).map(str.encode)


@given(every=st.sets(SHORT), topic=SHORT, after=st.none() | SHORT)
@settings(max_examples=200)
def test_what_is_below_a_topic_comes_in_order_from_any_place_on(every, topic, after):
    topics: Topics[bytes] = Topics()
    for one in every:
        topics.add(one, one)
    expected = sorted(one for one in every if one.startswith(topic) and (after is None or one > after))
    assert list(topics.sorted_below(topic, after)) == expected
