"""A quarter of an hour of rates, and how late the hub is; both with made-up times."""

from geventrelay.web.history import KEPT, History, Totals
from geventrelay.web.hub_delay import HubDelay


def test_rates_are_what_came_between_two_looks():
    history = History()
    history.add(100.0, {"a": Totals(1000, 10, 0)})
    assert list(history.devices["a"].received) == []
    history.add(105.0, {"a": Totals(1500, 20, 1, lost=500)})
    history.add(115.0, {"a": Totals(1500, 20, 0, lost=510)})
    series = history.devices["a"]
    assert list(series.lost) == [100.0, 1.0]
    assert (list(series.received), list(series.dropped), list(series.held)) == ([100.0, 0.0], [2.0, 0.0], [1, 0])


def test_a_quarter_of_an_hour_is_kept():
    history = History()
    for step in range(KEPT + 50):
        history.add(step * 5.0, {"a": Totals(step * step, 0, 0)})
    received = list(history.devices["a"].received)
    assert len(received) == KEPT == 180
    assert received == sorted(received)


def test_a_device_comes_with_its_first_look_and_goes_with_its_last():
    history = History()
    history.add(0.0, {"a": Totals(0, 0, 0)})
    history.add(5.0, {"a": Totals(5, 0, 0), "b": Totals(50, 0, 0)})
    history.add(10.0, {"b": Totals(60, 0, 0)})
    assert {name: list(one.received) for name, one in history.devices.items()} == {"b": [2.0]}


def test_counts_that_begin_anew_are_no_negative_rate():
    history = History()
    for now, received in ((0.0, 100), (5.0, 10), (10.0, 20)):
        history.add(now, {"a": Totals(received, 0, 0)})
    assert list(history.devices["a"].received) == [0.0, 2.0]


def test_two_looks_at_one_time_are_one():
    history = History()
    history.add(1.0, {"a": Totals(0, 0, 0)})
    history.add(1.0, {"a": Totals(9, 0, 0)})
    assert list(history.devices["a"].received) == []


def test_the_hub_is_as_late_as_it_was_at_most_in_a_minute():
    delay = HubDelay()
    assert (delay.last_s, delay.max_s) == (0.0, 0.0)
    for late_s in (0.1, 0.5, 0.2):
        delay.note(late_s)
    assert (delay.last_s, delay.max_s) == (0.2, 0.5)
    for _ in range(120):
        delay.note(0.0)
    assert delay.max_s == 0.0
