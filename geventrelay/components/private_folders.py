"""Folders for sockets that need a name in the file system. What a process that was killed has left there is removed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import tempfile

_PREFIX = "geventrelay-"
# An empty file in each folder says whose it is: in the folder's own name there is no room for that, as paths of sockets
# are short.
_OWNER = re.compile(r"(?P<space>[0-9a-f]+)_(?P<process>[0-9]+)")
_UNKNOWN = "0"


def private_folder() -> str:
    """The path of a new folder that only this user can enter; its caller removes it. Does not yield.

    The first call removes those of this user's processes that are gone.

    :raises OSError: if there can be none.
    """
    where = tempfile.gettempdir()
    _remove_left(where)
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=where)
    try:
        with open(os.path.join(folder, f"{_space()}_{os.getpid()}"), "xb"):
            pass
    except OSError:
        os.rmdir(folder)
        raise
    return folder


@functools.cache
def _remove_left(where: str) -> None:
    """Remove what is left in the folder `where` of processes that are gone, once in this process."""
    if _space() == _UNKNOWN:
        return
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if not entry.name.startswith(_PREFIX):
                continue
            with contextlib.suppress(OSError):
                is_own = (
                    entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
                )
                if is_own and _is_left(entry.path):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _is_left(folder: str) -> bool:
    """Whether a `folder` says whose it is, and that process is gone."""
    owners = [match for match in map(_OWNER.fullmatch, os.listdir(folder)) if match is not None]
    return len(owners) == 1 and owners[0]["space"] == _space() and _is_gone(int(owners[0]["process"]))


def _space() -> str:
    """Among which processes the number of one is its own; `_UNKNOWN` where the system does not tell.

    Containers may share a folder, and so may machines; each has numbers of its own. What was left before a machine was
    started again stays, as if another had left it.
    """
    try:
        inode = os.stat("/proc/self/ns/pid").st_ino
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            kernel = file.read()
    except OSError:
        return _UNKNOWN
    return hashlib.blake2b(b"%d %s" % (inode, kernel), digest_size=4).hexdigest()


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        # It is there, and another user's; or it is no number of a process.
        return False
    return False
