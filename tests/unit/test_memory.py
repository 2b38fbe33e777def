"""When memory is given back to the system: after it has grown, and ever more seldom where nothing comes of it."""

from __future__ import annotations

from geventrelay.server.memory import GROWN_BYTES, LOOK_S, TrimPlan, resident_bytes

MB = 1 << 20


def test_a_process_that_has_not_grown_is_left_alone():
    plan = TrimPlan(least=100 * MB)
    assert not any(plan.is_due(100 * MB + GROWN_BYTES, float(now)) for now in range(1000))


def test_one_that_has_grown_is_tried_as_long_as_something_comes_of_it():
    plan, now = TrimPlan(least=50 * MB), 1000.0
    assert plan.is_due(1000 * MB, now)
    plan.tried(1000 * MB, 800 * MB, now)
    assert not plan.is_due(800 * MB, now + LOOK_S - 1)
    assert plan.is_due(800 * MB, now + LOOK_S)


def test_one_that_needs_what_it_has_is_tried_twice_a_minute_and_at_once_when_it_grows_again():
    plan, now, tries = TrimPlan(least=50 * MB), 0.0, []
    while now < 600:
        if plan.is_due(500 * MB, now):
            tries.append(now)
            plan.tried(500 * MB, 500 * MB, now)
        now += LOOK_S
    assert len(tries) < 25
    assert tries[-1] - tries[-2] == 30
    assert plan.is_due(600 * MB, now)


def test_less_than_ever_is_the_new_measure():
    plan = TrimPlan(least=500 * MB)
    assert not plan.is_due(300 * MB, 0)
    assert plan.is_due(300 * MB + GROWN_BYTES + 1, 0)


def test_the_system_says_what_this_process_has():
    assert resident_bytes() > MB
