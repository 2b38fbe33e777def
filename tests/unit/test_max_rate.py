"""How much may come in within a second: the decisions, without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Queue, Streamer
from geventrelay.components.rates import rate_limit
from geventrelay.engine.bucket import Bucket
from geventrelay.engine.rate import SHORTEST_WAIT_S, Rate, RateLimit
from geventrelay.errors import SettingsError
from geventrelay.switch.rates import Rates
from geventrelay.terms import RatePer

ENDS = {"frontend": "5555", "backend": "5556"}
STEPS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=40)


@given(per_s=st.floats(0.1, 1000), most=st.integers(1, 100), steps=STEPS)
def test_in_any_time_no_more_passes_than_the_bucket_what_came_meanwhile_and_one_message(per_s, most, steps):
    bucket, now, passed = Bucket(per_s, most), 100.0, []
    bucket.room(now)
    for wait, size in steps:
        now += wait
        if bucket.room(now):
            bucket.take(size)
            passed.append((now, size))
    for first in range(len(passed)):
        total = 0
        for at, size in passed[first:]:
            assert total <= most + per_s * (at - passed[first][0]) + 1e-6, "before the last one"
            total += size


@given(per_s=st.floats(0.1, 1000), most=st.integers(1, 100), taken=st.integers(0, 1000))
def test_after_the_wait_there_is_room_and_not_much_before(per_s, most, taken):
    bucket = Bucket(per_s, most)
    assert bucket.room(5.0) == most
    bucket.take(taken)
    wait_s = bucket.wait_s(5.0)
    assert (wait_s == 0) == (taken < most)
    if wait_s:
        assert not bucket.room(5.0 + 0.99 * wait_s)
        assert bucket.room(5.0 + wait_s + 1e-6)
    assert bucket.is_full(5.0 + taken / per_s + 1e-6)


def test_a_clock_that_goes_back_takes_nothing_and_gives_nothing():
    bucket = Bucket(10.0, 10)
    assert bucket.room(100.0) == 10
    bucket.take(10)
    assert bucket.room(90.0) == 0
    assert bucket.room(100.0) == 0
    assert bucket.room(100.5) == 5


def test_messages_and_bytes_are_both_held_to_their_limit():
    rate = Rate(RateLimit(messages_per_s=10, bytes_per_s=1000))
    assert rate.room(1.0) == (10, 1000)
    rate.take(1, 5000)
    assert not rate.has_room(1.0)
    assert rate.wait_s(1.0) == pytest.approx(4.001)
    assert rate.room(5.5) == (10, 500)
    rate.take(10, 1)
    assert not rate.has_room(5.5)
    assert rate.wait_s(5.5) == pytest.approx(0.1)
    assert not rate.is_full(5.6)
    assert rate.is_full(7.0)


def test_a_timer_is_for_many_messages():
    rate = Rate(RateLimit(messages_per_s=1e6))
    rate.take(1_000_000, 0)
    assert rate.wait_s(0.0) == SHORTEST_WAIT_S


def test_less_than_one_a_second_lets_one_pass_at_once():
    assert Rate(RateLimit(bytes_per_s=0.5)).room(0.0)[1] == 1


class Limited:
    """`Rates` of a socket, and its rate for somebody, by number."""

    def __init__(self, per: RatePer) -> None:
        self.made: list[Rate] = []
        self.rates = Rates(self.make, RateLimit(messages_per_s=1), per)

    def make(self, limit: RateLimit) -> Rate:
        self.made.append(Rate(limit))
        return self.made[-1]

    def come(self, user: str = "", now: float = 0.0) -> int:
        rate = self.rates.come(user, now)
        return next(index for index, one in enumerate(self.made) if one is rate)


def test_a_rate_is_for_all_for_a_user_or_for_a_peer():
    users = ["alice", "bob", "alice", "", ""]
    assert [Limited(RatePer.DEVICE).come(user) for user in users] == [0] * 5
    one = Limited(RatePer.USER)
    assert [one.come(user) for user in users] == [0, 1, 0, 2, 2]
    one = Limited(RatePer.PEER)
    assert [one.come(user) for user in users] == [0, 1, 2, 3, 4]
    assert Rates(Rate, None, RatePer.PEER).come("alice", 0.0) is None


def test_a_user_that_comes_again_has_no_more_for_that():
    one = Limited(RatePer.USER)
    assert [one.come("alice"), one.come("alice")] == [0, 0]
    one.made[0].take(3, 0)
    one.rates.leave("alice")
    assert one.come("alice", 0.5) == 0, "it has a connection still"
    one.rates.leave("alice")
    one.rates.leave("alice")
    assert one.come("bob", 1.0) == 1
    assert one.come("alice", 1.0) == 0, "its debt is not paid"
    one.rates.leave("alice")
    one.rates.leave("bob")
    assert one.come("carol", 5.0) == 2
    assert one.come("alice", 5.0) == 3, "both were as new ones, and are forgotten"
    assert not one.rates._left


def test_the_options_are_a_limit():
    assert rate_limit(Streamer(**ENDS)) is None
    assert rate_limit(Streamer(**ENDS, max_rate=5)) == RateLimit(5, 0, drops=False)
    assert rate_limit(Queue(**ENDS, max_rate_bytes=7, when_over_rate="drop")) == RateLimit(0, 7, drops=True)


@pytest.mark.parametrize("given", [{"max_rate_per": "peer"}, {"when_over_rate": "drop"}, {"max_rate_per": "user"}])
def test_what_is_said_of_a_rate_needs_one(given):
    (name,) = given
    with pytest.raises(SettingsError, match=name.replace("_", "-")):
        Streamer(**ENDS, **given)
    assert Streamer(**ENDS, **given, max_rate_bytes=1)


@pytest.mark.parametrize("per", ["peer", "user"])
def test_a_rate_for_each_peer_needs_engine_zmtp(per):
    settings = {**ENDS, "max_rate": 5, "max_rate_per": per}
    assert [str(need) for need in Streamer(**settings).engine_needs()] == [f"max-rate-per {per}"]
    with pytest.raises(SettingsError, match=f"max-rate-per {per} needs engine zmtp"):
        Streamer(**settings, engine="libzmq")
    assert not list(Streamer(**ENDS, max_rate=5, when_over_rate="drop").engine_needs())
