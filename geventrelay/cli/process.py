"""A process that serves: its log, its limits, its exit code, and the accounting at its end."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable

from ..errors import StartError
from ..server import logs, signals
from ..server.output_queue import LAST_S, QueuedStream, is_queueable, takes_at_once
from ..server.server import Server
from ..server.site import Site
from ..settings import ServerSettings
from .output import print_stderr, print_stdout


def serve(settings: ServerSettings, load: Callable[[], ServerSettings] | None = None) -> int:
    """Run a server until it is stopped; the exit code. Yields meanwhile.

    :param settings: what to run.
    :param load: reads them again; None where there is no file to read.
    :raises StartError: if it could not start.
    :raises DeviceFailed: if it failed while running.
    """
    logs.queue_standard_error()
    logs.set_up(settings.log_level, settings.log_format)
    server = Server(settings, load=load, site=_site)
    _raise_descriptor_limit()
    try:
        server.run(until_exit=True)
        _print_accounting(server)
    finally:
        # It ends now, with the exit code that it has.
        signals.ignore_all()
    return 0


def _print_accounting(server: Server) -> None:
    try:
        _print_last("\n".join(f"accounting {one.snapshot().accounting()}" for one in server.devices.values()))
    except StartError as error:
        # It was stopped on request all the same.
        print_stderr(error)


def _print_last(text: str) -> None:
    """Print `text` to standard output, but wait at most `LAST_S` for a reader that stalls."""
    if not is_queueable(sys.stdout) or takes_at_once(sys.stdout, text):
        # On a busy machine, a thread may not have its turn in that time.
        print_stdout(text)
        return
    queued = QueuedStream(sys.stdout)
    queued.write(f"{text}\n")
    if not queued.finish(LAST_S):
        raise StartError("cannot write to standard output: its reader does not read")
    if isinstance(queued.error, OSError):
        raise StartError(f"cannot write to standard output: {queued.error.strerror}")


def _site(server: Server) -> Site:
    # Here, since HTTP takes a fifth of the time to start, and is off unless asked for.
    from ..web.site import site_for

    return site_for(server)


def _raise_descriptor_limit() -> None:
    # Each connection takes one. To accept one more than there may be, libzmq tries again and again, at full load.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
