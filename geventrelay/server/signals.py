"""The signals of a process: who gets to know of one, and what ends the process whatever it does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from ..first_process import deadly

STOP = (signal.SIGINT, signal.SIGTERM)
"""The signals that end every command which goes on until it is stopped."""


def is_ignored(number: int) -> bool:
    """Whether the signal `number` is ignored. nohup(1) and shells start programs so, and then it stays so."""
    return signal.getsignal(number) is signal.SIG_IGN


def watch(handlers: Mapping[signal.Signals, Callable[[int], object]]) -> list[Any]:
    """Have each handler called in a greenlet of its own, with the number of its signal, when that comes.

    Does not yield. A signal that is ignored stays ignored.

    :param handlers: a handler for each signal.
    :returns: watchers, each with a method `cancel`.
    """
    return [
        gevent.signal_handler(number, handler, number) for number, handler in handlers.items() if not is_ignored(number)
    ]


def let_the_next_kill() -> None:
    """Have the next signal of `STOP` end the process, whatever it does. Does not yield."""
    for number in STOP:
        if not is_ignored(number):
            signal.signal(number, deadly(os.getpid()))


def forgive_one() -> None:
    """Have the next signal of `STOP` do nothing, and the one after it end the process. Does not yield.

    For a process that has been stopped and is about to end: a second signal comes too late to hurry it.
    """
    for number in STOP:
        if not is_ignored(number):
            signal.signal(number, lambda number, frame: let_the_next_kill())


def ignore_all() -> None:
    """Have no signal of `STOP` do anything from now on, for the last moments of a process. Does not yield."""
    for number in STOP:
        # Unlike a handler, this holds until the very end of the interpreter.
        signal.signal(number, signal.SIG_IGN)
