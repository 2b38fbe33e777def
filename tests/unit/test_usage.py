"""Whether a connection has sent more than it may: a bucket that leaks, and a message that never ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.usage import Usage, subscriber_bound, unfinished_bound

STEPS = st.lists(st.tuples(st.integers(0, 500), st.floats(0.001, 5)), max_size=40)


@given(STEPS, st.integers(1, 1000), st.integers(0, 1000))
def test_a_subscriber_is_ended_exactly_when_some_span_of_time_had_too_much(steps, burst, rate):
    """The rule without a bucket: in no span may more come than the burst and what the rate allows for the span."""
    bound, usage = subscriber_bound(burst, rate), Usage(0, 0.0)
    received, now, spans = 0, 0.0, []
    for grown, seconds in steps:
        now += seconds
        spans.append((now, received))
        received += grown
        too_much = usage.look(bound, received, now)
        excess = max(received - before - rate * (now - began) for began, before in spans)
        assert usage.counted == pytest.approx(max(excess, 0))
        assert too_much == (usage.counted > burst)


@given(STEPS)
def test_what_stays_within_the_rate_is_never_ended(steps):
    bound, usage, received, now = subscriber_bound(500, 100), Usage(0, 0.0), 0, 0.0
    for grown, seconds in steps:
        received, now = received + min(grown, int(seconds * 100)), now + seconds
        assert not usage.look(bound, received, now)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=60), st.floats(0.001, 1))
def test_a_connection_whose_messages_are_all_read_is_never_ended(steps, interval):
    """Whatever comes in is read in the end; at a look, some of it may wait in the socket's queue."""
    bound, usage, received, unread, now = unfinished_bound(10**6), Usage(0, 0.0), 0, 0, 0.0
    for grown, paused in steps:
        received, now, unread = received + grown, now + interval, unread + grown
        read, unread = (0, unread) if paused else (unread, 0)
        assert not usage.look(bound, received, now, read_bytes=read, idle=unread == 0)


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_a_message_that_never_ends_is_ended_soon_after_the_limit(chunk, interval_ms):
    bound, usage = unfinished_bound(5 * 10**6), Usage(0, 0.0)
    chunk += 10_000
    looks = next(n for n in range(1, 10**8) if usage.look(bound, n * chunk, n * interval_ms / 1000))
    assert 5 * 10**6 < looks * chunk <= 5 * 10**6 + chunk + 1024 * (looks * interval_ms / 1000 + 1)


def test_what_others_send_meanwhile_does_not_hide_it_for_good():
    """Half of what the socket delivers is from other peers, and the unfinished message grows twice as fast."""
    bound, usage = unfinished_bound(1000_000), Usage(0, 0.0)
    ended = [usage.look(bound, 20_000 * n, n / 10, read_bytes=10_000) for n in range(1, 200)]
    assert ended.index(True) < 120


def test_one_large_message_on_a_slow_link_is_none():
    bound, usage = unfinished_bound(1000_000), Usage(0, 0.0)
    assert not any(usage.look(bound, 1_000 * n, float(n)) for n in range(1, 1000))


def test_bytes_that_may_wait_in_the_queue_of_a_paused_device_do_not_count():
    bound, usage = unfinished_bound(1000), Usage(0, 0.0)
    assert not any(usage.look(bound, 10_000 * n, float(n), idle=False) for n in range(1, 100))
