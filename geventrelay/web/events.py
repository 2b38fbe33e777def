"""Server-sent events: once a second, the same event for every listener.

One greenlet makes the events, and only while there are listeners. A client that reads slowly misses some of them. A
client that does not read at all is disconnected by the limit for a send. No other client waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import gevent
from gevent.event import AsyncResult

from ..log import event
from .http.messages import Refusal, Response

log = logging.getLogger("geventrelay")

MAX_LISTENERS = 32
PERIOD_S = 1.0

TYPE = "text/event-stream"


class Events:
    """Sends events to listeners.

    :param make: makes the data of the next event, on one line.
    :param name: the name of the events.
    :param period_s: the time from one event to the next, in seconds.
    """

    def __init__(self, name: str, make: Callable[[], bytes], period_s: float = PERIOD_S) -> None:
        self._name = name.encode()
        self._make = make
        self._period_s = period_s
        self._listeners = 0
        self._next: AsyncResult[bytes | None] = AsyncResult()
        self._producer: gevent.Greenlet[..., None] | None = None

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return self._listeners

    def response(self) -> Response:
        """An answer that goes on until the client leaves, or until `close`.

        :raises Refusal: 503 if there are too many listeners.
        """
        if self._listeners >= MAX_LISTENERS:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {MAX_LISTENERS} listeners already")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(_Listening(self), TYPE, headers=headers)

    def close(self) -> None:
        """End every answer. Does not yield."""
        if self._producer is not None:
            self._producer.kill(block=False)
        self._producer = None
        self._next.set(None)

    def enter(self) -> None:
        """Count one listener more."""
        self._listeners += 1

    def leave(self) -> None:
        """Count one listener less."""
        self._listeners -= 1

    def stream(self) -> Iterator[bytes]:
        """The events from now on, as bytes to send; the first is made at once. Yields to the hub between them."""
        yield self._event()
        if self._producer is None and not self._next.ready():
            self._producer = gevent.spawn(self._produce)
        while (content := self._next.get()) is not None:
            yield content

    def _produce(self) -> None:
        try:
            while True:
                gevent.sleep(self._period_s)
                if not self._listeners:
                    return
                content = self._event()
                now, self._next = self._next, AsyncResult()
                now.set(content)
        except Exception as error:
            log.error(event("http-failed", path="/api/events", error=error), exc_info=error)
            ended, self._next = self._next, AsyncResult()
            ended.set(None)
        finally:
            self._producer = None

    def _event(self) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (self._name, self._make().rstrip(b"\n"))


class _Listening:
    """The body of one listener's answer. It counts as a listener until the server closes it."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._stream: Any = events.stream()
        self._open = True
        events.enter()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._stream)  # type: ignore[no-any-return]

    def close(self) -> None:
        if self._open:
            self._open = False
            self._events.leave()
            self._stream.close()
