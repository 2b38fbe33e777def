"""What is different for process 1 of a PID namespace, as in a container.

The kernel does not deliver a signal to it where it has no handler for that signal (pid_namespaces(7)): the default
action, which ends every other process, does nothing there.
"""

from __future__ import annotations

import os
import signal
from typing import Any


def deadly(pid: int) -> Any:
    """What a signal is to be set to so that it ends the process `pid`, whatever that does. Pure."""
    return _exit if pid == 1 else signal.SIG_DFL


def end_at_sigterm() -> None:
    """Have SIGTERM end this process from now on, unless it is ignored or has a handler. Does not yield.

    For the start: until a command listens to signals itself, process 1 would not notice one. SIGINT has a handler of
    Python's.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, deadly(os.getpid()))


def _exit(number: int, frame: object) -> None:
    # As a shell names a process that a signal has ended.
    os._exit(128 + number)
