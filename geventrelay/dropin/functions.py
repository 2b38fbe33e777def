"""pyzmq's `device`, `proxy`, `proxy_steerable` and `monitored_queue` for programs on gevent.

Same signatures, arguments and results; the difference is that they block the calling greenlet and not the hub. They
take green sockets and plain ones alike, which go on belonging to the caller: nobody else may use them meanwhile, and
they are as usable as before when the call ends. It ends with `zmq.ZMQError` when a socket is closed (ENOTSOCK) or the
context is terminated (ETERM), with 0 on TERMINATE, and when the greenlet is killed.

Where the destination is full, one message per direction has been read and not sent. After TERMINATE it has a second to
find room; however the call ends, it is offered once more. If that fails too it is lost, and a warning says so. What
has not been read stays in the caller's socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from gevent.event import AsyncResult

from ..components.control import Control, statistics
from ..engine import fork as fork
from ..engine.counters import PumpSnapshot
from ..engine.outlet import Outlet
from ..engine.pump import Pump
from ..errors import ForkedError
from ..log import event
from ..terms import Payload, WhenFull
from .foreign_socket import ForeignSocket

log = logging.getLogger("geventrelay")

_ONLY_SENDS = (zmq.PUB, zmq.PUSH)
_ONLY_RECEIVES = (zmq.SUB, zmq.PULL)

# pyzmq tells nobody that a socket has been closed, so that has to be looked at now and then.
_CLOSED_LOOK_S = 0.1

# As long as a device has for its drain. Without a bound, TERMINATE would wait for a peer that never comes.
_HAND_OVER_S = 1.0

Socket = zmq.Socket[Any]


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> int:
    """Join two sockets until one of them or the context goes; `zmq.proxy` (zmq_proxy(3)). Yields.

    :param frontend: one side; `backend` is the other. With the same socket on both, what comes in goes out there again.
    :param capture: gets every message of both directions, all parts; None for no copy. What it cannot take is dropped
        and counted, and never holds up the traffic (libzmq's does).
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends; at once ENOTSUP, if nothing can go either way.
    :raises ForkedError: in a process forked while it runs, to the copy of the caller there.
    """
    return proxy_steerable(frontend, backend, capture)


def proxy_steerable(
    frontend: Socket, backend: Socket, capture: Socket | None = None, control: Socket | None = None
) -> int:
    """`proxy` that follows commands; `zmq.proxy_steerable` (zmq_proxy_steerable(3)). Yields.

    :param frontend: one side; `backend` is the other.
    :param capture: as for `proxy`.
    :param control: a REP, PAIR, ROUTER, PULL or SUB on which PAUSE, RESUME, TERMINATE and STATISTICS come; None for
        none. See `geventrelay.components.control` for the protocol, which is that of libzmq's master branch.
    :returns: 0, after TERMINATE.
    :raises zmq.ZMQError: ENOTSOCK, ETERM or ENOTSUP; ForkedError likewise as for `proxy`.
    """
    return _ProxyRun(frontend, backend, capture, control).run()


def device(device_type: int, frontend: Socket, backend: Socket | int = -1) -> int:
    """The old name of `proxy`; `zmq.device`. Yields.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param frontend: one side.
    :param backend: the other; -1 is the frontend again.
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends.
    """
    return proxy(frontend, frontend if isinstance(backend, int) else backend)


def monitored_queue(
    in_socket: Socket,
    out_socket: Socket,
    mon_socket: Socket,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> int:
    """`proxy` whose copies say where they come from; `zmq.devices.monitored_queue`. Yields.

    :param in_socket: one side; `out_socket` is the other. If both are ROUTER, the first two parts of each message,
        the sender's routing id and the addressee's, are swapped on the way.
    :param mon_socket: gets ``[prefix, *parts]`` of every message as it is sent on; as for `proxy`, it never holds up
        the traffic.
    :param in_prefix: the first part of the copies of what came in at `in_socket`; `out_prefix` likewise.
    :raises TypeError: if a prefix is not bytes.
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends.
    """
    for name, prefix in (("in_prefix", in_prefix), ("out_prefix", out_prefix)):
        if not isinstance(prefix, bytes):
            raise TypeError(f"{name}: expected bytes, got {prefix!r}")
    swap = in_socket.type == out_socket.type == zmq.ROUTER
    return _ProxyRun(in_socket, out_socket, mon_socket, prefixes=(in_prefix, out_prefix), swap=swap).run()


class _ProxyRun:
    """Two sockets joined in every direction that their types allow, for as long as `run` runs."""

    def __init__(
        self,
        frontend: Socket,
        backend: Socket,
        capture: Socket | None = None,
        control: Socket | None = None,
        prefixes: tuple[bytes | None, bytes | None] = (None, None),
        swap: bool = False,
    ) -> None:
        self._borrowed: list[ForeignSocket] = []
        self._end: AsyncResult[int] = AsyncResult()
        self._made_in = fork.current()
        try:
            front = self._borrow(frontend)
            back = front if backend is frontend else self._borrow(backend)
            self._capture = None if capture is None else self._borrow(capture)
            self._take = Payload.SWAP if swap else Payload.WHOLE
            self._pumps = self._join("frontend", front, "backend", back, prefixes[0])
            if back is not front:
                self._pumps += self._join("backend", back, "frontend", front, prefixes[1])
            if not self._pumps:
                raise zmq.ZMQError(zmq.ENOTSUP)
            self._steering = None if control is None else Control(self._borrow(control).readiness, self)
        except BaseException:
            self._give_back()
            raise

    def run(self) -> int:
        """Move messages until the end comes; then everything is as it was before."""
        jobs = [pump.run for pump in self._pumps] + ([] if self._steering is None else [self._steering.run])
        greenlets: list[gevent.Greenlet[..., None]] = [gevent.spawn(self._run, job) for job in jobs]
        for pump in self._pumps:
            fork.pause_in_children(pump)
        try:
            self._wait()
            gevent.killall(greenlets)
            greenlets = [gevent.spawn(_hand_over, pump) for pump in self._pumps]
            gevent.joinall(greenlets, timeout=_HAND_OVER_S)
            return 0
        finally:
            gevent.killall(greenlets)
            self._let_go()

    def pause(self) -> None:
        """Read nothing more."""
        for pump in self._pumps:
            pump.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        for pump in self._pumps:
            pump.resume()

    def terminate(self) -> None:
        """Let `run` return, once what is in hand has been taken or has had its time."""
        if not self._end.ready():
            self._end.set(0)

    def statistics(self) -> tuple[int, ...]:
        """Eight counts; see `geventrelay.components.control.statistics`."""
        snapshots = []
        for pump in self._pumps:
            snapshot = pump.snapshot()
            outlets = tuple(outlet for outlet in snapshot.outlets if outlet.socket != "capture")
            snapshots.append(dataclasses.replace(snapshot, outlets=outlets))
        return statistics(snapshots, "frontend")

    def _borrow(self, socket: Socket) -> ForeignSocket:
        borrowed = ForeignSocket(socket)
        self._borrowed.append(borrowed)
        return borrowed

    def _wait(self) -> None:
        """Return on TERMINATE, and raise whatever else ends it."""
        while not self._end.ready():
            self._end.wait(_CLOSED_LOOK_S)
            if self._made_in != fork.current():
                raise ForkedError("this proxy runs in the process that this one was forked from; start another here")
            if any(borrowed.raw.closed for borrowed in self._borrowed):
                raise zmq.ZMQError(zmq.ENOTSOCK)
        self._end.get()

    def _let_go(self) -> None:
        if self._made_in == fork.current():
            for pump in self._pumps:
                # One of the two sockets may be gone by now.
                with contextlib.suppress(zmq.ZMQError):
                    pump.deliver()
                _tell(pump.snapshot())
        self._give_back()

    def _give_back(self) -> None:
        for borrowed in self._borrowed:
            borrowed.give_back()

    def _join(
        self, name: str, source: ForeignSocket, to: str, destination: ForeignSocket, prefix: bytes | None
    ) -> list[Pump]:
        if source.raw.type in _ONLY_SENDS or destination.raw.type in _ONLY_RECEIVES:
            return []
        outlets = [Outlet(to, destination.readiness, payload=self._take)]
        if self._capture is not None:
            # First, so that the copy is there when the message itself is.
            copy = Outlet(
                "capture", self._capture.readiness, when_full=WhenFull.DROP, payload=self._take, prefix=prefix
            )
            outlets.insert(0, copy)
        return [Pump(name, source.readiness, outlets)]

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            # The first one wins; the others only follow from it.
            if not self._end.ready():
                self._end.set_exception(error)


def _hand_over(pump: Pump) -> None:
    """Wait until what is in hand has been taken, or cannot be any more. Yields."""
    with contextlib.suppress(zmq.ZMQError):
        while (full := pump.deliver()) is not None:
            full.wait_writable()


def _tell(snapshot: PumpSnapshot) -> None:
    for outlet in snapshot.outlets:
        for reason, count in outlet.dropped.items():
            where = {"from": snapshot.source, "to": outlet.socket}
            log.info(event("dropped", **where, reason=reason.value, count=count))
    if snapshot.held:
        log.warning(event("lost", socket=snapshot.source, count=1, reason="in hand when the proxy ended"))
