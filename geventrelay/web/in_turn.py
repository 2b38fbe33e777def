"""Answers over HTTP are made one at a time, and everything else in the process has its turn between two of them.

A client may send requests without waiting for answers (pipelining), over many connections. pywsgi reads and answers
them without ever yielding while there is something to read and room to write: that alone would stop every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.lock import Semaphore

from ..engine.fair import FairYield
from .http.door import HEALTH_PATHS

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_CHANGES = ("POST",)


def in_turn(app: Application) -> Application:
    """The same WSGI application `app`, which makes one answer at a time and then yields to the hub.

    What needs the token may take long, and keeps no other waiting: it waits for nothing. Neither do probes.
    """
    turn = Semaphore()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _CHANGES or environ["RAW_URI"] in HEALTH_PATHS:
            found = _apart(app, environ, start_response)
            _yield()
            return found
        with turn:
            found = app(environ, start_response)
            try:
                _yield()
            except BaseException:
                # The connection was ended meanwhile: no one gets this answer, and so no one else would close it.
                _close(found)
                raise
        return found

    return answer


def _apart(app: Application, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The answer of `app`, made in a greenlet of its own: a change ends well also where its connection is ended."""
    made: Iterable[bytes] = gevent.spawn(app, environ, start_response).get()
    return made


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _yield() -> None:
    with FairYield() as fair:
        fair.wait()
