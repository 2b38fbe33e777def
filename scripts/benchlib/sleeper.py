"""A greenlet that sleeps 1 ms at a time and notes how much later than that it woke up."""

from __future__ import annotations

import time
from pathlib import Path

from .board import Board

SLEEP_S = 0.001


def sleep_beside(path: Path) -> None:
    """Start it in this process's hub; the delays go to the board at ``path``."""
    import gevent

    gevent.spawn(_sleep, Board(path))


def _sleep(board: Board) -> None:
    import gevent

    while True:
        due_ns = time.monotonic_ns() + int(SLEEP_S * 1e9)
        gevent.sleep(SLEEP_S)
        board.note_time(max(0, time.monotonic_ns() - due_ns))
