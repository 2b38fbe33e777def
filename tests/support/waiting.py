"""Waiting with a limit, and saying what for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import gevent

LIMIT_S = 10.0


@contextlib.contextmanager
def within(what: str, seconds: float = LIMIT_S) -> Iterator[None]:
    """Fail with a sentence that names `what` if the block takes longer than `seconds`."""
    timeout = gevent.Timeout(seconds)
    timeout.start()
    try:
        yield
    except gevent.Timeout as expired:
        if expired is not timeout:
            raise
        raise AssertionError(f"waited {seconds:g} s for {what}") from None
    finally:
        timeout.close()


def until(condition: Callable[[], object], what: str, seconds: float = LIMIT_S) -> None:
    """Let the hub run until `condition()` holds. For what nobody announces; an event is to be awaited instead."""
    with within(what, seconds):
        while not condition():
            gevent.sleep(0.001)


def let_run(turns: int = 5) -> None:
    """Give every other greenlet that is ready, and every socket that has news, some turns."""
    for _ in range(turns):
        # A timer, however short, is only looked at after descriptors have been polled.
        gevent.sleep(1e-6)
