"""The files of ipc endpoints: libzmq makes one when it binds, and leaves it behind.

A file is taken away only where a connect says that no program has it: ECONNREFUSED, see unix(7). Each other answer
shows a program that is alive: it listens (0, EAGAIN), it has a socket of another type (EPROTOTYPE), or it keeps us out
(EACCES).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket as stdlib_socket
import stat

import gevent

_PREFIX = "ipc://"
_FIRST_PAUSE_S = 0.002


class IpcFile:
    """The file of an ipc endpoint that this process binds.

    Making one takes a descriptor, with which `remove` looks whether another process listens there by then.

    :param path: where it is, or will be.
    """

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._probe: stdlib_socket.socket | None = _new_probe()

    def remove(self, wait_s: float = 0.0) -> None:
        """Remove the file, now that its socket is closed. Does nothing the second time; goes on after an interruption.

        A file that belongs to another process by then stays, and so does one that cannot be removed.

        :param wait_s: how long libzmq may take until it listens there no more. Yields meanwhile; with 0, never.
        """
        pause_s = _FIRST_PAUSE_S
        while self._probe is not None and _is_socket(self._path):
            if _why_in_use(self._probe, self._path) is None:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
                break
            if pause_s > wait_s:
                break
            # One that has connected cannot do so again.
            self.leave()
            with contextlib.suppress(OSError):
                self._probe = _new_probe()
            gevent.sleep(pause_s)
            pause_s *= 2
        self.leave()

    def leave(self) -> None:
        """Give the descriptor back and leave the file, which is not ours. Does not yield; may be called twice."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close()


def file_of(address: str) -> bytes | None:
    """The path of the file that an `address` has while it is bound; None for an abstract one and other transports.

    It is bytes, as libzmq gets them: not every encoding of a system has every path.
    """
    path = address.removeprefix(_PREFIX)
    return None if path == address or path.startswith("@") else path.encode(errors="surrogateescape")


def check_is_free(path: bytes) -> None:
    """Refuse a path that is in use: libzmq would remove what is there, without a word. Does not yield.

    :param path: the path of an ipc endpoint that is to be bound.
    :raises OSError: EEXIST for a file that is no socket, EADDRINUSE for a socket that a process has, EACCES for one
        that we may not connect to, so that it cannot be known; and what stat(2) says of its folder.
    """
    # pyzmq can word this error only for a path of UTF-8.
    os.stat(os.path.dirname(path) or b".")
    if not os.path.lexists(path):
        return
    if not _is_socket(path):
        raise OSError(errno.EEXIST, "there is a file of that name which is not a socket")
    with _new_probe() as probe:
        error = _why_in_use(probe, path)
        if error is not None:
            raise error


def _is_socket(path: bytes) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _new_probe() -> stdlib_socket.socket:
    probe = stdlib_socket.socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
    # A listener whose backlog is full is one all the same, and nothing to wait for.
    probe.setblocking(False)
    return probe


def _why_in_use(probe: stdlib_socket.socket, path: bytes) -> OSError | None:
    """What keeps us from taking the socket file at `path`; None if no process has it."""
    number = probe.connect_ex(path)
    if number in (errno.ECONNREFUSED, errno.ENOENT):
        return None
    if number in (0, errno.EAGAIN, errno.EINPROGRESS):
        return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if number == errno.EPROTOTYPE:
        return OSError(errno.EADDRINUSE, "another program has a socket of another type there")
    return OSError(number, f"there is a socket that we may not take ({os.strerror(number)})")
