"""A random scenario of a device between two ROUTERs: each message names the peer on the other side that it is for."""

from __future__ import annotations

import zmq

from geventrelay import Drop
from geventrelay.testing import Peer, eventually

from .stage import Stage

_OTHER = {"frontend": "backend", "backend": "frontend"}


def routers(stage: Stage, steps: int) -> None:
    """Peers of both sides write to each other by name, also to such as have gone."""
    choose = stage.choose
    sides: dict[str, dict[bytes, Peer]] = {"frontend": {}, "backend": {}}
    names: dict[str, list[bytes]] = {"frontend": [], "backend": []}
    for key in (*sides, *sides):
        _come(stage, sides, names, key)
    for _ in range(steps):
        step, key = choose.choice(["send"] * 5 + ["come", "gone"]), choose.choice([*sides])
        if step == "come" and len(sides[key]) < 4:
            _come(stage, sides, names, key)
        elif step == "gone" and len(sides[key]) > 1:
            # The first ones stay: others find out by them that they are known.
            name = choose.choice([*sides[key]][1:])
            stage.leave(sides[key].pop(name), key)
        elif step == "send":
            _send(stage, choose.choice([*sides[key].values()]), sides[_OTHER[key]], names[_OTHER[key]], key)
    stage.seen.append([stage.snapshot(key).outlets[0].dropped for key in sides])


def _come(stage: Stage, sides: dict[str, dict[bytes, Peer]], names: dict[str, list[bytes]], key: str) -> None:
    name = b"%s %d" % (key.encode(), len(names[key]))
    names[key].append(name)
    sides[key][name] = peer = stage.come(zmq.DEALER, key, routing_id=name)
    if others := sides[_OTHER[key]]:
        # What it says has come, so its side knows it.
        peer.send(next(iter(others)), b"hello")
        assert next(iter(others.values())).recv() == [name, b"hello"]


def _send(stage: Stage, sender: Peer, takers: dict[bytes, Peer], names: list[bytes], key: str) -> None:
    before = stage.snapshot(key)
    wanted: dict[bytes, int] = {}
    messages = stage.messages()
    for parts in messages:
        name = stage.choose.choice(names)
        wanted[name] = wanted.get(name, 0) + 1
        sender.send(name, *parts)
    stage.seen += [(name, taker.recv_all(wanted.get(name, 0))) for name, taker in takers.items()]
    lost = sum(count for name, count in wanted.items() if name not in takers)
    eventually(lambda: stage.snapshot(key).received == before.received + len(messages), "the messages")
    dropped = (one.outlets[0].dropped.get(Drop.UNROUTABLE, 0) for one in (before, stage.snapshot(key)))
    stage.seen.append((lost, *dropped))
