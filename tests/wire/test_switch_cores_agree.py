"""The native core of the switch does what the one in Python does, in random scenarios of all types of sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from typing import Any

import pytest
from support.switch import CORES, NEVER, SMALL, Far, World, command

from geventrelay.engine.grant import Grant
from geventrelay.switch.contract import Destination, Side
from geventrelay.terms import Payload, WhenFull
from geventrelay.zmtp import frames
from geventrelay.zmtp.greeting import Version

PARTS = [b"", b"a", b"a0", b"a1", b"r0", b"\1a", b"\0a", b"\1", b"ab c", b"x" * 300, b"y" * 260]
SOURCES = ["PULL", "SUB", "XSUB", "XPUB", "ROUTER", "DEALER"]
GRANTS = [None, None, None, Grant((b"a", b"r"), (b"", b"a")), Grant((), (b"a",)), Grant((b"ab", b"\1"), ())]
DESTINATIONS = ["PUSH", "PUB", "XPUB", "ROUTER", "DEALER"]


def some_bytes(choose: random.Random, far: Far) -> bytes:
    """A message, a command, a message with a command within, or garbage."""
    parts = choose.choices(PARTS, k=choose.choice([1, 1, 2, 3]))
    kind = choose.random()
    if far.v1_0 or kind < 0.75:
        return frames.encode_message(parts, v1_0=far.v1_0)
    if kind < 0.85:
        name = choose.choice([b"PING", b"PONG", b"SUBSCRIBE", b"CANCEL", b"UNKNOWN"])
        return command(name, choose.choice([b"\0\0", b"", b"a", b"\0\0context"]))
    if kind < 0.95:
        return frames.encode(b"first", more=True) + command(b"PING", b"\0\0") + frames.encode_message(parts)
    return choose.randbytes(choose.randrange(1, 12))


def some_side(world: World, choose: random.Random, types: list[str]) -> Side:
    type = choose.choice(types)
    requests = choose.choice([0, 1, 3]) if type == "DEALER" else 0
    return world.side(type, bounds=SMALL, sndhwm=0, requests_per_peer=requests)


def some_alternative(world: World, choose: random.Random, side: Side) -> Side | None:
    """Another side for what this one does not take, maybe with a gate."""
    of_type = {"PUSH": ["PUSH", "DEALER"], "DEALER": ["PUSH", "DEALER"], "ROUTER": ["ROUTER"]}
    if side.plan.type not in of_type or choose.random() < 0.5:
        return None
    made = some_side(world, choose, of_type[side.plan.type])
    if made.plan.type != "ROUTER" and choose.random() < 0.7:
        made.gate = world.core.gate()
        made.gate.add(choose.randrange(3))
    return made


def build(world: World, choose: random.Random) -> tuple[list[Far], list[Side], Any]:
    """The peers of a random device, its destinations, and its way."""
    type = choose.choice(SOURCES)
    source = world.side(type, bounds=SMALL)
    if type == "SUB":
        source.subscribe(choose.choice([b"a", b""]))
    sides = [some_side(world, choose, DESTINATIONS) for _ in range(choose.choice([1, 1, 2]))]
    destinations = [Destination(one, choose.choice([*WhenFull]), choose.choice([*Payload])) for one in sides]
    for index, one in enumerate(destinations):
        if (other := some_alternative(world, choose, one.side)) is not None:
            destinations[index] = dataclasses.replace(one, otherwise=other)
            sides.append(other)
    _, way = world.way(source, *destinations)
    if type == "ROUTER" and sides[0].plan.type == "DEALER":
        # Replies come back.
        world.way(sides[0], source)
    fars = []
    for side, name in ((source, b"r"), *((one, b"a") for one in sides)):
        for number in range(2):
            version = choose.choice([*Version])
            sealed = not version.is_legacy and choose.random() < 0.3
            routing_id, grant = b"%s%d" % (name, number), choose.choice(GRANTS)
            fars.append(world.far(side, version=version, routing_id=routing_id, grant=grant, sealed=sealed))
    return fars, sides, way


def settle(world: World, fars: list[Far]) -> None:
    """Write what waits, and forget who has ended."""
    for far in fars:
        if far.peer.ended is not None:
            far.peer.detach()
    world.core.tidy(NEVER)
    for far in fars:
        if far.peer.wants_write:
            far.peer.write(NEVER)
    world.core.take_stalled()
    world.core.take_ended()


def story(world: World, seed: int) -> list[object]:
    """All that can be seen in a scenario."""
    choose = random.Random(seed)
    fars, sides, way = build(world, choose)
    settle(world, fars)
    seen: list[object] = []
    for _ in range(choose.randrange(1, 12)):
        far = choose.choice(fars)
        data = b"".join(some_bytes(choose, far) for _ in range(choose.randrange(1, 6)))
        cut = choose.randrange(len(data) + 1)
        gates = [side.gate for side in sides if side.gate is not None]
        for gate in gates:
            if choose.random() < 0.5:
                gate.add(choose.randrange(4))
            elif choose.random() < 0.2:
                seen.append(gate.take_all())
        for piece in (data[:cut], data[cut:]):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                far.put(piece)
                seen.append((far.read(), far.peer.ended and far.peer.ended.fault))
        settle(world, fars)
        seen += [(far.bytes(), far.peer.counts(), far.peer.some_topics(3)) for far in fars]
        counters = way.counters
        seen.append((counters.received, counters.received_parts, counters.received_bytes))
        seen += [
            (one.sent, one.sent_parts, one.sent_bytes, one.uncut, one.elsewhere, dict(one.dropped))
            for one in counters.outlets
        ]
        seen.append((way.has_room, way.lacks_permits, way.refused))
        seen += [(one.free_places(), one.gate and one.gate.permits) for one in sides]
    return seen


@pytest.mark.skipif("native" not in CORES, reason="the native core is not built")
@pytest.mark.parametrize("hundred", range(2))
def test_both_cores_do_the_same_in_random_scenarios(hundred):
    for seed in range(100 * hundred, 100 * hundred + 100):
        stories = []
        for make in CORES.values():
            world = World(make())
            try:
                stories.append(story(world, seed))
            finally:
                world.close()
        for number, (one, other) in enumerate(zip(*stories, strict=True)):
            assert one == other, f"seed {seed}, entry {number}"
