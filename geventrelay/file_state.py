"""Whether a file has changed, or was replaced."""

from __future__ import annotations

import stat
from pathlib import Path


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
