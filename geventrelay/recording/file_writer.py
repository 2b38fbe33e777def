"""Writes bytes to a file in the hub's thread pool, so that the disk never stops the greenlets.

Bytes are written as soon as they come, and synced (fsync) once a second and at the end. So a recorder that is killed
loses the last few milliseconds, and a machine that loses its power loses the last second. Neither a write nor a sync
runs on the hub's thread, where it would stop every greenlet until the disk is ready.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

# A pipe or a terminal cannot be synced, and does not need to be.
_NOT_SYNCABLE = (errno.EINVAL, errno.ENOTSUP)

SYNC_S = 1.0
"""How often written bytes are synced, in seconds."""

LIMIT_BYTES = 16 * 1024 * 1024
"""The number of bytes that may wait for the disk before `FileWriter.wait_for_room` waits."""


class FileWriter:
    """Takes bytes at once and writes them in order; a context manager that ends with a sync.

    :param descriptor: a file that is open for writing, at the position where to write.
    :ivar on_failure: the hub calls it once if a write or a sync fails.
    :raises OSError: from every method, after a write or a sync has failed.
    """

    def __init__(self, descriptor: int) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._error: OSError | None = None
        self._ending = False
        self._news, self._room = Event(), Event()
        self._room.set()
        self._greenlet = gevent.spawn(self._run)

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Take `data`. Does not yield; the caller must call `wait_for_room` now and then."""
        self._raise()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > LIMIT_BYTES:
            self._room.clear()
        self._news.set()

    def wait_for_room(self) -> None:
        """Wait until at most `LIMIT_BYTES` wait for the disk. Yields."""
        self._room.wait()
        self._raise()

    def close(self) -> None:
        """Write and sync the rest. Yields; the file stays open."""
        self._ending = True
        self._news.set()
        self._greenlet.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._write_all()
        except OSError as error:
            self._error = error
            self._room.set()
            gevent.get_hub().loop.run_callback(self.on_failure)

    def _write_all(self) -> None:
        synced, clean = time.monotonic(), True
        while True:
            # Without new bytes, only bytes that are not synced yet are a reason to wake up.
            self._news.wait(None if clean else max(0.0, synced + SYNC_S - time.monotonic()))
            self._news.clear()
            ending = self._ending
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._room.set()
            if waiting:
                _in_threadpool(_write, self._descriptor, b"".join(waiting))
                clean = False
            if not clean and (ending or time.monotonic() >= synced + SYNC_S):
                _in_threadpool(_sync, self._descriptor)
                synced, clean = time.monotonic(), True
            if ending and not self._waiting:
                return


def _in_threadpool(job: Callable[..., None], *arguments: Any) -> None:
    error = gevent.get_hub().threadpool.apply(_error_of, (job, *arguments))
    if error is not None:
        raise error


def _error_of(job: Callable[..., None], *arguments: Any) -> OSError | None:
    # An exception in the thread pool would be printed there as well.
    try:
        job(*arguments)
    except OSError as error:
        return error
    return None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SYNCABLE:
            raise
