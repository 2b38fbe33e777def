"""Standard output."""

from __future__ import annotations

import os
import sys

from ..errors import StartError


def print_stdout(text: str) -> None:
    """Print `text`.

    :raises StartError: if it cannot be printed, because the disk is full or the reader has gone.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        # What Python still has buffered must not raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StartError(f"cannot write to standard output: {error.strerror}") from None
