"""Streamers of this server in a process of one's own, through the Python API.

``python -m benchlib.hosted HWM DEVICES READY_FILE [BOARD]``; with 0 devices, only the greenlet beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gevent

from .baselines import announce
from .sleeper import sleep_beside

ANY_PORT = "tcp://127.0.0.1:0"


def main() -> None:
    hwm, count, ready, *board = sys.argv[1:]
    endpoints: dict[str, list[str]] = {"frontend": [], "backend": []}
    devices = []
    for _ in range(int(count)):
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
