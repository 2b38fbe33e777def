"""Whether this process may start threads: without them libzmq aborts it, and gevent resolves no name."""

from __future__ import annotations

import threading

NEEDED = 6
"""How many a command needs with one I/O thread: two for libzmq, two for the standard streams, two to look up names."""


def can_start(count: int = NEEDED) -> bool:
    """Whether `count` threads more can be started now. Starts them, and blocks until they have ended again."""
    gate = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            one = threading.Thread(target=gate.wait, daemon=True)
            one.start()
            started.append(one)
    except RuntimeError:
        return False
    finally:
        gate.set()
        for one in started:
            one.join()
    return True
