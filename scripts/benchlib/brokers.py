"""Brokers of another kind as relay processes: nats-server and redis-server, with a ready-file as this server's.

``python -m benchlib.brokers PROGRAM READY_FILE``
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from pathlib import Path

from .baselines import announce

UP_S = 8.0


def command(program: str, port: int) -> tuple[str, list[str]]:
    """The scheme of its endpoints, and how it is started: without a disk, and with no limit to a subscriber's queue."""
    if program == "nats-server":
        return "nats", ["--addr", "127.0.0.1", "--port", str(port), "--log", os.devnull]
    limits = ["--client-output-buffer-limit", "pubsub 0 0 0", "--save", "", "--appendonly", "no"]
    return "redis", ["--bind", "127.0.0.1", "--port", str(port), "--logfile", os.devnull, *limits]


def free_port() -> int:
    """A port that is free now: these programs take 0 for something else."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(port: int) -> None:
    end = time.monotonic() + UP_S
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


def main() -> None:
    program, ready = sys.argv[1:]
    path = shutil.which(program)
    if path is None:
        sys.exit(f"{program} is not installed")
    port = free_port()
    scheme, arguments = command(program, port)
    if os.fork():
        # The broker is this process, whose CPU time is measured.
        os.execv(path, [program, *arguments])
    wait_until_up(port)
    endpoint = f"{scheme}://127.0.0.1:{port}"
    announce(Path(ready), {"frontend": [endpoint], "backend": [endpoint]})


if __name__ == "__main__":
    main()
