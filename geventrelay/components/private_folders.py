"""Folders for sockets that need a name in the file system. What a process that was killed has left there is removed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile

# No dash behind the first one: it is the name of one folder, in a sentence too.
_NAME = re.compile(r"geventrelay-(?P<space>[0-9a-f]+)_(?P<process>[0-9]+)_\w+")
_UNKNOWN = "0"


def private_folder() -> str:
    """The path of a new folder that only this user can enter; its caller removes it. Does not yield.

    The first call removes those of this user's processes that are gone.

    :raises OSError: if there can be none.
    """
    where = tempfile.gettempdir()
    _remove_left(where)
    return tempfile.mkdtemp(prefix=f"geventrelay-{_space()}_{os.getpid()}_", dir=where)


@functools.cache
def _remove_left(where: str) -> None:
    """Remove what is left in the folder `where` of processes that are gone, once in this process."""
    if _space() == _UNKNOWN:
        return
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None or match["space"] != _space() or not _is_gone(int(match["process"])):
                continue
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    shutil.rmtree(entry.path, ignore_errors=True)


def _space() -> str:
    """Among which processes the number of one is its own; `_UNKNOWN` where the system does not tell.

    Containers may share a folder, and each has numbers of its own.
    """
    try:
        return f"{os.stat('/proc/self/ns/pid').st_ino:x}"
    except OSError:
        return _UNKNOWN


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        # It is there, and another user's; or it is no number of a process.
        return False
    return False
