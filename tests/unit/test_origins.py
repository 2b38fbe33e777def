"""Over which connection a message came: never said wrongly, whatever the order of connections and messages."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.origins import Origins

# What happens: (what, which descriptor).
STEPS = st.lists(st.tuples(st.sampled_from(["connect", "send", "leave", "read", "empty"]), st.integers(0, 2)))


@given(STEPS)
def test_what_is_certain_is_true(steps):
    """The model is a queue of messages, each with the number of its connection; senders are read in any order."""
    origins, emptied, queue = Origins(), 0, deque[tuple[int, int]]()
    now: dict[int, int] = {}
    for number, (what, descriptor) in enumerate(steps):
        if what == "connect" and descriptor not in now:
            now[descriptor] = number
            origins.gained(descriptor, emptied)
        elif what == "send" and descriptor in now:
            queue.append((descriptor, now[descriptor]))
        elif what == "leave":
            now.pop(descriptor, None)
        elif what == "read" and queue:
            queue.rotate(number)
            read_from, sender = queue.popleft()
            if read_from in now and origins.is_certain(read_from, emptied):
                assert now[read_from] == sender
        elif what == "empty":
            queue.clear()
            emptied += 1


def test_the_first_connection_with_a_descriptor_is_certain_at_once_and_a_later_one_after_an_empty_queue():
    origins = Origins()
    assert not origins.is_certain(7, 5)
    origins.gained(7, 5)
    assert origins.is_certain(7, 5)
    origins.gained(7, 5)
    assert not origins.is_certain(7, 5)
    assert origins.is_certain(7, 6)
