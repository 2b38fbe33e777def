"""Messages that wait for other devices: each goes once, in order, in packs that are not too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.backbone import encoded

from geventrelay.backbone.whole import ends, split
from geventrelay.backbone.work.unsent import PACK_BYTES, Portion, Unsent, cut

ONE, OTHER = b"1" * 8, b"2" * 8


def run(numbers: range, size: int = 0) -> bytes:
    return b"".join(encoded([b"%d" % number, b"x" * size]) for number in numbers)


def numbers(data: bytes) -> list[int]:
    return [int(parts[0]) for parts in split(data)]


def test_devices_take_turns_and_each_gets_all_that_waits_for_it():
    unsent = Unsent()
    unsent.add(ONE, run(range(3)), 3)
    unsent.add(OTHER, run(range(10, 12)), 2)
    unsent.add(ONE, run(range(3, 5)), 2)
    assert (unsent.count, unsent.nbytes, unsent.relays()) == (7, len(run(range(5)) + run(range(10, 12))), (ONE, OTHER))
    assert unsent.take(1000) == Portion(ONE, run(range(5)), 5)
    assert unsent.take(1000, lambda relay: relay == ONE) is None
    assert unsent.take(1000) == Portion(OTHER, run(range(10, 12)), 2)
    assert not unsent and (unsent.count, unsent.nbytes) == (0, 0)


def test_what_is_put_back_goes_before_all_else():
    unsent = Unsent()
    unsent.add(ONE, run(range(2)), 2)
    portion = unsent.take(1000)
    unsent.add(OTHER, run(range(1)), 1)
    unsent.add(ONE, run(range(2, 4)), 2)
    unsent.put_back(portion)
    assert unsent.take(1000) == Portion(ONE, run(range(4)), 4)
    assert unsent.pop(OTHER) == (run(range(1)), 1)
    assert unsent.pop(OTHER) == (b"", 0)
    assert unsent.count == unsent.nbytes == 0


@given(st.lists(st.sampled_from([10, 3000, 40_000, 70_000, 200_000]), max_size=12), st.sampled_from([50_000, 100_000]))
def test_a_pack_is_not_too_large_and_what_is_too_large_for_any_is_dropped(sizes, most):
    unsent = Unsent()
    messages = [encoded([b"%d" % number, b"x" * size]) for number, size in enumerate(sizes)]
    if messages:
        unsent.add(ONE, b"".join(messages), len(messages))
    found, dropped = [], 0
    while (portion := unsent.take(most)) is not None:
        assert portion.count == len(list(ends(portion.data)))
        assert len(portion.data) <= most
        assert portion.count == 1 or len(portion.data) <= PACK_BYTES
        found += numbers(portion.data)
        dropped += portion.dropped
    assert found == [number for number, message in enumerate(messages) if len(message) <= most]
    assert dropped == len(messages) - len(found)
    assert unsent.count == unsent.nbytes == 0


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER, None]), st.integers(0, 4)), max_size=6))
def test_messages_are_cut_as_they_are_assigned(runs):
    total = sum(count for _, count in runs)
    found = list(cut(run(range(total)), runs))
    assert [(relay, count) for relay, _, count in found] == [one for one in runs if one[1]]
    assert [number for _, data, _ in found for number in numbers(data)] == list(range(total))
