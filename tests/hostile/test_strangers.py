"""What strangers send: good peers are served meanwhile, nothing gets in, all of it is counted, and nothing stays."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
from support.house import SENDERS, SUBSCRIBERS, Attack, House, at_most, ended, failed, strangers
from support.strangers import COMMAND, GREETING, LONG, MORE, frame, ready, stranger


def head(size: int, flags: int = 0) -> bytes:
    """The head of a frame whose body never comes."""
    return bytes([LONG | flags]) + size.to_bytes(8, "big")


def too_slow(count: int) -> Callable[[House], bool]:
    return lambda house: house.new("handshake_failures") == {"too_slow": count} and not house.new("connected_total")


def random_bytes() -> list[bytes]:
    # None begins as a greeting does.
    return [b"\0" + random.Random(seed).randbytes(2000) for seed in range(20)]


BEFORE_HANDSHAKES = {
    "random bytes": Attack(random_bytes(), failed(20)),
    "an oversized greeting": Attack([GREETING + bytes(100_000)] * 3, failed(3)),
    "ZMTP 1.0": Attack([b"\1\0\6\0hello"] * 3, failed(3)),
    "ZMTP 2.0": Attack([b"\xff" + bytes(8) + b"\x7f\1\5\0\0"] * 3, failed(3)),
    "another mechanism": Attack([GREETING.replace(b"NULL\0", b"CURVE")] * 3, failed(3)),
    "a command of 2^62 bytes": Attack([head(2**62, COMMAND)] * 3, failed(3), greeted=True),
    "a message in place of READY": Attack([frame(b"hello")] * 3, failed(3), greeted=True),
    "a READY that says too much": Attack(
        [frame(b"\5READY\1a" + b"\xff" * 4 + b"x", COMMAND)] * 3, failed(3), greeted=True
    ),
    "a type that does not fit": Attack([ready(b"PUB")] * 3, failed(3), greeted=True),
}

AFTER_HANDSHAKES = {
    "2^63 bytes": Attack([head(2**63 - 1), head(2**63), head(2**64 - 1)], ended(3, "too_large"), shaken=True),
    "a part of 1 GB": Attack([head(2**30) + bytes(100_000)] * 3, ended(3, "too_large"), shaken=True),
    "a part of 1 GB in a message": Attack(
        [frame(b"a", MORE) + head(2**30, MORE)] * 3, ended(3, "too_large"), shaken=True
    ),
    "10,000 parts": Attack(
        [frame(b"", MORE) * 9_999 + frame(b"")], ended(1, "too_many_parts", libzmq="too_many_parts"), shaken=True
    ),
}

BOTH = [pytest.param(SENDERS, id="senders"), pytest.param(SUBSCRIBERS, id="subscribers")]


def suffer(house: House, attack: Attack) -> None:
    with contextlib.ExitStack() as stack:
        strangers(house, attack, stack)
        house.serve()
        house.until(attack.told)
    house.is_as_before()


@pytest.mark.parametrize("attack", BEFORE_HANDSHAKES.values(), ids=BEFORE_HANDSHAKES)
@pytest.mark.parametrize("kind", BOTH)
def test_what_is_no_handshake_gets_nothing_in(house, kind, attack):
    if kind == SUBSCRIBERS and attack is BEFORE_HANDSHAKES["a type that does not fit"]:
        attack = Attack([ready(b"PULL")] * 3, failed(3), greeted=True)
    suffer(house(kind), attack)


@pytest.mark.parametrize("attack", AFTER_HANDSHAKES.values(), ids=AFTER_HANDSHAKES)
def test_what_is_too_much_is_ended_and_gets_nothing_in(house, attack):
    suffer(house(SENDERS), attack)


@pytest.mark.parametrize("kind", BOTH)
def test_handshakes_that_are_cut_anywhere(house, kind):
    home = house(kind)
    whole = GREETING + ready(kind)
    sizes = range(0, len(whole), 3)
    for size in sizes:
        with at_most("a stranger's words"), stranger(home.address) as one:
            one.sendall(whole[:size])
        if size % 30 == 0:
            home.serve(1)
    # libzmq does not tell of each that is gone before it was seen.
    home.until(lambda home: home.told.connected == 1 and not home.new("connected_total"))
    home.is_as_before()


@pytest.mark.parametrize("kind", BOTH)
def test_slow_handshakes_have_their_time(house, kind):
    whole = GREETING + ready(kind)
    cut = [whole[:size] for size in (0, 1, 11, 40, 64, len(whole) - 1)]
    suffer(house(kind), Attack(cut, too_slow(len(cut))))
