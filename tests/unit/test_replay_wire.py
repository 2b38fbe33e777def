"""The wire of the replay port: frames are understood as they were meant, and what is wrong is said in one line."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.retention.replay_wire import (
    EPOCH_BYTES,
    LARGEST_NUMBER,
    EndAnswer,
    EpochAnswer,
    ErrorAnswer,
    Fetch,
    Head,
    HeadAnswer,
    LostAnswer,
    MessageAnswer,
    WireError,
    number_bytes,
    read_answer,
    read_request,
    split_delimiter,
)

TAGS = st.binary(max_size=32)
EPOCHS = st.binary(min_size=EPOCH_BYTES, max_size=EPOCH_BYTES)
NUMBERS = st.integers(0, LARGEST_NUMBER)
ORDERED = st.tuples(NUMBERS, NUMBERS).map(sorted)
PARTS = st.lists(st.binary(max_size=20), min_size=1, max_size=4).map(tuple)

REQUESTS = st.one_of(
    st.builds(Head, TAGS),
    st.builds(
        lambda tag, epoch, numbers, newest, prefixes: Fetch(
            tag, epoch, numbers[0], None if newest else numbers[1], prefixes
        ),
        TAGS,
        EPOCHS | st.just(b""),
        ORDERED,
        st.booleans(),
        st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    ),
)
ANSWERS = st.one_of(
    st.builds(
        lambda tag, epoch, numbers, stamped: HeadAnswer(tag, epoch, *numbers, stamped),
        TAGS,
        EPOCHS,
        ORDERED,
        st.booleans(),
    ),
    st.builds(MessageAnswer, TAGS, NUMBERS, PARTS),
    st.builds(
        lambda tag, numbers: LostAnswer(tag, *numbers), TAGS, ORDERED.filter(lambda numbers: numbers[0] < numbers[1])
    ),
    st.builds(EndAnswer, TAGS, EPOCHS, NUMBERS),
    st.builds(lambda tag, epoch, numbers: EpochAnswer(tag, epoch, *numbers), TAGS, EPOCHS, ORDERED),
    st.builds(ErrorAnswer, TAGS, st.text(st.characters(exclude_categories=["Cs"]))),
)
SOME = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [b"GR01", b"HEAD", b"FETCH", b"MESSAGE", b"LOST", b"END", b"EPOCH", b"ERROR", b"", b"\0" * 8, b"\1" * 16]
    ),
    max_size=9,
)
ONE = number_bytes(1)


@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request):
    assert read_request(request.frames()) == request


@given(ANSWERS)
def test_an_answer_is_read_as_it_was_written(answer):
    assert read_answer(answer.frames()) == answer


@given(SOME)
def test_frames_that_mean_nothing_are_told_in_one_short_line_and_those_that_do_are_written_alike(frames):
    for read in read_request, read_answer:
        try:
            found = read(frames)
        except WireError as error:
            assert 0 < len(str(error)) < 300
            assert str(error).isprintable()
        else:
            assert found.frames() == frames or isinstance(found, ErrorAnswer)


@given(st.lists(st.binary(max_size=3), max_size=4))
def test_only_an_empty_first_frame_is_a_delimiter(frames):
    front, rest = split_delimiter(frames)
    assert front + rest == frames
    assert front == ([b""] if frames[:1] == [b""] else [])


def test_the_frames_are_those_of_the_documentation():
    epoch = bytes(range(16))
    assert Head(b"t").frames() == [b"GR01", b"t", b"HEAD"]
    assert Fetch(b"t", epoch, 1, 2, (b"a", b"b")).frames() == [
        *(b"GR01", b"t", b"FETCH", epoch),
        *(bytes(7) + b"\1", bytes(7) + b"\2", b"a", b"b"),
    ]
    assert Fetch(b"", b"", 1).frames() == [b"GR01", b"", b"FETCH", b"", bytes(7) + b"\1", b""]
    assert HeadAnswer(b"t", epoch, 1, 2, True).frames() == [b"GR01", b"t", b"HEAD", epoch, ONE, number_bytes(2), b"\1"]
    assert MessageAnswer(b"t", 1, (b"a", b"")).frames() == [b"GR01", b"t", b"MESSAGE", ONE, b"a", b""]
    assert LostAnswer(b"t", 1, 2).frames() == [b"GR01", b"t", b"LOST", ONE, number_bytes(2)]
    assert EndAnswer(b"t", epoch, 1).frames() == [b"GR01", b"t", b"END", epoch, ONE]
    assert EpochAnswer(b"t", epoch, 1, 2).frames() == [b"GR01", b"t", b"EPOCH", epoch, ONE, number_bytes(2)]
    assert ErrorAnswer(b"t", "no").frames() == [b"GR01", b"t", b"ERROR", b"no"]


@pytest.mark.parametrize(
    "frames, text, tag",
    [
        ([], "version: expected GR01, got no part", b""),
        ([b"GR02", b"t", b"HEAD"], "version: expected GR01, got b'GR02'", b""),
        ([b"GR01", b"t"], "message: expected 3 parts or more, got 2", b""),
        ([b"GR01", bytes(33), b"HEAD"], "tag: expected at most 32 bytes, got 33", b""),
        ([b"GR01", b"t", b"head"], "kind: expected HEAD or FETCH, got b'head'", b"t"),
        ([b"GR01", b"t", b"HEAD", b""], "HEAD: expected 3 parts (version, tag, HEAD), got 4", b"t"),
        (
            [b"GR01", b"t", b"FETCH", b"", ONE],
            "FETCH: expected 6 parts (version, tag, FETCH, epoch, first, last) and prefixes, got 5",
            b"t",
        ),
        ([b"GR01", b"t", b"FETCH", b"x", ONE, b""], "epoch: expected 0 or 16 bytes, got 1", b"t"),
        ([b"GR01", b"t", b"FETCH", b"", b"1", b""], "first: expected a number of 8 bytes, got 1 bytes", b"t"),
        ([b"GR01", b"t", b"FETCH", b"", ONE, b"1"], "last: expected a number of 8 bytes, got 1 bytes", b"t"),
        ([b"GR01", b"t", b"FETCH", b"", ONE, bytes(8)], "last: expected a number >= first (1), got 0", b"t"),
        (
            [b"GR01", b"t", b"FETCH", b"", b"\xff" * 8, b""],
            "first: expected a number up to 9223372036854775807, got 18446744073709551615",
            b"t",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_one_line(frames, text, tag):
    with pytest.raises(WireError) as caught:
        read_request(frames)
    assert (str(caught.value), caught.value.tag) == (text, tag)


def test_it_needs_neither_gevent_nor_zeromq():
    code = "import sys, geventrelay.retention.replay_wire; print(*{'gevent', 'zmq'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
