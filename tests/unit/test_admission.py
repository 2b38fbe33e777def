"""How much time the ends of subscribers have taken, and whether there is time for one more."""

from __future__ import annotations

from geventrelay.engine.admission import END_S_PER_TOPIC, EndCosts

MILLION = 1_000_000


def test_ends_of_a_socket_with_few_topics_cost_nothing_to_speak_of():
    costs = EndCosts()
    for _ in range(1000):
        costs.add(100, 0.0)
    assert costs.has_room(100, 0.0)


def test_after_ends_that_took_long_there_is_room_once_a_tenth_of_the_time_has_made_up_for_them():
    costs = EndCosts()
    assert costs.has_room(MILLION, 0.0)
    costs.add(MILLION, 0.0)
    took_s = MILLION * END_S_PER_TOPIC
    assert not costs.has_room(1, 0.0)
    assert not costs.has_room(MILLION, 9 * took_s)
    assert costs.has_room(MILLION, 10 * took_s)


def test_no_subscriber_waits_for_minutes_after_many_ends():
    costs = EndCosts()
    for _ in range(1000):
        costs.add(MILLION, 0.0)
    assert costs.has_room(MILLION, 20.0)
