"""The keys that are pressed at a terminal, one by one."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import Any

# ECMA-48 and xterm's ctlseqs: what follows ESC for keys without a character.
_SEQUENCES = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[5~": "page-up", "[6~": "page-down",
    "[H": "home", "OH": "home", "[1~": "home", "[7~": "home", "[F": "end", "OF": "end", "[4~": "end", "[8~": "end",
}  # fmt: skip
# A sequence comes at once; ESC alone is a key of its own.
_REST_S = 0.05


class Keyboard:
    """Reads keys from standard input, for a ``with`` block. Where that is no terminal, no key ever comes."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._before: list[Any] = []
        self._waiting = ""

    @property
    def works(self) -> bool:
        """Whether keys can come."""
        return self._descriptor is not None

    def __enter__(self) -> Keyboard:
        if sys.stdin is not None and sys.stdin.isatty():
            self._descriptor = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._descriptor)
            # Keys come at once and are not shown; Ctrl-C and Ctrl-Z are signals as before.
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before and sys.stdin is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def read(self, limit_s: float) -> str | None:
        """The next key: its character, or a name such as ``up`` or ``page-down``. Blocks the hub.

        :param limit_s: how long to wait, in seconds; then the answer is None.
        """
        if not self._waiting and not self._fill(limit_s):
            return None
        if self._waiting == "\x1b":
            self._fill(_REST_S)
        key, self._waiting = split(self._waiting)
        return key

    def _fill(self, limit_s: float) -> bool:
        if self._descriptor is None:
            time.sleep(max(0.0, limit_s))
            return False
        if not select.select([self._descriptor], [], [], max(0.0, limit_s))[0]:
            return False
        try:
            data = os.read(self._descriptor, 1024)
        except OSError:
            # The terminal has gone.
            data = b""
        if not data:
            self._descriptor = None
        self._waiting += data.decode(errors="replace")
        return bool(data)


def split(text: str) -> tuple[str, str]:
    """The first key of what a terminal sent, and the rest. Does not yield.

    :param text: at least one character.
    """
    if text[0] != "\x1b" or len(text) == 1:
        return text[0], text[1:]
    for sequence, name in _SEQUENCES.items():
        if text.startswith(sequence, 1):
            return name, text[1 + len(sequence) :]
    # A key that is not known here: its sequence ends with a letter or a tilde, and none of it is a key of its own.
    end = next((index for index, char in enumerate(text[2:], 3) if char.isalpha() or char == "~"), len(text))
    return text[:end], text[end:]
