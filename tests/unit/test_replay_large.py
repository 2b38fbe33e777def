"""Who has room for a large message, and who waits for some."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.retention.large import LargeMessages

READERS = "abcde"


def test_one_message_has_room_whatever_its_size():
    large = LargeMessages(10)
    assert large.take("a", 100)
    assert not large.take("b", 1)
    large.give_back("a")
    assert large.next_ones() == ["b"]


def test_without_a_limit_all_have_room():
    large = LargeMessages(0)
    assert all(large.take(reader, 1 << 40) for reader in READERS)


def test_those_who_wait_go_before_those_who_come_later():
    large = LargeMessages(10)
    assert large.take("a", 6)
    assert not large.take("b", 6)
    assert not large.take("c", 1)
    large.give_back("a")
    assert large.next_ones() == ["b", "c"]
    assert not large.take("d", 3) or large.holds("d")
    assert large.take("b", 6)
    assert large.holds("b")


def test_room_that_was_kept_free_and_not_used_is_for_the_next_one():
    large = LargeMessages(10)
    assert large.take("a", 10)
    assert not large.take("b", 10)
    assert not large.take("c", 10)
    large.give_back("a")
    assert large.next_ones() == ["b"]
    assert not large.holds("b")
    large.give_back_unused("b")
    assert large.next_ones() == ["c"]
    assert large.take("c", 10)
    large.give_back_unused("c")
    assert large.holds("c")


@given(st.lists(st.tuples(st.sampled_from(READERS), st.integers(1, 12), st.booleans())))
def test_no_more_than_the_limit_waits_and_nobody_waits_for_ever(steps):
    large = LargeMessages(10)
    sizes = {}
    waiting = []
    for reader, size, leaves in steps:
        if leaves or large.holds(reader):
            large.give_back(reader)
            sizes.pop(reader, None)
            waiting = [one for one in waiting if one != reader]
        elif reader not in waiting:
            if large.take(reader, size):
                sizes[reader] = size
            else:
                waiting.append(reader)
        for one in large.next_ones():
            assert one == waiting.pop(0)
            assert large.take(one, 1)
            sizes[one] = 1
        assert len(sizes) < 2 or sum(sizes.values()) <= 10
        assert sizes or not waiting
        assert large.anyone_waits == bool(waiting)
