"""Subscription frames: parsed, kept as a set of topics, and held against a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.subscriptions import Subscription, Topics, parse

TOPICS = st.binary(max_size=4)
SUBSCRIPTIONS = st.builds(Subscription, TOPICS, st.booleans())


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"\x01prices", Subscription(b"prices", wanted=True)),
        (b"\x00prices", Subscription(b"prices", wanted=False)),
        (b"\x01", Subscription(b"", wanted=True)),
        (b"\x00", Subscription(b"", wanted=False)),
        (b"\x01\x00\x01", Subscription(b"\x00\x01", wanted=True)),
        (b"", None),
        (b"\x02prices", None),
        (b"a message that a subscriber sends upstream", None),
        (b"\xff", None),
    ],
)
def test_a_frame_subscribes_or_cancels_or_is_neither(frame, expected):
    assert parse(frame) == expected


@given(SUBSCRIPTIONS)
def test_a_subscription_as_a_frame_is_parsed_as_the_same_subscription(subscription):
    assert parse(subscription.frame) == subscription


@given(st.lists(st.one_of(SUBSCRIPTIONS.map(lambda one: one.frame), st.binary(max_size=4))), TOPICS)
def test_topics_are_those_whose_last_frame_subscribed_and_match_what_begins_with_one(frames, head):
    topics = Topics()
    model: dict[bytes, bool] = {}
    for frame in frames:
        topics.apply(parse(frame))
        if frame[:1] in (b"\x00", b"\x01"):
            model[frame[1:]] = frame[:1] == b"\x01"
    expected = {topic for topic, wanted in model.items() if wanted}
    assert set(topics) == expected
    assert len(topics) == len(expected)
    assert topics.matches(head) == any(head[: len(topic)] == topic for topic in expected)
