"""Server-sent events: the same news to everybody who listens, once a second.

One greenlet makes them, and only while somebody listens. Who reads slowly misses some; who reads nothing at all is
dropped by the listener's limit for a send, and nobody waits for him meanwhile.
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

    :param make: makes the next event's data, on one line.
    :param name: what the events are called.
    :param period_s: how long from one to the next.
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
        """How many there are."""
        return self._listeners

    def response(self) -> Response:
        """An answer that goes on until the client leaves, or `close` is called.

        :raises Refusal: 503, if there are too many listeners.
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
        """The events from now on, each as it is sent; the first is made at once. Yields to the hub between them."""
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
    """The body of one listener's answer. It counts from when it is made to when the server is done with it."""

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
