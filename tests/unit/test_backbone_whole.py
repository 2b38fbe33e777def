"""Whole messages as bytes of frames: found, counted and split, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backbone import whole
from geventrelay.zmtp import frames
from geventrelay.zmtp.commands import Command

PARTS = st.lists(st.one_of(st.binary(max_size=5), st.sampled_from([b"x" * 255, b"y" * 256])), min_size=1, max_size=4)
# Many of one size, since these are found together.
EQUAL = st.tuples(st.binary(max_size=3), st.sampled_from([7, 9, 600, 1100])).map(lambda found: [[found[0]]] * found[1])
MESSAGES = st.lists(st.one_of(PARTS.map(lambda parts: [parts]), EQUAL), max_size=4).map(
    lambda found: [message for some in found for message in some]
)


def encoded(messages):
    return b"".join(map(frames.encode_message, messages))


@given(MESSAGES)
def test_messages_are_counted_and_split_as_they_were_made(messages):
    data = encoded(messages)
    assert whole.count(data) == len(messages)
    assert list(whole.split(data)) == messages


@given(MESSAGES, st.data())
def test_messages_come_out_whole_however_they_are_cut(messages, data):
    bytes_, found, out, at = encoded(messages), whole.WholeMessages(), [], 0
    while at < len(bytes_):
        end = min(len(bytes_), at + data.draw(st.integers(1, 2000)))
        found.feed(bytes_[at:end])
        at = end
        if at % 2:
            out.append(found.take())
    out.append(found.take())
    assert b"".join(taken for taken, _ in out) == bytes_
    assert all(whole.count(taken) == number for taken, number in out)
    assert found.nbytes == found.count == 0


@given(MESSAGES.filter(bool), st.data())
def test_what_ends_within_a_message_is_none(messages, data):
    bytes_ = encoded(messages)
    ends = {0, *itertools.accumulate(len(frames.encode_message(message)) for message in messages)}
    cut = data.draw(st.integers(0, len(bytes_)).filter(lambda end: end not in ends))
    with pytest.raises(ValueError, match="expected whole messages"):
        whole.count(bytes_[:cut])


@pytest.mark.parametrize("flags", [5, 7, 8, 16, 255])
def test_odd_flags_are_refused(flags):
    with pytest.raises(ValueError, match=f"got {flags}"):
        whole.count(bytes([flags, 1]) + b"x")


def test_a_command_is_no_message():
    ping = frames.encode(Command(b"PING", b"\0\0").body, command=True)
    with pytest.raises(ValueError, match="expected whole messages"):
        whole.count(encoded([[b"a"]]) + ping)


def test_commands_between_frames_are_left_out():
    ping = frames.encode(Command(b"PING", b"\0\0").body, command=True)
    first, second = frames.encode(b"a", more=True), frames.encode(b"b")
    found = whole.WholeMessages()
    for piece in (ping, first, ping, ping[:3], ping[3:], second, ping, encoded([[b"c"]])):
        found.feed(piece)
    data, number = found.take()
    assert (list(whole.split(data)), number) == ([[b"a", b"b"], [b"c"]], 2)


def test_a_head_that_says_more_than_there_is_waits():
    found = whole.WholeMessages()
    found.feed(b"\x02" + (2**63).to_bytes(8, "big") + b"x")
    assert found.count == 0
