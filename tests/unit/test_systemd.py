"""What systemd writes into the environment, and what it never would."""

from __future__ import annotations

import os

import pytest

from geventrelay.server.systemd import Systemd, watchdog_interval_s


@pytest.mark.parametrize(
    ("usec", "interval_s"),
    [
        ("3000000", 1.5),
        ("0030000000", 15.0),
        ("1", 0.01),
        ("18446744073709551615", 86400.0),
        ("0", None),
        ("", None),
        ("-5", None),
        ("1e9", None),
        ("1" + "0" * 400, None),
        ("9" * 5000, None),
        ("\u0663", None),
    ],
)
def test_the_watchdog_hears_of_us_twice_as_often_as_it_asks(usec, interval_s):
    assert watchdog_interval_s({"WATCHDOG_USEC": usec}) == interval_s
    assert watchdog_interval_s({"WATCHDOG_USEC": usec, "WATCHDOG_PID": str(os.getpid())}) == interval_s
    assert watchdog_interval_s({"WATCHDOG_USEC": usec, "WATCHDOG_PID": "1"}) is None


@pytest.mark.parametrize(
    "address",
    ["/" + "a" * 300, "/nonexistent", "@nobody-there", "/etc/passwd", "@", "vsock:2:1", "/x\x1b[31m", "\udcff"],
)
def test_a_notification_that_cannot_be_sent_is_logged_in_one_line(caplog, address):
    Systemd({"NOTIFY_SOCKET": address}).ready()
    (record,) = caplog.records
    assert "notify-failed" in record.getMessage()
    assert "reason=None" not in record.getMessage()
