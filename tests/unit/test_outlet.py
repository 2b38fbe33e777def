"""Which part of a message an outlet takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Payload
from geventrelay.engine.outlet import CUT, LONGEST_TOPIC, is_topic, is_uncut

MESSAGES = st.lists(st.binary(max_size=20), min_size=1, max_size=6)


def cut(take: Payload, parts: list[bytes]) -> list[bytes]:
    function = CUT[take]
    return list(parts if function is None else function(parts))


@pytest.mark.parametrize(
    ("take", "parts", "taken"),
    [
        (Payload.SPACE, [b'topic {"a": 1}'], [b'{"a": 1}']),
        (Payload.SPACE, [b"topic"], [b"topic"]),
        (Payload.SPACE, [b"topic "], [b""]),
        (Payload.SPACE, [b" payload"], [b"payload"]),
        (Payload.SPACE, [b""], [b""]),
        (Payload.SPACE, [b"a b c"], [b"b c"]),
        (Payload.SPACE, [b"a b", b"", b"c d"], [b"b", b"", b"c d"]),
        (Payload.SPACE, [b"a\tb"], [b"a\tb"]),
        (Payload.PARTS, [b"topic", b"one", b"two"], [b"one", b"two"]),
        (Payload.PARTS, [b"topic", b""], [b""]),
        (Payload.PARTS, [b"topic payload"], [b"topic payload"]),
        (Payload.AUTO, [b"topic payload"], [b"payload"]),
        (Payload.AUTO, [b"topic", b"pay load"], [b"pay load"]),
        (Payload.AUTO, [b" payload with spaces"], [b"payload with spaces"]),
        (Payload.AUTO, [b'{"a": 1, "b": 2}'], [b'{"a": 1, "b": 2}']),
        (Payload.AUTO, [b"\x82\xa4name\xa3a b"], [b"\x82\xa4name\xa3a b"]),
        (Payload.SPACE, [b'{"a": 1}'], [b"1}"]),
        (Payload.AUTO, [b"to pic", b"one", b""], [b"one", b""]),
        (Payload.WHOLE, [b"topic payload"], [b"topic payload"]),
        (Payload.SWAP, [b"from", b"to", b"", b"body"], [b"to", b"from", b"", b"body"]),
        (Payload.SWAP, [b"from"], [b"from"]),
    ],
)
def test_a_cut_is_what_its_name_says(take, parts, taken):
    assert cut(take, parts) == taken


@given(MESSAGES)
def test_auto_is_space_for_one_part_and_parts_for_several(parts):
    assert cut(Payload.AUTO, parts) == cut(Payload.SPACE if len(parts) == 1 else Payload.PARTS, parts)


@given(MESSAGES)
def test_swapping_twice_gives_the_message_back(parts):
    assert cut(Payload.SWAP, cut(Payload.SWAP, parts)) == parts


@given(st.sampled_from(list(Payload)), MESSAGES)
def test_a_cut_leaves_a_message_and_adds_nothing(take, parts):
    taken = cut(take, parts)
    assert 1 <= len(taken) <= len(parts)
    assert sum(map(len, taken)) <= sum(map(len, parts))


def test_every_push_payload_is_a_cut():
    assert set(CUT) == set(Payload)


@pytest.mark.parametrize("text", [b"", b"prices", "Grüße/€/\U0001f600".encode(), b"x" * LONGEST_TOPIC, b"-'}]"])
def test_what_can_be_a_topic(text):
    assert is_topic(text)
    assert not is_uncut(Payload.AUTO, [text + b" payload"])


@pytest.mark.parametrize(
    "text",
    [
        b"{", b'["a",', b'"text', b"tab\tin", b"line\n", b"\0", b"\x7f", "\u0085".encode(), "\u009f".encode(),
        b"x" * (LONGEST_TOPIC + 1),        b"\xff", b"\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80", b"x\x9c\x01",
    ],
)  # fmt: skip
def test_what_cannot_be_a_topic(text):
    assert not is_topic(text)
    assert is_uncut(Payload.AUTO, [text + b" payload"])
    assert not is_uncut(Payload.SPACE, [text + b" payload"])
    assert not is_uncut(Payload.AUTO, [text + b" payload", b"more"])
    assert not is_uncut(Payload.AUTO, [text])
