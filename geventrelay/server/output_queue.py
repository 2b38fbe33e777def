"""Text for a standard stream, written by a thread, so that a reader that stalls holds up nothing else.

A pipe has room for 64 KiB. When its reader stalls and it is full, a write blocks the whole process. O_NONBLOCK is no
way out: it belongs to the open file, which other processes share.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from gevent.monkey import get_original

from ..engine import fork

MAX_QUEUED_BYTES = 1024 * 1024
"""How much text waits for a stream that takes none; lines beyond it are dropped and counted."""
LAST_S = 0.5
"""How long the end of the process waits, for each of its two streams, until what is queued is written."""

# A line without an end is queued when it has so many characters.
_MAX_PARTIAL = 8192
_POLL_S = 0.002

# The thread is one of the operating system, and what it waits for is too, also in a program that gevent has patched.
_start_thread = get_original("_thread", "start_new_thread")
_new_lock = get_original("_thread", "allocate_lock")
_new_rlock = get_original("_thread", "RLock")
_poll = get_original("select", "poll")
_sleep = get_original("time", "sleep")


class Backlog:
    """Text that waits to be written, up to a limit, and the count of dropped lines. Pure.

    Once it is full it drops everything until all that waits has been taken. Then comes a notice with the count, so
    that each gap has one line, at its place.

    :param limit: how many bytes may wait. One piece of text may exceed it.
    :param notice: makes the line with the number of dropped lines; it may be empty.

    :ivar dropped: the number of all lines that were dropped.
    """

    def __init__(self, limit: int, notice: Callable[[int], bytes]) -> None:
        self.dropped = 0
        self._limit = limit
        self._notice = notice
        self._waiting: deque[bytes] = deque()
        self._nbytes = 0
        self._full = False
        # Dropped lines that no notice has named yet; and those in the notice that is being written.
        self._unnamed = self._named = 0
        self._taken = b""
        self._failing = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write."""
        return not self._waiting and not self._taken and not self._due

    @property
    def _due(self) -> bool:
        # While writing fails there is no use in a notice.
        return bool(self._unnamed) and not self._failing

    def put(self, text: bytes) -> None:
        """Add whole lines, or drop and count them."""
        if self._waiting and self._nbytes + len(text) > self._limit:
            self._full = True
        if self._full:
            self._drop(text)
            return
        self._waiting.append(text)
        self._nbytes += len(text)

    def take(self) -> bytes:
        """The next piece to write, or nothing. `written` or `failed` follows."""
        if self._waiting:
            self._taken = self._waiting.popleft()
            self._nbytes -= len(self._taken)
            return self._taken
        self._full = False
        if self._due:
            self._named, self._unnamed = self._unnamed, 0
            self._taken = self._notice(self._named)
            if not self._taken:
                self._named = 0
        return self._taken

    def written(self) -> None:
        """The piece that was taken has been written."""
        self._taken, self._named, self._failing = b"", 0, False

    def failed(self) -> None:
        """The piece that was taken could not be written."""
        if self._named:
            self._unnamed += self._named
        else:
            self._drop(self._taken)
        self._taken, self._named, self._failing = b"", 0, True

    def _drop(self, text: bytes) -> None:
        lines = text.count(b"\n") + (not text.endswith(b"\n"))
        self.dropped += lines
        self._unnamed += lines


class QueuedStream:
    """A text stream whose writes never block: a thread of its own writes. What is not a write, `stream` does itself.

    :param stream: where to write; it has a file descriptor.
    :param limit: how many bytes may wait.

    :ivar notice: makes the line that gives the number of dropped lines.
    :ivar error: the error with which writing last failed; None for none.
    """

    def __init__(self, stream: TextIO, limit: int = MAX_QUEUED_BYTES) -> None:
        self.notice: Callable[[int], str] = lambda lines: ""
        self.error: OSError | ValueError | None = None
        self._stream = stream
        self._backlog = Backlog(limit, lambda lines: self._encoded(self.notice(lines)))
        self._partial = ""
        self._until: float | None = None
        # Reentrant: a collection of garbage may print while it is held.
        self._lock = _new_rlock()
        self._wake = _new_lock()
        self._wake.acquire()
        self._fork_count = fork.current()
        self._threaded = True
        try:
            _start_thread(self._run, ())
        except RuntimeError:
            # The limit of threads is reached.
            self._threaded = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def dropped(self) -> int:
        """The number of lines that were dropped."""
        return self._backlog.dropped

    def write(self, text: str) -> int:
        """Queue `text`, line by line. Does not yield, and does not block before `finish`."""
        if self._is_direct:
            return self._stream.write(text)
        with self._lock:
            lines, end, self._partial = (self._partial + text).rpartition("\n")
            self._put(lines + end)
            if len(self._partial) > _MAX_PARTIAL:
                self.flush()
        if self._until is not None:
            self._wait(self._until)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Queue each of `lines`. Does not yield."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Queue a line that has no end yet. Does not wait until it is written."""
        if self._is_direct:
            self._stream.flush()
            return
        with self._lock:
            text, self._partial = self._partial, ""
            self._put(text)

    def finish(self, timeout: float) -> bool:
        """Wait until everything is written, and let later writes wait too; for the end of the process. Blocks.

        If that takes too long, the descriptor leads to the null device from then on: nothing can block on it.

        :param timeout: how many seconds to wait, together with all later writes.
        :returns: whether it is written, or has failed.
        """
        if self._is_direct:
            return True
        self.flush()
        self._until = time.monotonic() + timeout
        finished = self._wait(self._until)
        if not finished:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return finished

    @property
    def _is_direct(self) -> bool:
        # A forked child has no such thread, and perhaps a lock that is held for ever. No thread runs at the very end.
        return not self._threaded or fork.current() != self._fork_count or sys.is_finalizing()

    def _put(self, text: str) -> None:
        if text:
            self._backlog.put(self._encoded(text))
            if self._wake.locked():
                self._wake.release()

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._stream.encoding, self._stream.errors or "strict")

    def _wait(self, until: float) -> bool:
        while True:
            with self._lock:
                if self._backlog.idle:
                    return True
            if time.monotonic() >= until:
                return False
            _sleep(_POLL_S)

    def _run(self) -> None:
        """The thread: it writes what there is, and then waits for more."""
        while True:
            with self._lock:
                text = self._backlog.take()
            if not text:
                self._wake.acquire()
                continue
            try:
                _write(self._stream.fileno(), text)
            except (OSError, ValueError) as error:
                # ValueError: the stream was closed.
                self.error = error
                with self._lock:
                    self._backlog.failed()
            else:
                with self._lock:
                    self._backlog.written()


def is_queueable(stream: TextIO | None) -> bool:
    """Whether `stream` has a file descriptor to which a thread can write."""
    try:
        return stream is not None and stream.fileno() >= 0
    except (OSError, ValueError):
        return False


def takes_at_once(stream: TextIO, text: str) -> bool:
    """Whether a line of `text` can be written to `stream` without waiting for a reader. Does not yield.

    A pipe that poll(2) calls writable takes PIPE_BUF bytes at once (pipe(7)). A file is always writable.
    """
    if len(text.encode(stream.encoding, "backslashreplace")) >= select.PIPE_BUF:
        return False
    writable = _poll()
    writable.register(stream.fileno(), select.POLLOUT)
    return any(events & select.POLLOUT for _, events in writable.poll(0))


def _write(descriptor: int, text: bytes) -> None:
    """Write all of `text`; blocks this thread alone, also where another process has set O_NONBLOCK."""
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            writable = _poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()
