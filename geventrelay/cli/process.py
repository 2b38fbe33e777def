"""A process that serves: its log, its limits, its exit code, and the accounting at its end."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable

from ..server import logs
from ..server.server import Server
from ..settings import ServerSettings


def serve(settings: ServerSettings, load: Callable[[], ServerSettings] | None = None) -> int:
    """Run a server until it is told to stop; the exit code. Yields all the while.

    :param settings: what to run. :param load: reads them again; None where there is no file to read.
    :raises StartError: if it could not start. :raises DeviceFailed: if it failed while running.
    """
    logs.set_up(settings.log_level, settings.log_format)
    server = Server(settings, load=load)
    _raise_descriptor_limit()
    server.run()
    say("\n".join(f"accounting {one.snapshot().accounting()}" for one in server.devices.values()))
    return 0


def say(text: str) -> None:
    """Print `text`, for whoever may read it: it is nobody's fault if there is no one any more."""
    try:
        print(text, flush=True)
    except OSError:
        # What Python still has buffered must not raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _raise_descriptor_limit() -> None:
    # Each connection takes one. To accept one more than there may be, libzmq tries again and again, at full load.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
