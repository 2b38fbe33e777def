"""What ``geventrelay top`` makes of the counters of two moments."""

from __future__ import annotations

import pytest
from support.stub_server import queue, relay

from geventrelay.cli.top.rates import COUNTERS, rates, short


def answer(*devices):
    return {"devices": list(devices)}


def test_rates_are_differences_over_the_time_between():
    before = rates(answer(relay("prices", received=100, dropped=10)), {}, 0)
    (now,) = rates(answer(relay("prices", received=300, dropped=30)), before, 2.0).values()
    assert [now.total(name) for name in ("received", "sent", "dropped")] == [300, 570, 30]
    assert now.counts["dropped"] == {"no_peer": 30}
    assert [now.per_s[name] for name in ("received", "sent", "dropped")] == [100, 190, 10]
    assert now.peers == {"sub": 3, "pub": 12, "push": 0}


def test_a_device_that_was_not_there_has_no_rates_yet():
    before = rates(answer(queue("orders", received=5)), {}, 0)
    found = rates(answer(queue("orders", received=7), queue("bills", received=1000)), before, 1.0)
    assert [one.per_s["received"] for one in found.values()] == [4, 0]


def test_a_server_that_began_anew_has_no_negative_rates():
    before = rates(answer(queue("orders", received=500)), {}, 0)
    assert rates(answer(queue("orders", received=3)), before, 1.0)["orders"].per_s["received"] == 0


def test_what_an_older_server_does_not_send_is_unknown():
    before = rates(answer({"name": "orders"}), {}, 0)
    old = {"name": "orders", "pumps": [{"source": "a", "received": {"messages": 9}, "outlets": [{"socket": "b"}]}]}
    (now,) = rates(answer(old), before, 1.0).values()
    assert (now.state, now.pattern, now.restarts, now.held, now.peers) == (None, None, None, None, {})
    assert now.counts == {**dict.fromkeys(COUNTERS), "received": 9}
    assert now.per_s == dict.fromkeys(COUNTERS)
    assert now.needs_a_look


def test_what_a_newer_server_sends_more_is_passed_over():
    new = queue("orders", received=7, state="dreaming", colour="blue")
    new["pumps"][0]["outlets"][0] |= {"dropped": {"too_late": 2, "full": 1}, "delayed": {"messages": 3}}
    new["sockets"][0]["mood"] = "good"
    (now,) = rates(answer(new), {}, 0).values()
    assert (now.state, now.counts["dropped"], now.total("dropped")) == ("dreaming", {"too_late": 2, "full": 1}, 3)
    assert set(now.as_json()) == set(rates(answer(queue("orders")), {}, 0)["orders"].as_json())


def test_devices_that_need_a_look_are_known():
    calm, stopped, stuck = queue("calm"), queue("stopped", state="stopped"), queue("stuck", held=1)
    found = rates(answer(calm, stopped, stuck), {}, 0)
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
