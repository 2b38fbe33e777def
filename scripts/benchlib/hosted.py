"""Streamers of this server in a process of one's own, through the Python API; and a greenlet beside them.

``python -m benchlib.hosted HWM DEVICES READY_FILE [BOARD]``; with 0 devices, only the greenlet beside them.

An older geventrelay runs this, too: only its public names are used.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import gevent

from .baselines import announce
from .board import Board

ANY_PORT = "tcp://127.0.0.1:0"
SLEEP_S = 0.001


def sleep_beside(path: Path) -> None:
    """Start a greenlet that sleeps 1 ms at a time; how late it wakes up goes to the board at ``path``."""
    gevent.spawn(_sleep, Board(path))


def _sleep(board: Board) -> None:
    while True:
        due_ns = time.monotonic_ns() + int(SLEEP_S * 1e9)
        gevent.sleep(SLEEP_S)
        board.note_time(max(0, time.monotonic_ns() - due_ns))


def main() -> None:
    hwm, count, ready, *board = sys.argv[1:]
    endpoints: dict[str, list[str]] = {"frontend": [], "backend": []}
    devices = []
    for _ in range(int(count)):
        # Not at the top: relays of other kinds have their greenlet from here, and may not load geventrelay.
        from geventrelay import Device, Streamer

        device = Device(Streamer(frontend=[ANY_PORT], backend=[ANY_PORT], sndhwm=int(hwm), rcvhwm=int(hwm)))
        device.start()
        devices.append(device)
        for side, found in endpoints.items():
            found.append(device.endpoints[side][0])
    if board:
        sleep_beside(Path(board[0]))
    announce(Path(ready), endpoints)
    while True:
        gevent.sleep(3600)


if __name__ == "__main__":
    main()
