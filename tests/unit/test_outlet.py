"""Which part of a message an outlet takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import PushPayload
from geventrelay.engine.outlet import CUT, Take

MESSAGES = st.lists(st.binary(max_size=20), min_size=1, max_size=6)


def cut(take: Take, parts: list[bytes]) -> list[bytes]:
    function = CUT[take]
    return list(parts if function is None else function(parts))


@pytest.mark.parametrize(
    ("take", "parts", "taken"),
    [
        (Take.SPACE, [b'topic {"a": 1}'], [b'{"a": 1}']),
        (Take.SPACE, [b"topic"], [b"topic"]),
        (Take.SPACE, [b"topic "], [b""]),
        (Take.SPACE, [b" payload"], [b"payload"]),
        (Take.SPACE, [b""], [b""]),
        (Take.SPACE, [b"a b c"], [b"b c"]),
        (Take.SPACE, [b"a b", b"", b"c d"], [b"b", b"", b"c d"]),
        (Take.SPACE, [b"a\tb"], [b"a\tb"]),
        (Take.PARTS, [b"topic", b"one", b"two"], [b"one", b"two"]),
        (Take.PARTS, [b"topic", b""], [b""]),
        (Take.PARTS, [b"topic payload"], [b"topic payload"]),
        (Take.AUTO, [b"topic payload"], [b"payload"]),
        (Take.AUTO, [b"topic", b"pay load"], [b"pay load"]),
        (Take.AUTO, [b"to pic", b"one", b""], [b"one", b""]),
        (Take.WHOLE, [b"topic payload"], [b"topic payload"]),
        (Take.SWAP, [b"from", b"to", b"", b"body"], [b"to", b"from", b"", b"body"]),
        (Take.SWAP, [b"from"], [b"from"]),
    ],
)
def test_a_cut_is_what_its_name_says(take, parts, taken):
    assert cut(take, parts) == taken


@given(MESSAGES)
def test_auto_is_space_for_one_part_and_parts_for_several(parts):
    assert cut(Take.AUTO, parts) == cut(Take.SPACE if len(parts) == 1 else Take.PARTS, parts)


@given(MESSAGES)
def test_swapping_twice_gives_the_message_back(parts):
    assert cut(Take.SWAP, cut(Take.SWAP, parts)) == parts


@given(st.sampled_from(list(Take)), MESSAGES)
def test_a_cut_leaves_a_message_and_adds_nothing(take, parts):
    taken = cut(take, parts)
    assert 1 <= len(taken) <= len(parts)
    assert sum(map(len, taken)) <= sum(map(len, parts))


def test_every_push_payload_is_a_cut():
    assert {Take(payload.value) for payload in PushPayload} == set(Take) - {Take.SWAP}
