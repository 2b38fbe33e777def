"""The log: one line per event, as text or as JSON. A throttle counts what comes too often."""

from __future__ import annotations

import atexit
import copy
import datetime
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TextIO, cast

import gevent

from ..log import LogEvent, event
from ..printable import printable_lines
from ..settings import LogFormat
from .output_queue import LAST_S, QueuedStream, is_queueable

STORM_LIMIT = 10
"""The number of lines of one event for one socket that are written within a second; more are counted."""
_WINDOW_S = 1.0

_TEXT = "%(asctime)s %(levelname)s %(message)s"
# The time from the first event that was held back to the line with the count.
_COUNT_AFTER_S = 1.0


def queue_standard_error() -> None:
    """Have a thread write all that this process writes to standard error, until its end. Call it before `set_up`.

    At exit it waits at most `LAST_S` until that is written. Without a descriptor nothing changes.
    """
    if isinstance(sys.stderr, QueuedStream) or not is_queueable(sys.stderr):
        return
    queued = QueuedStream(sys.stderr)
    sys.stderr = cast("TextIO", queued)
    atexit.register(_finish, queued)


def dropped_lines() -> int:
    """The number of lines that standard error could not take in time, or not at all. Does not yield."""
    handler = _handler()
    return handler.stream.dropped if handler is not None and isinstance(handler.stream, QueuedStream) else 0


def set_up(level: str, form: LogFormat) -> None:
    """Write this process's log to standard error from now on; another call changes level and form.

    :param level: the lowest level to write, ``debug`` to ``error``.
    :param form: text or JSON.
    """
    root = logging.getLogger()
    handler = _handler()
    if handler is None:
        handler = EventHandler(sys.stderr)
        root.addHandler(handler)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter(_TEXT))
    root.setLevel(level.upper())


def _handler() -> EventHandler | None:
    return next((one for one in logging.getLogger().handlers if isinstance(one, EventHandler)), None)


def _finish(queued: QueuedStream) -> None:
    # `logging.shutdown` comes only after this.
    handler = _handler()
    if handler is not None:
        handler.close()
    queued.finish(LAST_S)


class TextFormatter(logging.Formatter):
    """Writes a record as text in which nothing steers a terminal. Only tracebacks have several lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines for `record`."""
        return printable_lines(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: ``time``, ``level``, ``event`` and the event's keys.

    Any other record has ``event`` "message", its ``logger`` and its ``text``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        if isinstance(record.msg, LogEvent):
            line["event"] = record.msg.name
            line.update((key, value) for key, value in record.msg.keys.items() if key not in line)
        else:
            line.update(event="message", logger=record.name, text=record.getMessage())
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@dataclass(slots=True)
class _Window:
    """The events of one kind since `began`: `passed` of them count as written."""

    began: float
    passed: int = 0
    held_back: int = 0


class LogThrottle:
    """Decides which events are written and which are only counted. Pure: time is an argument.

    When one kind comes too often, the first ones pass. Then there is a count for every second, until a second is quiet.

    :param limit: how many events of one kind pass within a second.
    """

    def __init__(self, limit: int = STORM_LIMIT) -> None:
        self._limit = limit
        self._windows: dict[Hashable, _Window] = {}
        self._next_look = float("-inf")

    def passes(self, kind: Hashable, now: float) -> bool:
        """Whether one more event of this `kind` is to be written `now`; if not, it is counted. Call `due` first."""
        window = self._windows.get(kind)
        if window is None or (not window.held_back and now >= window.began + _WINDOW_S):
            window = self._windows[kind] = _Window(now)
        if window.passed < self._limit:
            window.passed += 1
            return True
        window.held_back += 1
        return False

    def due(self, now: float) -> list[tuple[Hashable, int]]:
        """The kinds that have events held back for a second by `now`, with their number; each is returned once."""
        if now < self._next_look:
            return []
        found = []
        for kind, window in list(self._windows.items()):
            if now < window.began + _WINDOW_S:
                continue
            if not window.held_back:
                del self._windows[kind]
                continue
            found.append((kind, window.held_back))
            # It goes on until a second has been quiet.
            self._windows[kind] = _Window(now, passed=self._limit)
        self._next_look = min((one.began + _WINDOW_S for one in self._windows.values()), default=float("-inf"))
        return found

    def rest(self) -> list[tuple[Hashable, int]]:
        """The kinds with events held back that were not returned yet, with their number; forgets everything."""
        windows, self._windows = self._windows, {}
        self._next_look = float("-inf")
        return [(kind, window.held_back) for kind, window in windows.items() if window.held_back]

    @property
    def holds_back(self) -> bool:
        """Whether events have been held back that were not returned yet."""
        return any(window.held_back for window in self._windows.values())


class EventHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy, and from 3.11 on
    """Writes events, except those that `LogThrottle` holds back. Of these it writes the count.

    :param stream: where to write.
    :param clock: returns the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._throttle = LogThrottle()
        self._last: dict[Hashable, logging.LogRecord] = {}
        self._counting: gevent.Greenlet[..., None] | None = None
        self._thread = threading.get_ident()
        if isinstance(stream, QueuedStream):
            stream.notice = self._dropped_line
            # Made here: the thread that asks for the line is none that `logging` knows.
            self._notice = logging.LogRecord("geventrelay", logging.WARNING, __file__, 0, "", None, None)

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, or count it."""
        self._write_counts(self._throttle.due(self._clock()))
        kind = _kind(record)
        if kind is None or self._throttle.passes(kind, self._clock()):
            super().emit(record)
            return
        self._last[kind] = record
        # A greenlet in another thread's hub may not run. There, the next line or `close` writes the count.
        if self._counting is None and threading.get_ident() == self._thread:
            self._counting = gevent.spawn(self._count)

    def close(self) -> None:
        """Write the counts of what was held back; nothing is written after that."""
        self._write_counts(self._throttle.rest())
        super().close()

    def _dropped_line(self, lines: int) -> str:
        """The line that says how many were dropped because they could not be written."""
        record = copy.copy(self._notice)
        record.created = time.time()
        record.msecs = record.created % 1 * 1000
        record.msg = event("log-dropped", lines=lines, reason="standard error did not take them")
        return self.format(record) + self.terminator

    def _count(self) -> None:
        """Write counts while something is held back, also when no other line comes."""
        while self._throttle.holds_back:
            gevent.sleep(_COUNT_AFTER_S)
            with self.lock or threading.RLock():
                self._write_counts(self._throttle.due(self._clock()))
        self._counting = None

    def _write_counts(self, counts: list[tuple[Hashable, int]]) -> None:
        for kind, count in counts:
            last = self._last.pop(kind)
            assert isinstance(last.msg, LogEvent)  # only events are held back
            keys = {key: last.msg.keys[key] for key in ("device", "socket") if key in last.msg.keys}
            summary = event(last.msg.name, **keys, more=count, last=str(last.msg))
            super().emit(logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, summary, None, None))


def _kind(record: logging.LogRecord) -> Hashable:
    """The kind by which records are counted; None for a record that is always written."""
    if not isinstance(record.msg, LogEvent):
        return None
    keys = record.msg.keys
    return record.msg.name, record.levelno, keys.get("device"), keys.get("socket")
