"""Opens a file to read it, and nothing else that a path can name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

# A pipe is opened at once, and no terminal becomes that of this process.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_regular(path: Path) -> BinaryIO:
    """Open the regular file at `path`, or that a link leads to, to read it. Blocks while the disk is asked.

    A pipe, a device, a socket or a folder is refused: to read from one could wait for ever, and what was read from a
    pipe is not there when it is to be read again.

    :raises OSError: if it cannot be opened, or is of another kind.
    """
    descriptor = _opened(path)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _another_kind(path)
    return os.fdopen(descriptor, "rb")


def _opened(path: Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        # So the kernel says that it is a socket, or a device without a driver (open(2)).
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise _another_kind(path) from None
        raise


def _another_kind(path: Path) -> OSError:
    return OSError(errno.EINVAL, "it is a pipe, a device, a socket or a folder", str(path))
