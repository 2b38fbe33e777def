"""The pure parts of topics and subscribers over HTTP: which are told, in which order, and how they are written."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Drop, SettingsError
from geventrelay.engine.peertable import PeerSnapshot
from geventrelay.switch.contract import PeerCounts, TopicCount, TopicCounts
from geventrelay.switch.subscribers import MOST_GONE, Subscriber, SubscribersSnapshot
from geventrelay.web.http.messages import Request
from geventrelay.web.metrics import MOST_TOPIC_BYTES, topic_label
from geventrelay.web.published import SORTINGS, Chosen, topics


def counted(topic: bytes, messages: int = 0, **changes: float) -> TopicCount:
    numbers = {"error": 0, "nbytes": 0, "per_s": 0.0, "bytes_per_s": 0.0, "last": 0.0, "lost": 0, "lost_error": 0}
    return TopicCount(topic, messages, **(numbers | {"subscribers": 0} | changes))


COUNTED = st.lists(
    st.builds(
        counted,
        st.binary(max_size=3),
        st.integers(0, 3),
        per_s=st.floats(0, 3),
        nbytes=st.integers(0, 3),
        lost=st.integers(0, 3),
        last=st.floats(0, 3),
    ),
    unique_by=lambda one: one.topic,
)
VALUES = {"messages": "messages", "rate": "per_s", "bytes": "nbytes", "lost": "lost", "last": "last"}


@given(COUNTED, st.sampled_from(list(SORTINGS)), st.integers(1, 5), st.binary(max_size=1))
def test_the_first_topics_with_the_prefix_are_told_in_their_order(several, sort, limit, prefix):
    wanted = sorted((one for one in several if one.topic.startswith(prefix)), key=lambda one: one.topic)
    if sort in VALUES:
        wanted.sort(key=lambda one: getattr(one, VALUES[sort]), reverse=True)
    assert Chosen(sort, limit, prefix).pick(several) == wanted[:limit]


def test_what_is_not_asked_for_is_as_by_default():
    def of(**query: str) -> Chosen:
        return Chosen.of(Request("GET", "/", query, {}))

    assert of(sort="", limit="") == of() == Chosen("messages", 100, b"")
    assert of(prefix="\udcff", sort="last", limit="7") == Chosen("last", 7, b"\xff")
    with pytest.raises(SettingsError, match="limit: expected an integer"):
        of(limit="many")


@given(st.lists(st.binary(max_size=255), unique=True, max_size=5))
def test_any_topic_can_be_told_exactly(names):
    counts = TopicCounts(len(names), 0, tuple(counted(name, 1) for name in names))
    told = json.loads(topics('a"b', {"pub": counts}, Chosen("topic")))
    assert [bytes.fromhex(one["hex"]) for one in told["sockets"]["pub"]["topics"]] == sorted(names)
    assert told["device"] == 'a"b'


def test_others_have_a_turn_while_a_large_answer_is_made():
    turns = []
    counts = TopicCounts(0, 0, tuple(counted(b"%d" % number) for number in range(350)))
    topics("a", {"pub": counts}, Chosen(limit=1000), lambda: turns.append(1))
    assert len(turns) == 3


def test_a_large_answer_is_put_together_once():
    names = [b"%04d" % number + b"z" * 250 for number in range(1000)]
    counts = TopicCounts(1000, 0, tuple(counted(name, 1) for name in names))
    tracemalloc.start()
    try:
        answer = topics("a", {"pub": counts}, Chosen(limit=1000))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Its pieces and itself: with 10,000 topics, each copy more would take milliseconds in which no message moves.
    assert most < 2.5 * len(answer)


@given(st.binary())
def test_a_label_is_printable_and_short_whatever_the_topic_is(topic):
    label = topic_label(topic)
    assert label.isprintable()
    assert len(label.encode()) <= MOST_TOPIC_BYTES


@pytest.mark.parametrize(
    ("topic", "label"),
    [
        (b"prices.eur", "prices.eur"),
        (b"a\xff\n", r"a\xff\n"),
        ("\u20ac".encode() * 34, "\u20ac" * 33),
        (b"", ""),
    ],
)
def test_a_label_has_what_is_text_as_it_is(topic, label):
    assert topic_label(topic) == label


def test_two_lives_of_a_socket_are_one():
    def life(number: int, gone: int) -> SubscribersSnapshot:
        counts = PeerCounts(matched=number, delivered=number - 3, dropped={Drop.SLOW: 3}, waiting=number)
        left = tuple(Subscriber(PeerSnapshot(f"{number}-{one}", 0.0, ""), False) for one in range(gone))
        return SubscribersSnapshot(counts, number, gone=left, gone_total=gone, gone_lost=number)

    both = life(10, MOST_GONE).merged_with(life(20, 1))
    assert (both.counts.matched, both.counts.delivered, both.counts.waiting) == (30, 24, 20)
    assert both.counts.dropped == {Drop.SLOW: 6}
    assert (both.total, both.gone_total, both.gone_lost, len(both.gone)) == (20, MOST_GONE + 1, 30, MOST_GONE)
    assert (both.gone[0].peer.address, both.gone[-1].peer.address) == ("10-1", "20-0")
