"""A load process: one job a line on standard input, two answers on standard output: ready, and done.

It outlives the contenders, so that every one of them meets the same clients.

``python -m benchlib.load BOARD LIBRARY``
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from . import protocols
from .board import Board
from .keys import as_client
from .native import NativeLoad, Socket
from .wire import drain, subscribe, topics_of

STOP_SEEN_MS = 50


def _open(context: zmq.Context[Socket], job: dict[str, Any], kind: str, endpoint: str) -> tuple[Socket, str]:
    socket = context.socket(getattr(zmq, kind))
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = job["hwm"]
    socket.sndtimeo = socket.rcvtimeo = STOP_SEEN_MS
    if kind == "PUB":
        # A publisher that drops at its HWM sends at a rate that says nothing of the relay.
        socket.setsockopt(zmq.XPUB_NODROP, 1)
    if kind == "SUB":
        socket.subscribe(b"")
    if job["curve"]:
        as_client(socket)
    if endpoint:
        socket.connect(endpoint)
        return socket, endpoint
    socket.bind("tcp://127.0.0.1:0")
    return socket, socket.getsockopt_string(zmq.LAST_ENDPOINT)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _work(load: NativeLoad, board: Board, job: dict[str, Any]) -> None:
    signal.alarm(job["limit_s"])  # the default action ends the process, even inside a C call
    with zmq.Context() as context:
        opened = [_open(context, job, kind, endpoint) for kind, endpoint in job["sockets"]]
        sockets = [socket for socket, _ in opened]
        _say({"endpoints": [endpoint for _, endpoint in opened]})
        code = load.run(job["role"], board.address, sockets, job["size"], job["in_flight"])
        for socket in sockets:
            socket.close()
    signal.alarm(0)
    _say({"error": os.strerror(code) if code else ""})


def _work_raw(library: Path, board: Board, job: dict[str, Any]) -> None:
    signal.alarm(job["limit_s"])
    with ExitStack() as stack:
        connections = [
            stack.enter_context(subscribe(endpoint, topics_of(number) if job["by_topic"] else (b"",)))
            for number, (_kind, endpoint) in enumerate(job["sockets"])
        ]
        _say({"endpoints": [endpoint for _kind, endpoint in job["sockets"]]})
        code = drain(library, board.address, connections)
    signal.alarm(0)
    _say({"error": os.strerror(code) if code else ""})


def _work_cheaply(library: Path, board: Board, job: dict[str, Any]) -> None:
    signal.alarm(job["limit_s"])
    run = protocols.publish if job["role"] == "raw_source" else protocols.count
    endpoints = [endpoint for _kind, endpoint in job["sockets"]]
    with ExitStack() as stack:
        ends = protocols.connect(stack, job["role"] == "raw_source", endpoints)
        _say({"endpoints": endpoints})
        code = run(library, board.address, ends, job["size"])
    signal.alarm(0)
    _say({"error": os.strerror(code) if code else ""})


def main() -> None:
    board, library = Board(Path(sys.argv[1])), Path(sys.argv[2])
    load = NativeLoad(library)
    for line in sys.stdin:
        job = json.loads(line)
        if job["role"] == "subscribers":
            _work_raw(library, board, job)
        elif job["role"].startswith("raw_"):
            _work_cheaply(library, board, job)
        else:
            _work(load, board, job)


if __name__ == "__main__":
    main()
