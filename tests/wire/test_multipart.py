"""Messages of any number and size of parts go through every pattern whole, in order, and are counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ways import WAYS

from geventrelay.testing import Peers

KB, MB = 2**10, 2**20

SHAPES = {
    "one part": [b"payload"],
    "one empty part": [b""],
    "empty parts alone": [b""] * 5,
    "empty parts between": [b"topic", b"", b"a", b"", b"b", b""],
    "very small and very large": [b"x", bytes(MB), b"", bytes(range(256)), bytes(MB - 1)],
    "1 MB": [b"topic", bytes(range(256)) * (MB // 256)],
    # With the routing ids of a queue, the most that a device takes unless it is told otherwise.
    "998 parts": [b"%d" % number for number in range(998)],
    "998 empty parts": [b""] * 998,
    # The sizes around which libzmq stores a message differently.
    "sizes around 33 and 64": [b"x" * size for size in (28, 29, 30, 32, 33, 34, 63, 64, 65, 255, 256)],
    "sizes around 8 KB": [b"x" * size for size in (8 * KB - 1, 8 * KB, 8 * KB + 1)],
}


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request, run, peers: Peers):
    return request.param(run, peers)


@pytest.mark.slow
def test_every_shape_of_message_arrives_whole_and_in_order(way):
    for parts in SHAPES.values():
        way.send(parts)
    for name, parts in SHAPES.items():
        assert way.recv() == way.arrives(parts), name


@pytest.mark.slow
def test_generated_traffic_arrives_whole_in_order_and_accounted_for(way):
    parts = st.lists(st.binary(max_size=100), min_size=1, max_size=8)

    @settings(max_examples=100)
    @given(st.lists(parts, max_size=50))
    def check(messages):
        before = pump_of(way)
        for message in messages:
            way.send(message)
        assert [way.recv() for _ in messages] == [way.arrives(message) for message in messages]
        after = pump_of(way)
        assert after.balanced
        assert after.received - before.received == len(messages)
        assert after.received_parts - before.received_parts >= sum(map(len, messages))
        for outlet, earlier in zip(after.outlets, before.outlets, strict=True):
            assert outlet.sent - earlier.sent == len(messages)
            assert outlet.dropped == earlier.dropped

    check()


def pump_of(way):
    """The snapshot of the pump that carries the way."""
    return way.device.snapshot().pumps[way.pump]
