"""Sends PING over a connection, and ends it when the other end is silent."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

from ..zmtp.errors import Fault
from .contract import Ended
from .pulse import Beat, Heartbeat, Pulse

if TYPE_CHECKING:
    from .link import Link


class Heart:
    """The timer of one connection. Nothing here yields.

    :param link: the connection.
    :param heartbeat: of its socket.
    """

    def __init__(self, link: Link, heartbeat: Heartbeat) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._pulse = Pulse(heartbeat, time.monotonic())
        self._timer: Any = None
        self._armed_for = math.inf
        self._arm()

    def pinged(self, ttl_ds: int) -> None:
        """A PING of the other end has come in, with a time to live of `ttl_ds` tenths of a second."""
        self._pulse.pinged(ttl_ds, time.monotonic(), self._link.peer.heard)
        self._arm()

    def close(self) -> None:
        """Stop. May be called twice."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._armed_for = math.inf

    def _arm(self) -> None:
        due = self._pulse.due
        # One that comes too early looks again.
        if due < self._armed_for:
            self.close()
            self._armed_for = due
            loop: Any = get_hub().loop
            self._timer = loop.timer(max(due - time.monotonic(), 0.0))
            self._timer.start(self._look)

    def _look(self) -> None:
        self.close()
        link = self._link
        beat = self._pulse.beat(time.monotonic(), link.peer.heard, hears=link.hears)
        if beat is Beat.END:
            link.end(Ended(Fault.SILENT, self._pulse.what))
            return
        # Behind what the kernel does not take, a PING would say nothing: libzmq waits likewise.
        if beat is Beat.PING and not link.peer.wants_write:
            self._pulse.sent(time.monotonic(), link.peer.heard)
            link.ping(self._heartbeat.ttl_ds)
        self._arm()
