"""Which part of a message an outlet takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Payload
from geventrelay.engine.outlet import CUT

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
