"""Messages of the harness itself: told from every other by their last part, so that no test ever receives one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

_MARK = b"\0geventrelay-mark\0"
_numbers = itertools.count()


def new_mark() -> bytes:
    """A body that no other message of this process has. Any prefix may be put before it, a subscription's say."""
    return b"%s%d." % (_MARK, next(_numbers))


def is_mark(parts: Sequence[bytes]) -> bool:
    """Whether the message `parts` is one of the harness's."""
    return _MARK in parts[-1]
