"""What ``geventrelay top`` makes of the counters of two moments."""

from __future__ import annotations

import pytest
from support.stub_server import queue, relay

from geventrelay.cli.top.rates import flows, short


def answer(*devices):
    return {"devices": list(devices)}


def test_rates_are_differences_over_the_time_between():
    before = flows(answer(relay("prices", received=100, dropped=10)), {}, 0)
    (now,) = flows(answer(relay("prices", received=300, dropped=30)), before, 2.0).values()
    assert (now.received, now.sent, now.dropped, now.dropped_total) == (300, 570, {"no_peer": 30}, 30)
    assert (now.received_per_s, now.sent_per_s, now.dropped_per_s) == (100, 190, 10)
    assert now.peers == {"sub": 3, "pub": 12, "push": 0}


def test_a_device_that_was_not_there_has_no_rates_yet():
    before = flows(answer(queue("orders", received=5)), {}, 0)
    found = flows(answer(queue("orders", received=7), queue("bills", received=1000)), before, 1.0)
    assert [one.received_per_s for one in found.values()] == [4, 0]


def test_a_server_that_began_anew_has_no_negative_rates():
    before = flows(answer(queue("orders", received=500)), {}, 0)
    assert flows(answer(queue("orders", received=3)), before, 1.0)["orders"].received_per_s == 0


def test_devices_that_need_a_look_are_known():
    calm, stopped, stuck = queue("calm"), queue("stopped", state="stopped"), queue("stuck", held=1)
    found = flows(answer(calm, stopped, stuck), {}, 0)
    assert [one.needs_a_look for one in found.values()] == [False, True, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.4, "0.4"), (3, "3"), (9.94, "9.9"), (9.96, "10"), (310.4, "310"), (999.4, "999"), (999.6, "1.0k"),
        (1234, "1.2k"), (9949, "9.9k"), (9951, "10k"), (54321, "54k"), (999_600, "1.0M"), (3.14e6, "3.1M"),
        (2e12, "2.0T"),
    ],
)  # fmt: skip
def test_figures_are_short(value, text):
    assert short(value) == text
