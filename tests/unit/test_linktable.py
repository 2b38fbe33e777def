"""Which connecting endpoints libzmq has given up, by what the monitor says."""

from __future__ import annotations

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backoff import Backoff
from geventrelay.components.linktable import SILENCE_S, GivenUp, LinkTable
from geventrelay.endpoints import Endpoint

LOST, RETRIED, CONNECTED, UP = (
    int(one)
    for one in (
        zmq.EVENT_DISCONNECTED,
        zmq.EVENT_CONNECT_RETRIED,
        zmq.EVENT_CONNECTED,
        zmq.EVENT_HANDSHAKE_SUCCEEDED,
    )
)
ONE, TWO, NAMED = "tcp://10.0.0.1:5555", "ipc:///run/two", "tcp://worker:5555"


def table(*written):
    return LinkTable([Endpoint.parse(one) for one in written], lambda: Backoff(1, 8, chance=lambda: 1))


def test_only_endpoints_that_connect_and_have_events_are_looked_after():
    assert not table("tcp://*:5555", "@ipc:///run/one", ">inproc://x")
    assert [one.address for one in table("tcp://*:1", ">" + ONE, ">" + TWO, ">" + ONE).endpoints] == [ONE, TWO]


def test_an_endpoint_is_given_up_if_nothing_says_that_libzmq_goes_on():
    links = table(">" + ONE, ">" + TWO)
    assert links.next_at is None
    links.take(LOST, ONE, 10.0)
    links.take(LOST, TWO, 10.0)
    links.take(RETRIED, TWO, 10.1)
    assert links.next_at == 10 + SILENCE_S
    assert links.given_up(10.1) == []
    assert links.given_up(11.0) == [GivenUp(ONE, 1.0)]
    assert links.given_up(11.0) == []
    assert (links.due(11.9), links.next_at) == ([], 12.0)
    assert (links.due(12.0), links.next_at) == ([ONE], None)


def test_delays_grow_while_handshakes_fail_and_begin_anew_after_a_long_connection():
    links = table(">" + ONE)
    delays = []
    for start in (0.0, 100.0, 200.0):
        links.take(CONNECTED, ONE, start)
        links.take(LOST, ONE, start)
        delays += [one.in_s for one in links.given_up(start + 1)]
        links.due(start + 50)
    links.take(UP, ONE, 300.0)
    links.take(LOST, ONE, 320.0)
    delays += [one.in_s for one in links.given_up(330.0)]
    assert delays == [1, 2, 4, 1]


def test_an_endpoint_that_stands_there_twice_is_connected_twice():
    links = table(">" + ONE, ">" + ONE)
    links.take(LOST, ONE, 0.0)
    assert [one.address for one in links.given_up(1.0)] == [ONE]
    assert links.due(10.0) == [ONE, ONE]


def test_once_its_name_is_resolved_an_endpoint_is_known_by_its_ip_address():
    links = table(">" + NAMED, ">" + TWO)
    assert links.take(LOST, NAMED, 0.0)
    assert not links.take(RETRIED, ONE, 0.0)
    links.learn(NAMED, [ONE, "tcp://[::1]:5555"])
    assert links.take(RETRIED, ONE, 0.0)
    assert links.next_at is None
    assert links.take(LOST, ONE, 1.0)
    assert [one.address for one in links.given_up(2.0)] == [NAMED]


@given(st.lists(st.tuples(st.sampled_from((LOST, RETRIED, CONNECTED, UP)), st.sampled_from((ONE, TWO)))))
def test_what_was_lost_is_given_up_unless_libzmq_went_on_after_that(events):
    links, lost = table(">" + ONE, ">" + TWO), {}
    for now, (kind, address) in enumerate(events):
        links.take(kind, address, float(now))
        if kind != UP:
            lost[address] = kind == LOST
    end = len(events) + SILENCE_S
    assert {one.address for one in links.given_up(end)} == {address for address, is_lost in lost.items() if is_lost}
    assert set(links.due(end + 100)) == {address for address, is_lost in lost.items() if is_lost}
    assert links.next_at is None


@pytest.mark.parametrize("kind", [zmq.EVENT_ACCEPTED, zmq.EVENT_LISTENING, zmq.EVENT_CLOSED])
def test_other_events_mean_nothing(kind):
    links = table(">" + ONE)
    links.take(LOST, ONE, 0.0)
    links.take(int(kind), ONE, 0.0)
    assert links.next_at == SILENCE_S
