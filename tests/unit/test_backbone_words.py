"""What devices say to each other, and heads of packs: read again as they were, and refused where they are odd."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backbone.interest import MOST_BYTES, MOST_PREFIXES, id_of, interest_of
from geventrelay.backbone.pack import HEAD_BYTES, PackHead, head_of
from geventrelay.backbone.subjects import Subjects
from geventrelay.backbone.terms import MOST_RELAYS, MalformedError
from geventrelay.backbone.words.codec import MOST_WORD_BYTES, UnknownWordError, decoded, encoded
from geventrelay.backbone.words.mesh import About, Ask, Gone, Here, Mark, Ping, Pong, Served
from geventrelay.backbone.words.trace import Probe, Step, Traced
from geventrelay.backbone.words.work import Grant, Hungry, Spent, WorkKind
from geventrelay.terms import LONGEST_TOPIC_BYTES

IDS = st.binary(min_size=8, max_size=8)
NAMES = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**63 - 1)
MARKS = st.none() | st.builds(Mark, NAMES, NUMBERS, NUMBERS)
ABOUTS = st.builds(
    About, version=st.text(max_size=64), server=st.text(max_size=300), received_per_s=NUMBERS, sent_per_s=NUMBERS,
    peers=st.dictionaries(st.text(max_size=64), NUMBERS, max_size=16), waiting=NUMBERS, incoming=NUMBERS,
)  # fmt: skip
HERES = st.builds(
    lambda relay, host, topics, told, taken, answer, about: Here(
        relay, host, id_of(interest_of(topics)), interest_of(topics) if told else None, taken, answer, about
    ),
    IDS, st.text(max_size=20), st.sets(st.binary(max_size=4), max_size=5), st.booleans(),
    st.dictionaries(IDS, NUMBERS, max_size=3), st.booleans(), st.none() | ABOUTS,
)  # fmt: skip
CREDIT = st.one_of(
    st.builds(Hungry, IDS, NUMBERS, st.sampled_from(WorkKind)),
    st.builds(Grant, IDS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(Spent, IDS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)
TRACES = st.one_of(
    st.builds(Probe, IDS, NUMBERS, st.none() | st.binary(max_size=20)),
    st.builds(
        Traced, relay=IDS, number=NUMBERS, step=st.sampled_from(Step), incoming=NUMBERS, untaken=NUMBERS,
        waiting=NUMBERS, inbox_us=NUMBERS, device_us=NUMBERS, outbox_us=NUMBERS, dropped=NUMBERS,
        wanted=st.none() | st.booleans(), subscriptions=NUMBERS, room=st.none() | NUMBERS,
    ),
)  # fmt: skip
WORDS = st.one_of(
    HERES, st.builds(Ask, IDS), st.builds(Gone, IDS), st.builds(Served, IDS, NUMBERS, MARKS, MARKS),
    st.builds(Ping, IDS, NUMBERS), st.builds(Pong, IDS, NUMBERS), CREDIT, TRACES,
)  # fmt: skip


def test_the_longest_words_are_read():
    taken = {b"%08d" % number: 2**63 - 1 for number in range(MOST_RELAYS)}
    each = MOST_BYTES // MOST_PREFIXES
    prefixes = interest_of([b"%d" % number + b"\xff" * (each - 4) for number in range(1000, 1000 + MOST_PREFIXES)])
    assert len(prefixes) == MOST_PREFIXES
    wide = "\N{PILE OF POO}"
    about = About(
        version=wide * 64, server=wide * 300, peers={f"{number:04d}" + wide * 60: 2**63 - 1 for number in range(16)}
    )
    here = Here(b"r" * 8, wide * 255, id_of(prefixes), prefixes, taken, answer=True, about=about)
    for word in (here, Probe(b"r" * 8, 1, b"x" * LONGEST_TOPIC_BYTES)):
        assert decoded(encoded(word)) == word
        assert len(encoded(word)) < MOST_WORD_BYTES * 0.8


@given(WORDS)
def test_a_word_is_read_as_it_was_said(word):
    assert decoded(encoded(word)) == word


@given(st.binary(max_size=200))
def test_other_bytes_are_no_word(data):
    with pytest.raises(MalformedError):
        decoded(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(WORDS, st.integers(0, 20), JSON)
def test_a_word_with_another_value_in_it_is_a_word_or_refused(word, place, value):
    made = json.loads(encoded(word))
    made[sorted(made)[place % len(made)]] = value
    with contextlib.suppress(MalformedError):
        decoded(json.dumps(made).encode())


@given(WORDS, st.integers(0, 20))
def test_a_word_without_one_of_its_values_is_a_word_or_refused(word, place):
    made = json.loads(encoded(word))
    del made[sorted(made)[place % len(made)]]
    try:
        found = decoded(json.dumps(made).encode())
    except MalformedError:
        return
    assert isinstance(found, (Here, Served, Probe, Traced))


HERE = json.loads(
    encoded(
        Here(
            b"relay678",
            "host",
            id_of((b"a", b"b")),
            (b"a", b"b"),
            {b"other678": 3},
            about=About(version="1", server=""),
        )
    )
)
ABOUT = HERE["about"]
PING = json.loads(encoded(Ping(b"relay678", 1)))
HUNGRY = json.loads(encoded(Hungry(b"relay678", 1, WorkKind.REQUESTS)))
GRANT = json.loads(encoded(Grant(b"relay678", 1, 2, 3)))
SPENT = json.loads(encoded(Spent(b"relay678", 1, 2, 3, 4)))
SERVED = json.loads(encoded(Served(b"relay678", 1, Mark(b"n" * 16, 2, 3), None)))


@pytest.mark.parametrize(
    "wrong",
    [
        {**HERE, "v": 2},
        {**HUNGRY, "kind": "another"},
        {**HUNGRY, "kind": None},
        {**HUNGRY, "kind": ["requests"]},
        {**HERE, "w": "hear"},
        {**HERE, "w": ["here"]},
        {**HERE, "relay": "00"},
        {**HERE, "relay": "zz" * 8},
        {**HERE, "relay": " " * 16},
        {**HERE, "host": "x" * 256},
        {**HERE, "answer": 1},
        {**HERE, "taken": [1]},
        {**HERE, "taken": {"00" * 8: -1}},
        {**HERE, "taken": {"00" * 8: True}},
        {**HERE, "taken": {"00" * 8: 2**63}},
        {**HERE, "taken": {f"{number:016x}": 1 for number in range(1001)}},
        {**HERE, "prefixes": ["YQ==", "YQ=="]},
        {**HERE, "prefixes": ["Yg==", "YQ=="]},
        {**HERE, "prefixes": ["YQ==", "YWI="]},
        {**HERE, "prefixes": ["YQ=="]},
        {**HERE, "prefixes": ["YQ", "Yg=="]},
        {**HERE, "prefixes": "YQ=="},
        {**HERE, "prefixes": [""] * 1001},
        {**HERE, "about": []},
        {**HERE, "about": {}},
        {**HERE, "about": {**ABOUT, "version": "x" * 65}},
        {**HERE, "about": {**ABOUT, "server": "x" * 301}},
        {**HERE, "about": {**ABOUT, "peers": [1]}},
        {**HERE, "about": {**ABOUT, "peers": {"sub": -1}}},
        {**HERE, "about": {**ABOUT, "peers": {"x" * 65: 1}}},
        {**HERE, "about": {**ABOUT, "peers": {str(number): 1 for number in range(17)}}},
        {**HERE, "about": {**ABOUT, "waiting": 0.5}},
        {**PING, "number": None},
        {**PING, "w": "pong", "number": 2**63},
        {**SERVED, "turn": 1.0},
        {**SERVED, "begins": []},
        {**SERVED, "begins": ["00" * 16, 1, 2, 3]},
        {**SERVED, "begins": ["00" * 15, 1, 2]},
        {**SERVED, "begins": ["00" * 16, 1, None]},
        {**GRANT, "turn": -1},
        {**GRANT, "up_to": 2**63},
        {**GRANT, "arrived": "1"},
        {**SPENT, "sent": True},
        {**SPENT, "wants": None},
        {**SPENT, "w": "hungry", "wants": []},
        [1],
        None,
    ],
)
def test_each_oddity_is_refused(wrong):
    decoded(json.dumps(HERE).encode())
    decoded(json.dumps(SERVED).encode())
    decoded(json.dumps(PING).encode())
    decoded(json.dumps(GRANT).encode())
    decoded(json.dumps(SPENT).encode())
    with pytest.raises(MalformedError):
        decoded(json.dumps(wrong).encode())


def test_what_a_device_says_of_itself_may_be_missing_and_may_be_more():
    # Others are older or newer.
    older = {name: value for name, value in HERE.items() if name != "about"}
    assert decoded(json.dumps(older).encode()).about is None
    newer = {**HERE, "about": {**ABOUT, "colour": "blue"}}
    assert decoded(json.dumps(newer).encode()) == decoded(json.dumps(HERE).encode())


def test_what_is_too_long_or_too_deep_is_not_read():
    with pytest.raises(MalformedError):
        decoded(b" " * (MOST_WORD_BYTES + 1))
    with pytest.raises(MalformedError):
        decoded(b"[" * 500_000)


@given(st.builds(PackHead, IDS, NAMES, NUMBERS, NUMBERS, st.integers(1, 2**32 - 1)), st.binary(min_size=1, max_size=9))
def test_the_head_of_a_pack_is_read_as_it_was_written(head, messages):
    data = head.encoded()
    assert len(data) == HEAD_BYTES
    assert head_of(data + messages) == head
    for wrong in (data, data[:-1], b"X" + data[1:] + messages):
        with pytest.raises(MalformedError):
            head_of(wrong)


def test_a_pack_without_messages_or_with_huge_numbers_is_none():
    for head in (PackHead(b"i" * 8, b"n" * 16, 0, 0, 0), PackHead(b"i" * 8, b"n" * 16, 2**63, 0, 1)):
        with pytest.raises(MalformedError):
            head_of(head.encoded() + b"\0\0")


def test_a_name_is_one_word_of_a_subject():
    one, other = Subjects("prod.relays", "a.b_c-1"), Subjects("prod.relays.a", "b_c-1")
    assert one.all == "prod.relays.a%2Eb_c-1.a"
    assert one.relay(b"\x01" * 8) == "prod.relays.a%2Eb_c-1.r.0101010101010101"
    assert one.stream(b"\xab" * 16) == "prod.relays.a%2Eb_c-1.s." + "ab" * 16
    assert one.work(b"\x01" * 8) == "prod.relays.a%2Eb_c-1.w.0101010101010101"
    assert one.is_work(one.work(b"x")) and not one.is_work(one.relay(b"x")) and not one.is_work(other.work(b"x"))
    assert one.is_stream(one.stream(b"x")) and not one.is_stream(one.all) and not one.is_stream(other.stream(b"x"))


def test_a_word_of_a_later_version_is_told_from_what_is_none():
    later = b'{"v":1,"w":"sing","relay":"3132333435363738","loud":true}'
    with pytest.raises(UnknownWordError):
        decoded(later)
    with pytest.raises(MalformedError) as failed:
        decoded(later.replace(b'"v":1', b'"v":2'))
    assert not isinstance(failed.value, UnknownWordError)


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        (Probe(b"12345678", 1, b"a"), {"topic": 1}),
        (Probe(b"12345678", 1, b"a"), {"topic": "?"}),
        (Probe(b"12345678", 1, b"a"), {"topic": "A" * 20_000}),
        (Probe(b"12345678", 1), {"number": -1}),
        (Traced(relay=b"12345678", number=1, step=Step.CAME), {"step": 4}),
        (Traced(relay=b"12345678", number=1, step=Step.CAME), {"step": True}),
        (Traced(relay=b"12345678", number=1, step=Step.CAME), {"wanted": 1}),
        (Traced(relay=b"12345678", number=1, step=Step.CAME), {"inbox_us": 0.5}),
        (Traced(relay=b"12345678", number=1, step=Step.CAME), {"room": "much"}),
    ],
)
def test_a_word_of_a_trace_with_an_odd_member_is_malformed(word, wrong):
    with pytest.raises(MalformedError):
        decoded(json.dumps({**json.loads(encoded(word)), **wrong}).encode())
