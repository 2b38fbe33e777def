"""The log: one line per event, as text or as JSON, with storms of one event summed up."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TextIO

import gevent

from ..events import LogEvent, event
from ..settings import LogFormat
from .storms import Storms

_TEXT = "%(asctime)s %(levelname)s %(message)s"
# How long after something was held back the count of it is due.
_COUNT_AFTER_S = 1.0


def set_up(level: str, form: LogFormat) -> None:
    """Have this process's log written to standard error from now on; called again, it changes how.

    :param level: what to write at the least, ``debug`` to ``error``. :param form: how to write it.
    """
    root = logging.getLogger()
    handler = next((one for one in root.handlers if isinstance(one, EventHandler)), None)
    if handler is None:
        handler = EventHandler(sys.stderr)
        root.addHandler(handler)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else logging.Formatter(_TEXT))
    root.setLevel(level.upper())


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: ``time``, ``level``, ``event`` and the event's keys.

    A record that is no event has ``event`` "message", its ``logger`` and its ``text``.
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


class EventHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy, and from 3.11 on
    """Writes events, but for those that `Storms` holds back, of which it writes the count.

    :param stream: where to write. :param clock: tells the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._storms = Storms()
        self._last: dict[Hashable, logging.LogRecord] = {}
        self._counting: gevent.Greenlet[..., None] | None = None
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, or count it."""
        self._write_counts(self._storms.due(self._clock()))
        kind = _kind(record)
        if kind is None or self._storms.passes(kind, self._clock()):
            super().emit(record)
            return
        self._last[kind] = record
        # A greenlet of another thread's hub would not run; there, the next line or the end of it all tells.
        if self._counting is None and threading.get_ident() == self._thread:
            self._counting = gevent.spawn(self._count)

    def close(self) -> None:
        """Write the counts of what was held back, and no more from then on."""
        self._write_counts(self._storms.rest())
        super().close()

    def _count(self) -> None:
        """Write counts as long as something is held back, also when no other line comes that would be a reason to."""
        while self._storms.holds_back:
            gevent.sleep(_COUNT_AFTER_S)
            with self.lock or threading.RLock():
                self._write_counts(self._storms.due(self._clock()))
        self._counting = None

    def _write_counts(self, counts: list[tuple[Hashable, int]]) -> None:
        for kind, count in counts:
            last = self._last.pop(kind)
            assert isinstance(last.msg, LogEvent)  # nothing else is ever held back
            keys = {key: last.msg.keys[key] for key in ("device", "socket") if key in last.msg.keys}
            summary = event(last.msg.name, **keys, more=count, last=str(last.msg))
            super().emit(logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, summary, None, None))


def _kind(record: logging.LogRecord) -> Hashable:
    """What a record is one more of; None for one that is written in any case."""
    if not isinstance(record.msg, LogEvent):
        return None
    keys = record.msg.keys
    return record.msg.name, record.levelno, keys.get("device"), keys.get("socket")
