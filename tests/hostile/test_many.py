"""Very many connections and topics: good peers are served meanwhile, and nothing stays.

``scripts/soak strangers`` has more of them, at once and for longer.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable
from typing import Any

import pytest
from support.house import SENDERS, SUBSCRIBERS, Attack, House, at_most, ended, failed, strangers
from support.strangers import frame, stranger

LONGEST_TOPIC = 8192


def connections(house: House, count: int) -> Iterable[Any]:
    for number in range(count):
        with at_most("a connection"):
            yield stranger(house.address)
        if number % 100 == 0:
            house.serve(1)


@pytest.mark.slow
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 5_000, reason="too few descriptors (ulimit -n)")
def test_2000_half_open_connections(house):
    home = house(SENDERS)
    with contextlib.ExitStack() as stack:
        for one in connections(home, 2_000):
            stack.enter_context(contextlib.closing(one))
        home.serve()
        home.until(lambda home: sum(home.new("handshake_failures").values()) >= 1_900)
    home.is_as_before()


@pytest.mark.slow
def test_2000_connects_and_disconnects(house):
    home = house(SENDERS)
    for one in connections(home, 2_000):
        one.close()
    home.is_as_before()


def test_topics_of_every_length_up_to_1_mb(house):
    home = house(SUBSCRIBERS)
    fitting = (0, 1, 253, 254, 255, 256, 4095, LONGEST_TOPIC - 1, LONGEST_TOPIC)
    # libzmq lets parts pass that are some bytes longer than the longest topic.
    longer = (LONGEST_TOPIC + 100, 65_535, 65_536, 200_000, 1_000_000)
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(contextlib.closing(stranger(home.address, SUBSCRIBERS)))
        for size in fitting:
            good.sendall(frame(b"\1" + b"t" * size) + frame(b"\0" + b"t" * size))
            home.serve(1)
        strangers(home, Attack([frame(b"\1" + b"t" * size) for size in longer], failed(0), shaken=True), stack)
        home.until(ended(len(longer), "topic_too_long"))
        assert home.told.connected == 2
    home.is_as_before()


def test_a_flood_of_subscribing_and_cancelling(house):
    home = house(SUBSCRIBERS)
    flood = (frame(b"\1bad") + frame(b"\0bad")) * 2_000
    with contextlib.ExitStack() as stack:
        strangers(home, Attack([flood] * 5, failed(0), shaken=True), stack)
        home.serve()
    home.until(lambda home: home.new("connected_total") == home.new("disconnected_total") == 5)
    home.is_as_before()


def test_many_topics_and_then_a_disconnect(house):
    home = house(SUBSCRIBERS)
    batches = [b"".join(frame(b"\1%07d" % (first + one)) for one in range(1_000)) for first in range(0, 40_000, 1_000)]
    with at_most("a stranger's words"), stranger(home.address, SUBSCRIBERS) as one:
        for batch in batches:
            one.sendall(batch)
            home.serve(1)
    home.until(lambda home: home.new("disconnected_total") == 1)
    home.is_as_before()
