"""Whether a file has changed, or was replaced."""

from __future__ import annotations

import stat
from pathlib import Path

_CHANGED_AT = 4
# By how much the times of changes may be wrong: FAT counts in steps of two seconds, other file systems in less.
_STEP_NS = 2_000_000_000


def file_state(path: Path) -> tuple[int, ...] | None:
    """What differs once the file at `path` was written or replaced. Does not yield.

    :returns: None for a pipe, which can be read once, and for nothing.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_settled(state: tuple[int, ...] | None, now_ns: int) -> bool:
    """Whether each change of the file from now on gives another state. Does not yield.

    One that comes right after another may have the same time, and with it the same state.

    :param state: what `file_state` has returned.
    :param now_ns: the Unix time before it was called, in ns.
    """
    return state is not None and state[_CHANGED_AT] + _STEP_NS < now_ns
