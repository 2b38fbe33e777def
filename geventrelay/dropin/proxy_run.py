"""One run of a drop-in call: borrowed sockets, and a pump for every direction that their types allow."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import traceback
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from gevent.event import AsyncResult

from ..components.control import Control, statistics
from ..engine import fork
from ..engine.counters import PumpSnapshot
from ..engine.outlet import Outlet
from ..engine.pump import Pump
from ..errors import ForkedError, SettingsError
from ..log import event
from ..terms import Payload, WhenFull
from .foreign_socket import ForeignSocket
from .sigint import NotedInterrupt

log = logging.getLogger("geventrelay")

_ONLY_SENDS = (zmq.PUB, zmq.PUSH)
_ONLY_RECEIVES = (zmq.SUB, zmq.PULL)

# pyzmq has no event for a closed socket, so this is checked now and then; a lost interrupt, too.
_CLOSED_CHECK_S = 0.1

# The same as a device's drain time. Without a limit, TERMINATE would wait for a peer that never comes.
_HAND_OVER_S = 1.0

_CAPTURE = "capture"

Socket = zmq.Socket[Any]


class ProxyRun:
    """Two sockets joined in every direction that their types allow, for as long as `run` runs.

    :param frontend: one side.
    :param backend: the other; with the same socket on both sides, messages go out again where they came in.
    :param capture: gets a copy of every message; None for no copies.
    :param capture_when_full: whether the traffic waits for a capture that cannot take a copy now.
    :param control: the socket on which commands come; None for none.
    :param prefixes: the first part of the copies of what came in at the frontend and at the backend; None for none.
    :param swap: whether the first two parts of each message are swapped on the way.
    :raises zmq.ZMQError: ENOTSUP, if no message can go either way.
    """

    def __init__(
        self,
        frontend: Socket,
        backend: Socket,
        capture: Socket | None = None,
        control: Socket | None = None,
        prefixes: tuple[bytes | None, bytes | None] = (None, None),
        swap: bool = False,
        capture_when_full: WhenFull | str = WhenFull.BLOCK,
    ) -> None:
        self._capture_when_full = when_full(capture_when_full)
        self._borrowed: list[ForeignSocket] = []
        self._end: AsyncResult[int] = AsyncResult()
        self._made_in = fork.current()
        self._capture: ForeignSocket | None = None
        self._control: Control | None = None
        self._pumps: list[Pump] = []
        try:
            front = self._borrow(frontend)
            back = front if backend is frontend else self._borrow(backend)
            if capture is not None:
                self._capture = self._borrow(capture)
                self._capture.readiness.several_writers = True
            self._payload = Payload.SWAP if swap else Payload.WHOLE
            self._pumps = self._join("frontend", front, "backend", back, prefixes[0])
            if back is not front:
                self._pumps += self._join("backend", back, "frontend", front, prefixes[1])
            if not self._pumps:
                raise zmq.ZMQError(zmq.ENOTSUP)
            if control is not None:
                self._control = Control(self._borrow(control).readiness, self)
        except BaseException:
            self._give_back()
            raise

    def run(self) -> int:
        """Move messages until the end comes; the sockets are then as they were before. Yields.

        :returns: 0, after TERMINATE.
        :raises zmq.ZMQError: ENOTSOCK or ETERM, when a socket or the context goes.
        :raises ForkedError: in a process forked while it runs.
        """
        try:
            with NotedInterrupt() as interrupt:
                return self._move(interrupt)
        except BaseException as error:
            # A traceback keeps what its frames have, and the caller may keep the error. The lines in it stay.
            if error.__traceback__ is not None:
                traceback.clear_frames(error.__traceback__.tb_next)
            raise
        finally:
            self._give_back()

    def _move(self, interrupt: NotedInterrupt) -> int:
        """What `run` does before it gives the sockets back."""
        greenlets: list[gevent.Greenlet[..., None]] = []
        try:
            # Not before: what a KeyboardInterrupt leaves half-made, `run` gives back.
            for borrowed in self._borrowed:
                borrowed.watch()
            for pump in self._pumps:
                fork.pause_in_children(pump)
                greenlets.append(gevent.spawn(self._run, pump.run))
            if self._control is not None:
                greenlets.append(gevent.spawn(self._run, self._control.run))
            greenlets.append(gevent.spawn(self._run, lambda: self._watch(interrupt)))
            # No timeout here: an interrupt that came as gevent starts one would leave it behind, to end a later call.
            self._end.get()
            gevent.killall(greenlets)
            greenlets = [gevent.spawn(_hand_over, pump) for pump in self._pumps]
            gevent.joinall(greenlets, timeout=_HAND_OVER_S)
            return 0
        finally:
            gevent.killall(greenlets)
            self._account()

    def pause(self) -> None:
        """Read nothing more."""
        for pump in self._pumps:
            pump.pause()

    def resume(self) -> None:
        """Read again after `pause`."""
        for pump in self._pumps:
            pump.resume()

    def terminate(self) -> None:
        """Let `run` return once the messages in hand have been sent, or their time is over."""
        if not self._end.ready():
            self._end.set(0)

    def disconnect(self, peer: int) -> bool:
        """Refuse: sockets of libzmq have no number for a `peer`."""
        raise SettingsError("DISCONNECT", "a device of engine zmtp", "sockets of libzmq")

    def statistics(self) -> tuple[int, ...]:
        """Eight counts; see `geventrelay.components.control.statistics`."""
        snapshots = []
        for pump in self._pumps:
            snapshot = pump.snapshot()
            outlets = tuple(outlet for outlet in snapshot.outlets if outlet.socket != _CAPTURE)
            snapshots.append(dataclasses.replace(snapshot, outlets=outlets))
        return statistics(snapshots, "frontend")

    def _borrow(self, socket: Socket) -> ForeignSocket:
        borrowed = ForeignSocket(socket)
        self._borrowed.append(borrowed)
        return borrowed

    def _watch(self, interrupt: NotedInterrupt) -> None:
        """Raise the error for an end that no pump meets. Yields."""
        while True:
            gevent.sleep(_CLOSED_CHECK_S)
            if interrupt.came:
                self._end.set_exception(KeyboardInterrupt())
                return
            if self._made_in != fork.current():
                raise ForkedError("this proxy runs in the process that this one was forked from; start another here")
            if self._capture is not None and self._capture.readiness.pollout_always_set:
                self._capture.readiness.wake_both()
            if any(borrowed.raw.closed for borrowed in self._borrowed):
                raise zmq.ZMQError(zmq.ENOTSOCK)

    def _account(self) -> None:
        if self._made_in == fork.current():
            for pump in self._pumps:
                _deliver_last(pump)
                _log_losses(pump.snapshot())

    def _give_back(self) -> None:
        """Leave the sockets as they were, and keep nothing of them: frames of the caller may keep this run."""
        try:
            for borrowed in self._borrowed:
                borrowed.give_back()
        except BaseException:
            # A KeyboardInterrupt in between: a watcher that is left would outlive its descriptor, and end the process.
            for borrowed in self._borrowed:
                borrowed.give_back()
            raise
        self._borrowed, self._pumps = [], []
        # What controls this run, and an error that has been raised through it, would be in a circle with it.
        self._capture = self._control = None
        self._end = AsyncResult()

    def _join(
        self, name: str, source: ForeignSocket, to: str, destination: ForeignSocket, prefix: bytes | None
    ) -> list[Pump]:
        if source.raw.type in _ONLY_SENDS or destination.raw.type in _ONLY_RECEIVES:
            return []
        outlets = [Outlet(to, destination.readiness, payload=self._payload)]
        if self._capture is not None:
            # First, so that the copy is sent before the message itself, as libzmq does (proxy.cpp, forward).
            outlets.insert(0, self._copy_to(self._capture, prefix))
        return [Pump(name, source.readiness, outlets)]

    def _copy_to(self, capture: ForeignSocket, prefix: bytes | None) -> Outlet:
        policy = self._capture_when_full
        return Outlet(
            _CAPTURE,
            capture.readiness,
            when_full=policy,
            payload=self._payload,
            prefix=prefix,
            # A REQ takes one copy and a REP none, since no greenlet reads from them. libzmq ends there too.
            ends_out_of_turn=policy is WhenFull.BLOCK,
        )

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            # The first error wins; the others only follow from it.
            if not self._end.ready():
                self._end.set_exception(error)


def _hand_over(pump: Pump) -> None:
    """Wait until the message in hand has been sent, or cannot be sent any more. Yields."""
    with contextlib.suppress(zmq.ZMQError):
        while (full := pump.deliver()) is not None:
            full.wait_writable()


def _deliver_last(pump: Pump) -> None:
    """Offer the message in hand once more; where it is the capture that does not take it, without a copy there."""
    # Any of the sockets may be closed by now.
    with contextlib.suppress(zmq.ZMQError):
        pump.deliver()
    if pump.pass_over(_CAPTURE):
        with contextlib.suppress(zmq.ZMQError):
            pump.deliver()


def when_full(given: WhenFull | str) -> WhenFull:
    """What `given` says of a capture that cannot take a copy now. Does not yield.

    :param given: "block" or "drop".
    :raises ValueError: if it is neither.
    """
    try:
        return WhenFull(given)
    except ValueError:
        choices = " or ".join(repr(one.value) for one in reversed(WhenFull))
        raise ValueError(f"capture_when_full: expected {choices}, got {given!r}") from None


def _log_losses(snapshot: PumpSnapshot) -> None:
    for outlet in snapshot.outlets:
        for reason, count in outlet.dropped.items():
            where = {"from": snapshot.source, "to": outlet.socket}
            log.info(event("dropped", **where, reason=reason.value, count=count))
    if snapshot.held:
        log.warning(event("lost", socket=snapshot.source, count=1, reason="in hand when the proxy ended"))
