"""What people run without this server: one relay process of the named kind, with a ready-file like its own.

``python -m benchlib.baselines KIND PATTERN HWM DEVICES READY_FILE [BOARD]``
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from .keys import CURVE_SUFFIX, as_server

SOCKETS = {
    "streamer": {"frontend": zmq.PULL, "backend": zmq.PUSH},
    "forwarder": {"frontend": zmq.XSUB, "backend": zmq.XPUB},
    "queue": {"frontend": zmq.ROUTER, "backend": zmq.DEALER},
    "relay": {"sub": zmq.SUB, "pub": zmq.PUB, "push": zmq.PUSH},
}
Sockets = dict[str, Any]
Outlets = list[tuple[Any, Callable[[list[bytes]], list[bytes]]]]


def open_sockets(context: zmq.Context[Any], pattern: str, hwm: int) -> Sockets:
    sockets = {}
    with_curve = pattern.endswith(CURVE_SUFFIX)
    for name, kind in SOCKETS[pattern.removesuffix(CURVE_SUFFIX)].items():
        socket = sockets[name] = context.socket(kind)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = hwm
        if kind == zmq.SUB:
            socket.subscribe(b"")
        if with_curve:
            as_server(socket)
        socket.bind("tcp://127.0.0.1:0")
    return sockets


def announce(path: Path, endpoints: dict[str, list[str]]) -> None:
    """Write the ready-file in one step: a reader never sees half of it."""
    partly = path.with_suffix(".part")
    partly.write_text(json.dumps({"device": "baseline", "pid": os.getpid(), "endpoints": endpoints}))
    partly.rename(path)


def _context(kind: str) -> zmq.Context[Any]:
    if not kind.startswith("green"):
        return zmq.Context.instance()
    import zmq.green as green

    return green.Context.instance()


def ways(sockets: Sockets) -> list[tuple[Any, Outlets]]:
    """Each source with its destinations, and what part of the message each of them gets."""
    if "sub" in sockets:
        return [(sockets["sub"], [(sockets["pub"], whole), (sockets["push"], payload)])]
    front, back = sockets["frontend"], sockets["backend"]
    both: list[tuple[Any, Outlets]] = [(front, [(back, whole)]), (back, [(front, whole)])]
    return both[:1] if front.type == zmq.PULL else both


def whole(parts: list[bytes]) -> list[bytes]:
    return parts


def payload(parts: list[bytes]) -> list[bytes]:
    return [parts[0].partition(b" ")[2]] if len(parts) == 1 else parts[1:]


def run_proxy(every: list[Sockets]) -> None:
    """zmq.proxy in a thread (one for each device).

    It has no way to strip a topic: for ``relay`` the PUSH is its capture socket and gets whole messages.
    """
    for sockets in every:
        front, back, *capture = sockets.values()
        threading.Thread(target=zmq.proxy, args=(front, back, *capture), daemon=True).start()
    threading.Event().wait()


def run_poll(every: list[Sockets]) -> None:
    """The loop that most people write: poll, then one message from each socket that has one."""
    (sockets,) = every
    way_out = dict(ways(sockets))
    poller = zmq.Poller()
    for source in way_out:
        poller.register(source, zmq.POLLIN)
    while True:
        for source, _event in poller.poll():
            parts = source.recv_multipart(zmq.NOBLOCK)
            for outlet, part in way_out[source]:
                outlet.send_multipart(part(parts))


def run_green_device(every: list[Sockets]) -> None:
    import zmq.green as green

    front, back = every[0].values()
    green.device(zmq.QUEUE, front, back)


def run_green_pair(every: list[Sockets]) -> None:
    """A greenlet for each direction, one message at a time."""
    import gevent

    gevent.joinall([gevent.spawn(_carry, *way) for way in ways(every[0])])


def _carry(source: Any, outlets: Outlets) -> None:
    while True:
        parts = source.recv_multipart()
        for outlet, part in outlets:
            outlet.send_multipart(part(parts))


KINDS = {"proxy": run_proxy, "poll": run_poll, "green-device": run_green_device, "green-pair": run_green_pair}


def main() -> None:
    kind, pattern, hwm, devices, ready, *board = sys.argv[1:]
    every = [open_sockets(_context(kind), pattern, int(hwm)) for _ in range(int(devices))]
    if board:
        from .hosted import sleep_beside

        sleep_beside(Path(board[0]))
    endpoints = {name: [s[name].last_endpoint.decode() for s in every] for name in every[0]}
    announce(Path(ready), endpoints)
    KINDS[kind](every)


if __name__ == "__main__":
    main()
