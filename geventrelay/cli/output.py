"""Standard output and standard error: what cannot be written there, and what stands in where one is closed."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from ..errors import StartError


def open_standard_streams() -> None:
    """Open descriptors 0 to 2 where they are closed, so that no socket or file gets their numbers. Does not yield.

    Standard output is opened so that a write fails with EBADF, as on the closed descriptor; standard error takes
    everything. `sys.stdout` and `sys.stderr` are None where Python found them closed, and get an object again.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, and so this one.
            os.open(os.devnull, mode)
    if sys.stdout is None:
        sys.stdout = _stream(1)
    if sys.stderr is None:
        sys.stderr = _stream(2)


def print_stdout(text: str) -> None:
    """Print `text`.

    :raises StartError: if it cannot be printed, because the disk is full or the reader has gone.
    """
    if not write_stdout(text + "\n"):
        raise StartError("cannot write to standard output: Broken pipe")


def write_stdout(text: str) -> bool:
    """Write `text` at once; False if the reader has gone.

    :raises StartError: if it cannot be written for another reason, for example because the disk is full.
    """
    try:
        sys.stdout.write(_printable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        return False
    except OSError as error:
        raise unwritable(error) from None
    return True


def unwritable(error: OSError) -> StartError:
    """The error to raise where writing to standard output failed with `error`. No more is written there."""
    _discard(sys.stdout)
    return StartError(f"cannot write to standard output: {error.strerror}")


def print_stderr(text: object) -> None:
    """Print `text` on standard error. Nothing happens if that is not possible: there is no better place to say so."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def flush_stderr() -> None:
    """Have what standard error could not write forgotten: Python ends with the exit code 120 otherwise."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Have all that `stream` writes go nowhere, what it has buffered too: that must not raise at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)


def _printable(text: str) -> str:
    """The text with an escape for each character that standard output's encoding does not have, as Python's stderr."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
