"""Which events the throttle writes and which it counts, and that the counts add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.server.logs import LogThrottle

# Steps in time and the kind of what then happens.
STEPS = st.lists(st.tuples(st.floats(0, 3), st.sampled_from("ab")), max_size=300)


def test_the_first_ones_pass_and_then_there_is_a_count_for_every_second():
    throttle = LogThrottle(3)
    assert [throttle.passes("a", 0.1 * number) for number in range(10)] == [True] * 3 + [False] * 7
    assert throttle.due(0.9) == []
    assert throttle.due(1.0) == [("a", 7)]
    assert [throttle.passes("a", 1.1) for _ in range(5)] == [False] * 5
    assert throttle.due(2.0) == [("a", 5)]


def test_after_a_quiet_second_the_first_ones_pass_again():
    throttle = LogThrottle(3)
    for _ in range(5):
        throttle.passes("a", 0)
    assert throttle.due(1) == [("a", 2)]
    assert throttle.due(2) == []
    assert throttle.passes("a", 2)


def test_another_kind_is_another_storm():
    throttle = LogThrottle(1)
    assert [throttle.passes(kind, 0) for kind in "abab"] == [True, True, False, False]
    assert throttle.due(1) == [("a", 1), ("b", 1)]


def test_nothing_is_remembered_of_what_was_no_storm():
    throttle = LogThrottle(10)
    for number in range(1000):
        throttle.due(number * 0.01)
        throttle.passes(number, number * 0.01)
    assert len(throttle._windows) <= 210


@given(STEPS, st.integers(1, 5))
def test_what_passes_and_what_is_counted_is_all_there_was(steps, limit):
    throttle, now, told = LogThrottle(limit), 0.0, {"a": 0, "b": 0}
    for step, kind in steps:
        now += step
        for which, count in throttle.due(now):
            told[which] += count
        told[kind] += throttle.passes(kind, now)
    held_back = throttle.holds_back
    rest = throttle.rest()
    assert held_back == bool(rest)
    for which, count in rest:
        told[which] += count
    assert told == {kind: sum(one == kind for _, one in steps) for kind in "ab"}


@given(STEPS, st.integers(1, 5))
def test_no_more_lines_than_the_limit_within_a_second_and_one_count(steps, limit):
    throttle, now, passed, counted = LogThrottle(limit), 0.0, [], []
    for step, _ in steps:
        now += step
        counted += [now] * len(throttle.due(now))
        if throttle.passes("a", now):
            passed.append(now)
    for began in passed:
        # Two windows may touch within any one second.
        assert sum(began <= at < began + 1 for at in passed) <= 2 * limit
    for began in counted:
        assert sum(began <= at < began + 0.999 for at in counted) <= 1
