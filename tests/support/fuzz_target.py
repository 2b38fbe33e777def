"""What the fuzzer tries: any bytes are understood alike however they are cut, by both cores, or end the connection.

The first four bytes of an input choose what is tried, and the others are what a peer sends: in clear or within sealed
frames, after a handshake or in its place; or they are changes to the handshake of a client of CURVE.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from geventrelay.switch.contract import Core, Destination, LastValuePlan, Side, TopicPlan
from geventrelay.zmtp.connection import Connection, State
from geventrelay.zmtp.errors import ProtocolError
from geventrelay.zmtp.events import Credentials, Event, Ready
from geventrelay.zmtp.greeting import Version
from geventrelay.zmtp.plain import PlainServer
from geventrelay.zmtp.socket_types import NUMBERS

from .secured import CLIENT_KEY, curve_client, curve_server
from .switch import CORES, NEVER, SMALL, World, new_world, subscribe

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
# Of CURVE, what a client says.
_HANDSHAKE_BYTES = 600


def try_input(data: bytes) -> None:
    """Try an input.

    :raises AssertionError: if what comes out depends on how the bytes were cut, or on the core.
    """
    if len(data) < _CHOICES:
        return
    what, kind, version, step = data[:_CHOICES]
    received = data[_CHOICES:][:_MOST_BYTES]
    legacy = bool(version % 2)
    if what % 4 in (0, 2):
        versions = [*Version] if what % 4 == 0 else [Version.V3_0, Version.V3_1]
        way, limited = WAYS[kind % len(WAYS)], kind // len(WAYS) % 2 == 1
        _try_cores(way, versions[version % len(versions)], received, step, sealed=what % 4 == 2, limited=limited)
    elif what % 4 == 1:
        make = partial(Connection, NUMBERS[kind % len(NUMBERS)], legacy_peers=legacy, bounds=SMALL)
        _try_connection(make, received, step)
    elif kind % 2:
        _try_changed(received)
    else:
        _try_connection(partial(Connection, "PULL", mechanism=PlainServer, bounds=SMALL), received, step)


def _cut(data: bytes, step: int) -> list[bytes]:
    return [data[at : at + step] for at in range(0, len(data), step)] if step else [data]


def _try_connection(make: Callable[[], Connection], received: bytes, step: int) -> None:
    whole, cut = (_understood(make(), some) for some in ([received], _cut(received, step)))
    assert whole == cut, f"whole: {whole}, cut: {cut}"


def _understood(connection: Connection, pieces: list[bytes]) -> object:
    found: list[Event | str] = []
    sent = connection.to_send()
    for piece in pieces:
        connection.receive(piece)
        try:
            while (event := connection.next_event()) is not None:
                found.append(event)
                if isinstance(event, Credentials):
                    connection.allow()
        except ProtocolError as error:
            found.append(error.fault.value)
        sent += connection.to_send()
    state = connection.state
    if state is State.TRAFFIC:
        with contextlib.suppress(ValueError):
            assert len(connection.take_rest()) <= _MOST_KEPT
    return found, sent, state


def _try_changed(changes: bytes) -> None:
    """Change what a client of CURVE says: for each three bytes the place in it, and what of a byte is turned over."""
    places = {int.from_bytes(changes[at : at + 2], "big") % _HANDSHAKE_BYTES: changes[at + 2] for at in
              range(0, len(changes) - 2, 3)}  # fmt: skip
    client, server, said = curve_client(), curve_server(), 0
    with contextlib.suppress(ProtocolError):
        while data := client.to_send():
            server.receive(bytes(one ^ places.get(at, 0) for at, one in enumerate(data, said)))
            said += len(data)
            while (event := server.next_event()) is not None:
                if isinstance(event, Credentials):
                    assert event.public_key == CLIENT_KEY
                    server.allow()
                elif isinstance(event, Ready):
                    assert event.peer.socket_type == "PUSH"
            client.receive(server.to_send())
            while client.next_event() is not None:
                pass


def _try_cores(
    types: tuple[str, str], version: Version, received: bytes, step: int, *, sealed: bool, limited: bool
) -> None:
    cut = {name: _moved(make, types, version, received, step, sealed, limited) for name, make in CORES.items()}
    whole = _moved(CORES["python"], types, version, received, 0, sealed, limited)
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
    make: Callable[[], Core],
    types: tuple[str, str],
    version: Version,
    received: bytes,
    step: int,
    sealed: bool,
    limited: bool,
) -> dict[str, object]:
    with new_world(make) as world:
        source = world.side(types[0], bounds=SMALL, max_subscriptions=3)
        backend = world.side(types[1], bounds=SMALL, last_values=LastValuePlan(topics=3), topics=TopicPlan(topics=2))
        elsewhere = _elsewhere(world, backend) if limited else None
        _, way = world.way(source, Destination(backend, otherwise=elsewhere))
        if types[0] == "SUB":
            source.subscribe(b"a")
        far, other = (world.far(one, version=version, routing_id=b"r", sealed=sealed) for one in (source, backend))
        # As its caller does after each handshake.
        far.peer.write(NEVER)
        if types[1] in ("PUB", "XPUB"):
            other.send(subscribe(b"") if version is Version.V3_1 else b"\0\1\1" if version is not Version.V1_0 else b"")
        third = far if elsewhere is None else world.far(elsewhere, version=version, routing_id=b"s", sealed=sealed)
        for piece in _cut(far.sealed(received) if sealed else received, step):
            if far.peer.ended is None:
                far.theirs.sendall(piece)
                far.read()
        fault = far.peer.ended and far.peer.ended.fault
        counts = far.peer.counts()
        if far.peer.ended is not None:
            far.peer.detach()
            world.core.tidy(NEVER)
        for one in (far, other, third):
            if one.peer.ended is None and one.peer.wants_write:
                one.peer.write(NEVER)
        counters = way.counters
        (outlet,) = counters.outlets
        return {
            "fault": fault,
            "received": (counters.received, counters.received_parts, counters.received_bytes, dict(outlet.dropped)),
            "elsewhere": (outlet.elsewhere, way.refused, elsewhere and elsewhere.gate and elsewhere.gate.permits),
            "answers": far.bytes(),
            "moved": other.bytes(),
            "moved elsewhere": b"" if elsewhere is None else third.bytes(),
            "counts": counts if fault is None else far.peer.counts(),
            "topics": _counted(backend),
            "last values": [(topic, parts) for topic, _, parts in backend.last_values_from(b"", None, 10)],
        }


def _elsewhere(world: World, backend: Side) -> Side | None:
    """What gets what `backend` does not take, with a few permits; None for a type that has no such thing."""
    type = backend.plan.type
    if type not in ("PUSH", "DEALER", "ROUTER"):
        return None
    made = world.side(type, bounds=SMALL)
    if type != "ROUTER":
        made.gate = world.core.gate()
        made.gate.add(2)
        backend.gate = world.core.gate()
        backend.gate.add(1)
    return made


def _counted(side: Side) -> object:
    """What a side has counted by topic, but for times and rates."""
    counts = side.topic_counts()
    if counts is None:
        return None
    rows = [(one.topic, one.messages, one.error, one.nbytes, one.lost, one.subscribers) for one in counts.topics]
    assert counts.messages == sum(one.messages for one in counts.topics)
    return counts.messages, counts.lost, rows
