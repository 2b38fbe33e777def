"""How many messages may wait for `geventrelay tap`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.cli.room import LEAST_MESSAGES, MOST_MESSAGES, Room

MIB = 1 << 20


def test_what_waits_takes_no_more_than_64_mib():
    room = Room()
    assert room.messages == MOST_MESSAGES
    assert room.after(10, 10, 10 * 100) is False
    assert room.after(2, 2, 2 * MIB) is True
    assert room.messages == 63
    # Parts without a byte take memory too.
    assert room.after(1, 65_536, 0) is True
    assert room.messages == LEAST_MESSAGES == 16
    assert room.after(1, 1, 1 << 30) is False
    assert room.after(1, 1, 0) is False
    assert room.messages == LEAST_MESSAGES


def test_it_changes_seldom():
    room = Room()
    room.after(1, 1, MIB)
    assert [room.after(1, 1, nbytes) for nbytes in (MIB, MIB * 3 // 2, MIB * 2 // 3)] == [False] * 3


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 10_000), st.integers(0, 1 << 32)), min_size=1))
def test_it_is_at_most_twice_what_the_largest_leave_room_for(reads):
    room, before = Room(), MOST_MESSAGES
    for messages, parts, nbytes in reads:
        room.after(messages, parts, nbytes)
        assert LEAST_MESSAGES <= room.messages <= before
        before = room.messages
        each = (nbytes + 64 * parts) // messages
        assert room.messages < 2 * LEAST_MESSAGES or room.messages * each <= 2 * 64 * MIB + each
