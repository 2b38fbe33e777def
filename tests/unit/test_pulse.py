"""When a PING goes out, and when the other end of a connection is taken for dead."""

from __future__ import annotations

import math

import pytest

from geventrelay.switch.pulse import Beat, Heartbeat, Pulse


def pulse(interval_s: float = 10, timeout_s: float = 3) -> Pulse:
    return Pulse(Heartbeat(interval_s, timeout_s), 100.0)


def test_a_ping_goes_out_at_each_interval_whatever_comes():
    one = pulse(timeout_s=0)
    assert one.due == 110
    assert one.beat(109.9, 5, hears=True) is Beat.NOTHING
    for number in range(3):
        now = 110 + 10.0 * number
        assert one.beat(now, number, hears=True) is Beat.PING
        one.sent(now, number)
        assert one.due == now + 10


def test_silence_after_a_ping_is_the_end():
    one = pulse()
    assert one.beat(110, 7, hears=True) is Beat.PING
    one.sent(110, 7)
    assert one.due == 113
    assert one.beat(112.9, 7, hears=True) is Beat.NOTHING
    assert one.beat(113, 7, hears=True) is Beat.END
    assert one.what == "nothing has come in 3 s after a PING"


def test_anything_that_comes_after_a_ping_is_a_sign_of_life():
    one = pulse()
    assert one.beat(110, 7, hears=True) is Beat.PING
    one.sent(110, 7)
    assert one.beat(113, 8, hears=True) is Beat.NOTHING
    assert one.due == 120


def test_the_first_ping_without_an_answer_counts():
    one = pulse(interval_s=1)
    for now in (101.0, 102.0, 103.0):
        assert one.beat(now, 0, hears=True) is Beat.PING
        one.sent(now, 0)
    assert one.beat(104, 0, hears=True) is Beat.END


def test_a_silence_in_which_nothing_is_read_does_not_count():
    one = pulse()
    assert one.beat(110, 7, hears=True) is Beat.PING
    one.sent(110, 7)
    assert one.beat(113, 7, hears=False) is Beat.NOTHING
    assert one.beat(115.9, 7, hears=True) is Beat.NOTHING
    assert one.beat(116, 7, hears=True) is Beat.END


def test_the_other_end_says_for_how_long_it_may_be_silent():
    one = Pulse(Heartbeat(), 100.0)
    assert one.due == math.inf
    one.pinged(20, 100.0, 9)
    one.pinged(5, 101.0, 18)
    assert one.due == 101.5
    assert one.beat(101.5, 18, hears=True) is Beat.END
    assert one.what == "nothing has come in 0.5 s after its own PING"


@pytest.mark.parametrize("heard", [10, 19])
def test_what_comes_after_its_ping_ends_that_wait(heard):
    one = Pulse(Heartbeat(), 100.0)
    one.pinged(20, 100.0, 9)
    assert one.beat(102, heard, hears=True) is Beat.NOTHING
    assert one.due == math.inf
