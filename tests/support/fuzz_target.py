"""What the fuzzer tries: any bytes are understood alike however they are cut, by both cores, or end the connection.

The first four bytes of an input choose what is tried, and the others are what a peer sends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from geventrelay.switch.contract import Core
from geventrelay.zmtp.connection import Connection, State
from geventrelay.zmtp.errors import ProtocolError
from geventrelay.zmtp.events import Event
from geventrelay.zmtp.greeting import Version
from geventrelay.zmtp.socket_types import NUMBERS

from .switch import CORES, NEVER, SMALL, new_world, subscribe

WAYS = [
    ("PULL", "PUSH"),
    ("SUB", "PUB"),
    ("XSUB", "XPUB"),
    ("XPUB", "XSUB"),
    ("ROUTER", "DEALER"),
    ("DEALER", "ROUTER"),
]
_CHOICES = 4
# So that the kernel takes all at once.
_MOST_BYTES = 2000
# Of what no whole frame has been made: a frame of the largest size, and its head.
_MOST_KEPT = SMALL.frame_bytes + 9


def try_input(data: bytes) -> None:
    """Try an input.

    :raises AssertionError: if what comes out depends on how the bytes were cut, or on the core.
    """
    if len(data) < _CHOICES:
        return
    what, kind, version, step = data[:_CHOICES]
    received = data[_CHOICES:][:_MOST_BYTES]
    pieces = [received[at : at + step] for at in range(0, len(received), step)] if step else [received]
    if what % 2:
        _try_connection(NUMBERS[kind % len(NUMBERS)], received, pieces, legacy=bool(version % 2))
    else:
        _try_cores(WAYS[kind % len(WAYS)], [*Version][version % len(Version)], received, pieces)


def _try_connection(socket_type: str, received: bytes, pieces: list[bytes], *, legacy: bool) -> None:
    whole, cut = (_understood(socket_type, some, legacy=legacy) for some in ([received], pieces))
    assert whole == cut, f"whole: {whole}, cut: {cut}"


def _understood(socket_type: str, pieces: list[bytes], *, legacy: bool) -> object:
    connection = Connection(socket_type, legacy_peers=legacy, bounds=SMALL)
    found: list[Event | str] = []
    sent = connection.to_send()
    for piece in pieces:
        connection.receive(piece)
        try:
            while (event := connection.next_event()) is not None:
                found.append(event)
        except ProtocolError as error:
            found.append(error.fault.value)
        sent += connection.to_send()
    state = connection.state
    if state is State.TRAFFIC:
        with contextlib.suppress(ValueError):
            assert len(connection.take_rest()) <= _MOST_KEPT
    return found, sent, state


def _try_cores(types: tuple[str, str], version: Version, received: bytes, pieces: list[bytes]) -> None:
    cut = {name: _moved(make, types, version, pieces) for name, make in CORES.items()}
    whole = _moved(CORES["python"], types, version, [received])
    for key, expected in cut["python"].items():
        if types[1] == "XSUB" and key == "moved":
            # What subscribers want is told in fewer words where it comes, or is taken back, at once.
            continue
        # An answer is written when a read is over, unless that ends the connection.
        unwritten = key == "answers" and whole["fault"] is not None
        assert unwritten or whole[key] == expected, f"{key}: whole: {whole[key]}, cut: {expected}"
        for name, found in cut.items():
            assert found[key] == expected, f"{key}: python: {expected}, {name}: {found[key]}"


def _moved(
    make: Callable[[], Core], types: tuple[str, str], version: Version, pieces: list[bytes]
) -> dict[str, object]:
    with new_world(make) as world:
        source, backend = world.side(types[0], bounds=SMALL, max_subscriptions=3), world.side(types[1], bounds=SMALL)
        _, way = world.way(source, backend)
        if types[0] == "SUB":
            source.subscribe(b"a")
        far, other = (world.far(one, version=version, routing_id=b"r") for one in (source, backend))
        # As its caller does after each handshake.
        far.peer.write(NEVER)
        if types[1] in ("PUB", "XPUB"):
            other.send(subscribe(b"") if version is Version.V3_1 else b"\0\1\1" if version is not Version.V1_0 else b"")
        for piece in pieces:
            if far.peer.ended is None:
                far.send(piece)
        fault = far.peer.ended and far.peer.ended.fault
        counts = far.peer.counts()
        if far.peer.ended is not None:
            far.peer.detach()
            world.core.tidy(NEVER)
        for one in (far, other):
            if one.peer.ended is None and one.peer.wants_write:
                one.peer.write(NEVER)
        counters = way.counters
        (outlet,) = counters.outlets
        return {
            "fault": fault,
            "received": (counters.received, counters.received_parts, counters.received_bytes, dict(outlet.dropped)),
            "answers": far.bytes(),
            "moved": other.bytes(),
            "counts": counts if fault is None else far.peer.counts(),
        }
