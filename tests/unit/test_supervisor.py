"""How long a device that failed waits for its next start."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backoff import Backoff


def test_delays_double_up_to_the_longest():
    backoff = Backoff(0.1, 30, chance=lambda: 1)
    assert [round(backoff.after(0), 6) for _ in range(11)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_who_ran_longer_than_the_longest_delay_begins_anew():
    backoff = Backoff(0.1, 30, chance=lambda: 1)
    for _ in range(5):
        backoff.after(29)
    assert backoff.after(31) == 0.1
    assert backoff.after(0) == 0.2


@given(st.integers(), st.lists(st.floats(0, 30), max_size=200))
def test_a_delay_is_at_least_half_of_what_it_may_be_and_never_more_than_the_longest(seed, lives):
    backoff = Backoff(0.1, 30, chance=random.Random(seed).random)
    for number, ran_s in enumerate(lives):
        full = min(30, 0.1 * 2**number)
        assert full / 2 <= backoff.after(ran_s) <= full


def test_thousands_of_failures_are_no_problem():
    backoff = Backoff()
    assert all(backoff.after(0) <= 30 for _ in range(5000))
