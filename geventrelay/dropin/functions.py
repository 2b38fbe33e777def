"""pyzmq's `device`, `proxy`, `proxy_steerable` and `monitored_queue` for programs on gevent.

Signatures, arguments and results are the same. The difference: these functions block the calling greenlet, not the
hub. They take green sockets and plain ones. The sockets still belong to the caller: nothing else may use them during
the call, and after it they are as before. A call ends with `zmq.ZMQError` when a socket is closed (ENOTSOCK) or the
context is terminated (ETERM), with 0 on TERMINATE, and when the greenlet is killed.

When the destination is full, one message per direction has been read and not sent. After TERMINATE there is one second
to send it. However the call ends, it tries to send this message once more. If that fails too, the message is lost, and
the log has a warning. Messages that were not read stay in the caller's socket.
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

# pyzmq has no event for a closed socket, so this is checked now and then.
_CLOSED_CHECK_S = 0.1

# The same as a device's drain time. Without a limit, TERMINATE would wait for a peer that never comes.
_HAND_OVER_S = 1.0

Socket = zmq.Socket[Any]


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> int:
    """Join two sockets until one of them is closed or the context is terminated; `zmq.proxy` (zmq_proxy(3)). Yields.

    :param frontend: one side. The same socket on both sides sends back what comes in.
    :param backend: the other side.
    :param capture: gets a copy of every message of both directions, all parts; None for no copy. If it cannot take a
        copy, the copy is dropped and counted. It never delays the traffic (in libzmq it does).
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end; ENOTSUP at once, if no message can go either way.
    :raises ForkedError: in a child that was forked during the call, for the copy of the caller there.
    """
    return proxy_steerable(frontend, backend, capture)


def proxy_steerable(
    frontend: Socket, backend: Socket, capture: Socket | None = None, control: Socket | None = None
) -> int:
    """`proxy` that follows commands; `zmq.proxy_steerable` (zmq_proxy_steerable(3)). Yields.

    :param frontend: one side.
    :param backend: the other side.
    :param capture: as for `proxy`.
    :param control: a REP, PAIR, ROUTER, PULL or SUB on which PAUSE, RESUME, TERMINATE and STATISTICS come; None for
        none. See `geventrelay.components.control` for the protocol, which is that of libzmq's master branch.
    :returns: 0, after TERMINATE.
    :raises zmq.ZMQError: ENOTSOCK, ETERM or ENOTSUP, as for `proxy`.
    :raises ForkedError: as for `proxy`.
    """
    return _ProxyRun(frontend, backend, capture, control).run()


def device(device_type: int, frontend: Socket, backend: Socket | int = -1) -> int:
    """The old name of `proxy`; `zmq.device`. Yields.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param frontend: one side.
    :param backend: the other side; -1 is the frontend again.
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end.
    """
    return proxy(frontend, frontend if isinstance(backend, int) else backend)


def monitored_queue(
    in_socket: Socket,
    out_socket: Socket,
    mon_socket: Socket,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> int:
    """`proxy` with copies that say where they come from; `zmq.devices.monitored_queue`. Yields.

    :param in_socket: one side. If both sides are ROUTER, the first two parts of each message, the routing ids of
        sender and receiver, are swapped on the way.
    :param out_socket: the other side.
    :param mon_socket: gets ``[prefix, *parts]`` of every message as it is sent; as for `proxy`, it never delays the
        traffic.
    :param in_prefix: the first part of the copies of messages that came in at `in_socket`.
    :param out_prefix: the same for `out_socket`.
    :raises TypeError: if a prefix is not bytes.
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end.
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
            self._control = None if control is None else Control(self._borrow(control).readiness, self)
        except BaseException:
            self._give_back()
            raise

    def run(self) -> int:
        """Move messages until the end; after that, the sockets are as they were before. Yields."""
        jobs = [pump.run for pump in self._pumps] + ([] if self._control is None else [self._control.run])
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
        """Read again after `pause`."""
        for pump in self._pumps:
            pump.resume()

    def terminate(self) -> None:
        """Let `run` return once the messages in hand have been sent, or their time is over."""
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
        """Return on TERMINATE; raise the error for every other end. Yields."""
        while not self._end.ready():
            self._end.wait(_CLOSED_CHECK_S)
            if self._made_in != fork.current():
                raise ForkedError("this proxy runs in the process that this one was forked from; start another here")
            if any(borrowed.raw.closed for borrowed in self._borrowed):
                raise zmq.ZMQError(zmq.ENOTSOCK)
        self._end.get()

    def _let_go(self) -> None:
        if self._made_in == fork.current():
            for pump in self._pumps:
                # One of the two sockets may be closed by now.
                with contextlib.suppress(zmq.ZMQError):
                    pump.deliver()
                _log_losses(pump.snapshot())
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
            # First, so that the copy is sent before the message itself.
            copy = Outlet(
                "capture", self._capture.readiness, when_full=WhenFull.DROP, payload=self._take, prefix=prefix
            )
            outlets.insert(0, copy)
        return [Pump(name, source.readiness, outlets)]

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


def _log_losses(snapshot: PumpSnapshot) -> None:
    for outlet in snapshot.outlets:
        for reason, count in outlet.dropped.items():
            where = {"from": snapshot.source, "to": outlet.socket}
            log.info(event("dropped", **where, reason=reason.value, count=count))
    if snapshot.held:
        log.warning(event("lost", socket=snapshot.source, count=1, reason="in hand when the proxy ended"))
