"""Lets ``context.term()`` end the devices that run in greenlets of the thread that calls it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import gevent
import zmq
from gevent.hub import get_hub


class YieldingTerm:
    """Stands in for the `term` of one `context` while devices use it; for each of them, to be used in a ``with`` block.

    zmq_ctx_term(3) blocks its thread until every socket is closed, and then the greenlets could not close theirs. Here
    it runs in the hub's thread pool: the devices get ETERM and close their sockets, and the caller alone waits.
    """

    def __init__(self, context: zmq.Context[Any]) -> None:
        self._context = context
        self._hub, self._thread = get_hub(), threading.get_ident()
        self._term = context.term
        self._users = 0

    @classmethod
    def of(cls, context: zmq.Context[Any]) -> YieldingTerm:
        """The one of this `context`, which is made if there is none. Does not yield."""
        present = vars(context).get("term")
        return present if isinstance(present, cls) else cls(context)

    def __enter__(self) -> None:
        self._users += 1
        vars(self._context)["term"] = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if not self._users:
            del vars(self._context)["term"]

    def __call__(self) -> None:
        """Terminate the context, as `zmq.Context.term` does. Yields in the thread of the devices' hub."""
        if threading.get_ident() == self._thread and gevent.getcurrent() is not self._hub:
            self._hub.threadpool.apply(self._term)
        else:
            self._term()
