"""How many file descriptors this process may still open. Without one, libzmq aborts the process at several places."""

from __future__ import annotations

import errno
import math
import os
import resource

RESERVE = 32
"""While fewer are free, connections that have just been accepted are ended: what runs may need these."""

_OPEN = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


def free() -> float:
    """How many descriptors can still be opened; `math.inf` without a limit. Does not yield."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else max(0, limit - _in_use(limit))


def require(count: int) -> None:
    """Return if `count` descriptors are free. Does not yield.

    :raises OSError: EMFILE, if fewer are.
    """
    if free() < count:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _in_use(limit: int) -> int:
    # Linux has the number here from 6.2 on, and needs no descriptor for it (proc_pid_fd(5)); before that it is 0.
    count = os.stat(_OPEN).st_size if _OPEN.startswith("/proc") else 0
    if count:
        return count
    try:
        # One of them is the one that reads the folder.
        return len(os.listdir(_OPEN)) - 1
    except OSError:
        return limit
