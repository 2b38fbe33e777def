"""The way back that stands before a request from another device."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.backbone import encoded

from geventrelay.backbone.whole import count, split
from geventrelay.backbone.work.requests import Unanswered, by_way, with_way

HERE, THERE = b"a" * 8, b"b" * 8
MESSAGES = st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=8)


def joined(messages: list[list[bytes]]) -> bytes:
    return b"".join(map(encoded, messages))


@given(MESSAGES)
def test_a_way_back_is_put_before_each_message_and_taken_off_again(messages):
    data = with_way(HERE, joined(messages))
    assert [parts[1:] for parts in split(data)] == messages
    assert count(data) == len(messages)
    assert list(by_way(data)) == ([(HERE, joined(messages), len(messages))] if messages else [])


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE]), MESSAGES), max_size=5))
def test_replies_are_told_apart_and_keep_their_order(runs):
    data = b"".join(with_way(relay, joined(messages)) for relay, messages in runs)
    found = [(relay, parts) for relay, replies, _ in by_way(data) for parts in split(replies)]
    assert found == [(relay, parts) for relay, messages in runs for parts in messages]
    ways = [relay for relay, _, _ in by_way(data)]
    assert all(one != other for one, other in itertools.pairwise(ways))


def test_a_request_that_went_on_has_two_ways_back():
    data = with_way(THERE, with_way(HERE, encoded([b"client", b"", b"request"])))
    ((relay, once, _),) = by_way(data)
    assert (relay, list(by_way(once))) == (THERE, [(HERE, encoded([b"client", b"", b"request"]), 1)])


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [HERE],
        [HERE + b"\x01"],
        [HERE + b"\x02", b"reply"],
        [HERE + b"\x01\x01", b"reply"],
        [b"client", b"", b"reply"],
        [b"x" * 300, b"reply"],
    ],
)
def test_what_has_no_way_back_is_told_as_that(parts):
    data = encoded(parts)
    assert list(by_way(with_way(HERE, encoded([b"r"])) + data)) == [(HERE, encoded([b"r"]), 1), (None, data, 1)]


def test_requests_are_unanswered_once_their_device_has_gone():
    requests = Unanswered()
    requests.joined(HERE)
    requests.joined(THERE)
    requests.asked(HERE, 5)
    requests.asked(THERE, 2)
    requests.answered(HERE, 3)
    requests.answered(THERE, 9)
    requests.left(HERE)
    assert (requests.gone, requests.has(HERE), requests.has(THERE)) == (2, False, True)
    # They were on their way when it went.
    requests.asked(HERE, 1)
    requests.answered(HERE, 1)
    requests.left(HERE)
    requests.left(THERE)
    assert requests.gone == 3
