"""Devices of this server in a process of one's own, through the Python API; and a greenlet beside them.

``python -m benchlib.hosted JOB READY_FILE [BOARD]``; ``JOB``: see :class:`Job`.

An older geventrelay runs this, too: only its public names are used.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import gevent
import zmq

from .baselines import announce
from .board import Board
from .keys import SERVER_SECRET

ANY_PORT = "tcp://127.0.0.1:0"
SLEEP_S = 0.001


@dataclass(frozen=True, slots=True)
class Job:
    """What such a process runs.

    ``devices``: how many of the pattern; ``engine``: "" for the one that a device has by itself.
    ``busy``: whether a thread computes all the time; ``curve``: whether peers come with CURVE.
    """

    pattern: str
    hwm: int
    devices: int
    engine: str = ""
    busy: bool = False
    curve: bool = False

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def sleep_beside(path: Path) -> None:
    """Start a greenlet that sleeps 1 ms at a time; how late it wakes up goes to the board at ``path``."""
    gevent.spawn(_sleep, Board(path))


def _sleep(board: Board) -> None:
    while True:
        due_ns = time.monotonic_ns() + int(SLEEP_S * 1e9)
        gevent.sleep(SLEEP_S)
        board.note_time(max(0, time.monotonic_ns() - due_ns))


def _compute() -> None:
    while True:
        sum(range(1000))


def _settings(job: Job) -> Any:
    # Not at the top: relays of other kinds have their greenlet from here, and may not load geventrelay.
    from geventrelay import Forwarder, Queue, Streamer

    # An older one has no engine to choose.
    engine = {"engine": job.engine} if job.engine else {}
    kind: Any = {"forwarder": Forwarder, "queue": Queue}.get(job.pattern, Streamer)
    more: dict[str, Any] = {}
    if job.curve:
        options = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SERVER_SECRET}
        more["socket_options"] = {"frontend": options, "backend": options}
        if "curve_clients" in {one.name for one in fields(kind)}:
            more["curve_clients"] = "any"
    return kind(frontend=[ANY_PORT], backend=[ANY_PORT], sndhwm=job.hwm, rcvhwm=job.hwm, **engine, **more)


def main() -> None:
    said, ready, *board = sys.argv[1:]
    job = Job(**json.loads(said))
    endpoints: dict[str, list[str]] = {"frontend": [], "backend": []}
    devices = []
    for _ in range(job.devices):
        from geventrelay import Device

        device = Device(_settings(job))
        device.start()
        devices.append(device)
        for side, found in endpoints.items():
            found.append(device.endpoints[side][0])
    if board:
        sleep_beside(Path(board[0]))
    if job.busy:
        threading.Thread(target=_compute, daemon=True).start()
    announce(Path(ready), endpoints)
    while True:
        gevent.sleep(3600)


if __name__ == "__main__":
    main()
