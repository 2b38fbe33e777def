"""A device: one running pattern. Owns its sockets and greenlets, and decides when they live and die."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import gevent
import zmq
from gevent.event import Event as Signal
from gevent.lock import RLock

from ..components.control import Control, statistics
from ..components.plan import CONTROL, TAP
from ..components.tap import TapReader
from ..engine import fork as fork
from ..engine.peertable import PeersSnapshot
from ..engine.subscriptions import subscriptions
from ..errors import DeviceFailed, ForkedError, SettingsError, StartError
from ..log import event
from ..settings import DeviceSettings
from .assembly import Assembly
from .lifecycle import CLOSING, STATES, UP, Event, Phase, allows, next_phase
from .live_changes import adjustment
from .patterns import plan
from .snapshot import DeviceSnapshot, State

log = logging.getLogger("geventrelay")

# How often a stop looks whether everything has been moved. Only a device that is stopping pays for it.
_DRAIN_LOOK_S = 0.01


class Device:
    """One pattern that can be started and stopped, used like `gevent.baseserver.BaseServer`.

    Making one does no I/O. All methods are to be called in the native thread whose hub runs the device; in a process
    forked while it runs, each raises `ForkedError`.

    :param settings: what to run, e.g. ``Queue(frontend=5555, backend=5556)``.
    :param context: the ZeroMQ context to make sockets in, which the device then never terminates; needed where
        ``inproc`` endpoints are to be shared with sockets that are no device's. By default devices on one hub share a
        context, if they have as many `io_threads`.
    :param reload: what a RELOAD at the control socket does; None where it is no command. See `Control`.
    :param descriptors: listening sockets that somebody else has bound, by socket key and position among its endpoints;
        they are used instead of binding, and stay their owner's.
    :param watch_peers: whether to follow every socket's connections, for `peers` and the log. It costs two descriptors,
        23 KB and 0.3 ms at the start for each socket; without it, that is done only where drops are told apart by it.
    :raises SettingsError: if that is no pattern's settings.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        *,
        context: zmq.Context[Any] | None = None,
        reload: Callable[[], object] | None = None,
        descriptors: Mapping[tuple[str, int], int] | None = None,
        watch_peers: bool = False,
    ) -> None:
        # Before anything can be refused: testing/leftovers.py meets devices that were, too.
        self._phase = Phase.STOPPED
        self.settings = settings
        self._reload = reload
        self._descriptors = descriptors or {}
        self.failure: BaseException | None = None
        self._plan = plan(settings)
        self._context = context
        self._watch_peers = watch_peers
        self._wiring = self._new_assembly()
        self._changing = RLock()
        self._started_in = fork.current()
        self._drain_until = math.inf
        self._stop_requested = False
        self._down = Signal()
        self._down.set()
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def __repr__(self) -> str:
        return f"<Device {self.name} {self.state.value}>"

    def __enter__(self) -> Device:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """What the device is called in logs."""
        return self.settings.name

    @property
    def state(self) -> State:
        """Where the device is in its life."""
        return STATES[self._phase]

    @property
    def started(self) -> bool:
        """Whether the device is up: running or paused."""
        return self._phase in UP

    @property
    def stop_requested(self) -> bool:
        """Whether somebody has asked for a stop since the last start, however it ended then."""
        return self._stop_requested

    @property
    def endpoints(self) -> dict[str, list[str]]:
        """The addresses that each socket is bound to, by the socket's key; a port 0 shows as the one it got."""
        return {key: list(addresses) for key, addresses in self._wiring.bound.items()}

    @property
    def sockets(self) -> dict[str, str]:
        """The type of each socket, e.g. ``ROUTER``, by the socket's key; whether it is up or not."""
        return {one.key: zmq.SocketType(one.type).name for one in self._plan.sockets}

    def start(self) -> None:
        """Bind and connect everything and begin to move messages; nothing happens if it is up already.

        Yields while host names are resolved.

        :raises StartError: naming the endpoint that could not be had; everything else is undone by then.
        """
        self._refuse_child()
        with self._changing:
            if not allows(self._phase, Event.START):
                return
            self._change(Event.START)
            self.failure = None
            self._stop_requested = False
            self._started_in = fork.current()
            self._drain_until = math.inf
            try:
                self._wiring = self._new_assembly()
                self._wiring.open()
                self._spawn_all()
            except BaseException:
                self._undo()
                raise
            self._change(Event.OPENED)

    def stop(self, timeout: float | None = None) -> None:
        """Take in nothing new, move what is there, and close. Yields; returns once all is closed.

        Sockets that only receive are unbound at once. The others stay open until replies have gone their way.

        :param timeout: how many seconds to go on moving; 0 closes at once, None means the settings' `drain_s`.
            Closing then takes up to `linger_ms` more.
        """
        self._refuse_child()
        self._stop_requested = True
        self._stop(timeout)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start if need be and wait until the device has been stopped by another greenlet.

        :param stop_timeout: as for `stop`, when this greenlet is interrupted or killed.
        :raises DeviceFailed: if the device ends because one of its greenlets died.
        """
        self.start()
        try:
            self._down.wait()
        finally:
            self.stop(stop_timeout)
        if self.failure is not None:
            raise DeviceFailed(f"{self.name}: {self.failure}") from self.failure

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the device is not up, or for `timeout` seconds; whether it is not. Yields if it has to wait."""
        return self._down.wait(timeout)

    def adjust(self, settings: DeviceSettings) -> None:
        """Go on with other `settings`, without a restart: nothing is closed. Does not yield.

        Takes what running sockets can take: the subscriptions of a SUB, `linger_ms` and `drain_s`.

        :raises SettingsError: naming the first setting that would need a restart; nothing is changed then.
        """
        self._refuse_child()
        change = adjustment(self.settings, settings)
        self.settings, self._plan = settings, plan(settings)
        if not self.started:
            return
        try:
            self._wiring.adjust(self._plan, settings, change)
        except zmq.ZMQError as error:
            # A socket or the context has gone: the device is about to fail, and its next start has the new settings.
            if error.errno not in (zmq.ENOTSOCK, zmq.ETERM):
                raise

    def pause(self) -> None:
        """Read nothing more until `resume`; what is in hand stays so. Does not yield; only if running."""
        self._refuse_child()
        if allows(self._phase, Event.PAUSE):
            self._change(Event.PAUSE)
            for pump in self._wiring.pumps:
                pump.pause()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield; only if paused."""
        self._refuse_child()
        if allows(self._phase, Event.RESUME):
            self._change(Event.RESUME)
            for pump in self._wiring.pumps:
                pump.resume()

    def snapshot(self) -> DeviceSnapshot:
        """What has been counted since the last start; still there after a stop. Does not yield."""
        self._refuse_child()
        return DeviceSnapshot(self.name, self.state, tuple(pump.snapshot() for pump in self._wiring.pumps))

    def peers(self) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket that is watched, by the socket's key, and what was counted since the start.

        The counts are still there after a stop. A socket with nothing but inproc endpoints is never watched, and with
        `watch_peers` every other one is. Does not yield.
        """
        self._refuse_child()
        return self._wiring.peers()

    def subscriptions(self) -> dict[bytes, int] | None:
        """The topics that its XSUB asks publishers for; None where the pattern has none.

        Each has a count of 1, for libzmq tells nobody how many subscribers there are; see
        `geventrelay.engine.subscriptions`. A device that is not up has no topics. Yields if there are thousands.
        """
        self._refuse_child()
        key = next((one.key for one in self._plan.sockets if one.type == zmq.XSUB), None)
        if key is None:
            return None
        sockets = self._wiring.sockets
        try:
            return dict.fromkeys(subscriptions(sockets[key]), 1) if key in sockets else {}
        except zmq.ZMQError as error:
            # It may have been stopped meanwhile.
            if error.errno not in (zmq.ENOTSOCK, zmq.ETERM):
                raise
            return {}

    def terminate(self) -> None:
        """Have the device stopped, as `stop` does, by a greenlet of its own. Does not yield."""
        self._refuse_child()
        gevent.spawn(self.stop)

    def watch(self, direction: str | None = None) -> TapReader:
        """See a copy of each message that is moved from now on. Does not yield; the device never waits for a watcher.

        The settings need no `tap` for this. The watch ends with the device at the latest.

        :param direction: the key of the socket whose messages to see, e.g. ``frontend``; None for all.
        :raises SettingsError: if no messages come in at that socket. :raises StartError: if the device is not up.
        """
        self._refuse_child()
        sources = [pump.source for pump in self._plan.pumps]
        if direction is not None and direction not in sources:
            raise SettingsError("direction", "one of " + ", ".join(sources), direction)
        if self._phase not in UP | CLOSING:
            raise StartError(f"cannot watch {self.name}: it is {self.state.value}")
        tap = self._wiring.tap
        if tap is None:
            tap = self._wiring.make_tap()
            self._spawn(TAP, tap.run)
        return tap.watch(direction)

    def statistics(self) -> tuple[int, ...]:
        """Eight counts of parts and bytes, as zmq_proxy_steerable(3) has them; see `steering.statistics`."""
        return statistics(self.snapshot().pumps, self._plan.sockets[0].key)

    def _refuse_child(self) -> None:
        if self._phase is not Phase.STOPPED and self._started_in != fork.current():
            raise ForkedError(
                f"device {self.name} was started before this process was forked and belongs to its parent; "
                "make a new Device in the child"
            )

    def _new_assembly(self) -> Assembly:
        return Assembly(
            self._plan,
            self.settings,
            context=self._context,
            descriptors=self._descriptors,
            watch_peers=self._watch_peers,
        )

    def _spawn_all(self) -> None:
        wiring = self._wiring
        for pump in wiring.pumps:
            fork.pause_in_children(pump)
            self._spawn(pump.name, pump.run)
        if CONTROL in wiring.sockets:
            steering = Control(wiring.sockets[CONTROL].readiness, self, device=self.name, reload=self._reload)
            self._spawn(CONTROL, steering.run)
        if wiring.tap is not None:
            self._spawn(TAP, wiring.tap.run)

    def _spawn(self, socket: str, job: Callable[[], None]) -> None:
        self._greenlets.append(gevent.spawn(self._run, socket, job))

    def _change(self, what: Event) -> None:
        """Note that `what` has happened. The one place where the phase changes; does not yield."""
        self._phase = next_phase(self._phase, what)
        if self._phase in UP:
            self._down.clear()
        elif self._phase not in CLOSING:
            self._down.set()

    def _undo(self) -> None:
        greenlets, self._greenlets = self._greenlets, []
        try:
            gevent.killall(greenlets)
            self._wiring.close(0)
        finally:
            self._change(Event.UNDONE)

    def _stop(self, timeout: float | None) -> None:
        seconds = self.settings.drain_s if timeout is None else timeout
        # Before the lock, so that a second and hastier stop shortens the first.
        self._drain_until = min(self._drain_until, time.monotonic() + seconds)
        with self._changing:
            if self._phase in UP:
                self._change(Event.STOP)
            elif self._phase is not Phase.FAILING:
                return
            try:
                self._drain()
            except zmq.ZMQError as error:
                # A socket or the context has gone: nothing is left to move.
                if error.errno not in (zmq.ENOTSOCK, zmq.ETERM):
                    raise
            finally:
                self._shut_down(linger_ms=0 if timeout == 0 else None)

    def _run(self, socket: str, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self._fail(socket, error)

    def _fail(self, socket: str, error: Exception) -> None:
        if not allows(self._phase, Event.FAIL):
            # The first one wins; the others only follow from it.
            return
        was_up = self.started
        self._change(Event.FAIL)
        self.failure = error
        log.error(event("failed", device=self.name, socket=socket, error=error), exc_info=error)
        if was_up:
            # In a greenlet of its own, for it ends the one that is running.
            gevent.spawn(self._stop, 0)

    def _drain(self) -> None:
        wiring, start = self._wiring, time.monotonic()
        for pump in wiring.pumps:
            pump.resume()
        wiring.unbind_receivers()
        while self._phase is Phase.STOPPING and not wiring.drained and (now := time.monotonic()) < self._drain_until:
            if self._plan.answered and now - start > self._drain_until - now:
                # Half the time has gone: clients that never pause must leave some of it to the replies.
                wiring.pumps[0].pause()
            gevent.sleep(_DRAIN_LOOK_S)

    def _shut_down(self, linger_ms: int | None) -> None:
        greenlets, self._greenlets = self._greenlets, []
        try:
            gevent.killall(greenlets)
            if self._wiring.tap is not None:
                self._wiring.tap.close_watches()
            if self._phase is Phase.STOPPING:
                self._wiring.count_the_rest()
        except zmq.ZMQError as error:
            log.warning(event("count-failed", device=self.name, reason=error))
        finally:
            try:
                self._wiring.close(linger_ms)
            finally:
                self._change(Event.CLOSED)
