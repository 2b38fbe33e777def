"""Starts, drains and closes the components of a device, and is the one place where its phase is written."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event as Signal
from gevent.lock import RLock

from ..components.component import DrainStep
from ..engine import fork as fork
from ..engine.libzmq import unless_gone
from ..errors import DeviceFailed
from ..log import event
from .assembly import Assembly, OnDeath
from .lifecycle import CLOSING, UP, Event, Phase, allows, next_phase

log = logging.getLogger("geventrelay")

# How often a drain looks whether everything has been moved. Only a device that is stopping pays for it.
_DRAIN_LOOK_S = 0.01


class Life:
    """The life of a device: however a start or a stop ends, it leaves the device up, stopped or failed.

    :param make: makes the components of one start, given what is called when the greenlet of one of them dies.

    :ivar phase: where it is in its life.
    :ivar assembly: the components of the last start, or of the first one to come; there are some after `prepare`.
    :ivar failure: what the device has failed of; None if it has not, since the last start.
    :ivar stop_requested: whether a stop was asked for since the last start.
    """

    def __init__(self, make: Callable[[OnDeath], Assembly]) -> None:
        self.phase = Phase.STOPPED
        self.failure: BaseException | None = None
        self.stop_requested = False
        self.assembly: Assembly
        self._make = make
        self._started_in = fork.current()
        self._drain_until = math.inf
        # Held by the greenlet that starts or stops.
        self._changing = RLock()
        self._down = Signal()
        self._down.set()
        self._opened = Signal()
        self._opened.set()

    @property
    def in_child(self) -> bool:
        """Whether this process was forked while the device was up. Does not yield."""
        return self.phase is not Phase.STOPPED and self._started_in != fork.current()

    def prepare(self) -> None:
        """Make the components, without any I/O. Does not yield."""
        self.assembly = self._make(self.fail)

    def start(self) -> None:
        """Open the components and give them their greenlets; nothing happens if that has been done. May yield.

        :raises StartError: naming what stands in the way. After this and any interruption, all is closed again.
        """
        with self._changing:
            if not allows(self.phase, Event.START):
                return
            self._change(Event.START)
            self.failure = None
            self.stop_requested = False
            self._started_in = fork.current()
            self._drain_until = math.inf
            try:
                self.prepare()
                self.assembly.open()
                self.assembly.run()
            except BaseException:
                self._close(Event.UNDONE, 0)
                raise
            self._change(Event.OPENED)

    def stop(self, drain_s: float, linger_ms: int | None) -> None:
        """Drain and close the components; nothing happens if it is not up. Yields.

        An interruption (`gevent.Timeout`, `GreenletExit`) ends the drain, and is raised when all is closed. While
        another greenlet starts or stops the device, it is raised at once, and that greenlet goes on.

        :param drain_s: how long to go on moving what has come in, in seconds. The shortest of several stops counts.
        :param linger_ms: how long to go on delivering after that, in ms; None for each socket's own time.
        """
        # Before the lock, so that a second and hastier stop shortens the first.
        self._drain_until = min(self._drain_until, time.monotonic() + drain_s)
        with self._changing:
            if self.phase in UP:
                self._change(Event.STOP)
            elif self.phase is not Phase.FAILING:
                return
            interruption = None
            try:
                # If a socket or the context has gone, nothing is left to move.
                with unless_gone():
                    self._drain()
            finally:
                interruption = self._close(Event.CLOSED, linger_ms)
            if interruption is not None:
                raise interruption

    def pause(self) -> None:
        """Read nothing more until `resume`. Does not yield; only if running."""
        if allows(self.phase, Event.PAUSE):
            self._change(Event.PAUSE)
            self.assembly.pause()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield; only if paused."""
        if allows(self.phase, Event.RESUME):
            self._change(Event.RESUME)
            self.assembly.resume()

    def fail(self, key: str, error: BaseException) -> None:
        """Close, since the greenlet of the component `key` has ended of `error`. Does not yield.

        Nothing happens if it is not up: the first error wins, and others only follow from it.
        """
        if not allows(self.phase, Event.FAIL):
            return
        in_drain = self.phase is Phase.STOPPING
        self._change(Event.FAIL)
        killed = isinstance(error, gevent.GreenletExit)
        self.failure = DeviceFailed(f"the greenlet of {key} was killed") if killed else error
        log.error(event("failed", device=self.assembly.device, socket=key, error=self.failure), exc_info=error)
        if not in_drain:
            self._close_soon()

    def join(self, timeout: float | None) -> bool:
        """Wait until it is not up, or for `timeout` seconds; whether it is not. Yields if it has to wait."""
        return self._down.wait(timeout)

    @property
    def starting(self) -> bool:
        """Whether a start is under way. Does not yield."""
        return self.phase is Phase.STARTING

    def wait_opened(self) -> None:
        """Wait until no start is under way. Yields if one is."""
        self._opened.wait()

    def _change(self, what: Event) -> None:
        """Note that `what` has happened. Here alone the phase is written; does not yield."""
        self.phase = next_phase(self.phase, what)
        if self.starting:
            self._opened.clear()
        else:
            self._opened.set()
        if self.phase in UP:
            self._down.clear()
        elif self.phase not in CLOSING:
            self._down.set()

    def _drain(self) -> None:
        """Move what has come in until all of it has gone, the time is over, or the device fails."""
        start = time.monotonic()
        self.assembly.resume()
        self.assembly.stop_reading(DrainStep.BEGUN)
        while not self.assembly.drained and (now := time.monotonic()) < self._drain_until:
            if self.phase is Phase.FAILING:
                return
            if now - start > self._drain_until - now:
                self.assembly.stop_reading(DrainStep.HALF_OVER)
            gevent.sleep(_DRAIN_LOOK_S)

    def _close(self, then: Event, linger_ms: int | None) -> BaseException | None:
        """Close everything, whatever comes, and note that `then` has happened; what interrupted it, if anything did."""
        failed = self.phase is not Phase.STOPPING
        try:
            return self.assembly.close(linger_ms, failed=failed)
        finally:
            self._change(then)

    def _close_soon(self) -> None:
        # In a greenlet of its own, for it ends the one that is running.
        gevent.spawn(self.stop, 0, 0).link(self._on_closed)

    def _on_closed(self, closing: gevent.Greenlet[..., Any]) -> None:
        # gevent.killall over every greenlet ends it before it has begun.
        if self.phase is Phase.FAILING and isinstance(closing.value, gevent.GreenletExit):
            self._close_soon()
