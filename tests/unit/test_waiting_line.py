"""Of the connections that bring very many subscriptions, a few at a time go on, and each has its turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.waiting_line import MOST, QUIET_S, TURN_S, WaitingLine

MUCH = 1000


def never(one):
    return False


@pytest.fixture
def line():
    return WaitingLine(MUCH, 10)


def test_a_few_never_wait(line):
    for second in range(100):
        assert line.look(dict.fromkeys(range(MOST), MUCH), float(second), never) == {}


def test_one_more_waits_until_another_has_brought_all(line):
    assert line.look(dict.fromkeys(range(MOST + 1), MUCH + 1), 0.0, never) == {MOST: False}
    quiet = dict.fromkeys(range(MOST + 1), 0)
    assert line.look(quiet, QUIET_S - 0.1, never) == {}
    assert line.look(quiet, QUIET_S, lambda one: True) == {}
    assert line.look(quiet, QUIET_S, lambda one: one > 0) == {MOST: True}


def test_the_place_of_one_that_has_gone_is_free(line):
    line.look(dict.fromkeys(range(MOST + 1), MUCH + 1), 0.0, never)
    line.forget([0])
    assert line.look(dict.fromkeys(range(1, MOST + 1), 0), 0.1, never) == {MOST: True}


def test_one_that_goes_on_and_on_waits_again_after_its_turn(line):
    busy = dict.fromkeys(range(MOST), MUCH + 1)
    line.look({**busy, MOST: MUCH + 1}, 0.0, never)
    line.look({**busy, MOST: 0}, TURN_S - 0.1, never)
    assert line.look({**busy, MOST: 0}, TURN_S, never) == {MOST - 1: False, MOST: True}


def test_what_comes_slowly_does_not_count(line):
    line.look(dict.fromkeys(range(MOST), MUCH + 1), 0.0, never)
    for second in range(1, 1000):
        assert line.look({**dict.fromkeys(range(MOST), MUCH), MOST: 10}, float(second), never) == {}


@given(st.lists(st.integers(1, 20 * MUCH), min_size=1, max_size=12))
def test_each_brings_all_in_the_end_and_no_more_than_a_few_bring_much_at_a_time(totals):
    line, left, waits, now = WaitingLine(MUCH, 10), dict(enumerate(totals)), set(), 0.0
    while any(left.values()):
        grown = {one: 0 if one in waits else min(500, nbytes) for one, nbytes in left.items()}
        for one, nbytes in grown.items():
            left[one] -= nbytes
        for one, goes_on in line.look(grown, now, never).items():
            (waits.discard if goes_on else waits.add)(one)
        brought_much = [one for one in left if left[one] and totals[one] - left[one] > MUCH + 500]
        assert len(set(brought_much) - waits) <= MOST
        now += 0.1
        assert now < 600
