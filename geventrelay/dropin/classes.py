"""pyzmq's `zmq.devices` classes for programs on gevent: change the import, and each runs in a greenlet.

Options, addresses and names are collected first; `start` makes the sockets and runs the proxy. As in pyzmq, `Device`,
`Proxy`, `ProxySteerable` and `MonitoredQueue` run in the caller (here: the calling greenlet), those whose names begin
with ``Thread`` in the background (here: a greenlet of their own). `geventrelay.dropin.functions` says how they end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gevent
import zmq
import zmq.green
from gevent.event import Event

from ..engine.libzmq import unless_gone
from . import functions as dropin
from .functions import device, monitored_queue, proxy, proxy_steerable

__all__ = [
    "Device",
    "MonitoredQueue",
    "Proxy",
    "ProxySteerable",
    "ThreadDevice",
    "ThreadMonitoredQueue",
    "ThreadProxy",
    "ThreadProxySteerable",
    "device",
    "monitored_queue",
    "proxy",
    "proxy_steerable",
]


class _Side:
    """What has been asked for one of the sockets."""

    def __init__(self, socket_type: int) -> None:
        self.type = socket_type
        self.binds: list[str] = []
        self.connects: list[str] = []
        self.options: list[tuple[int, Any]] = []

    def make(self, context: zmq.Context[Any]) -> zmq.Socket[Any]:
        """The socket, with its options set."""
        socket = context.socket(self.type)
        try:
            for option, value in self.options:
                socket.setsockopt(option, value)
        except BaseException:
            socket.close(0)
            raise
        return cast("zmq.Socket[Any]", socket)


class Device:
    """Two sockets joined by `geventrelay.proxy`; `zmq.devices.Device`.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param in_type: the frontend's socket type, e.g. `zmq.ROUTER`.
    :param out_type: the backend's; below 0, the frontend is the backend too.

    :ivar daemon: kept for programs that set it; greenlets never keep a process alive.
    """

    context_factory: Callable[[], zmq.Context[Any]] = zmq.green.Context.instance
    """Makes, or finds, the context in which the sockets are made."""

    def __init__(self, device_type: int = zmq.QUEUE, in_type: int | None = None, out_type: int | None = None) -> None:
        for name, kind in (("in_type", in_type), ("out_type", out_type)):
            if kind is None:
                raise TypeError(f"{name} must be specified")
        self.device_type = device_type
        self.in_type, self.out_type = cast("int", in_type), cast("int", out_type)
        self.daemon = True
        self._ended = Event()
        self._in, self._out = _Side(self.in_type), _Side(self.out_type)
        self._reserved: set[str] = set()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def bind_in(self, addr: str) -> None:
        """Have the frontend bind `addr` at the start."""
        self._in.binds.append(addr)

    def connect_in(self, addr: str) -> None:
        """Have the frontend connect to `addr` at the start."""
        self._in.connects.append(addr)

    def setsockopt_in(self, opt: int, value: Any) -> None:
        """Have the frontend's socket option `opt` set to `value` at the start."""
        self._in.options.append((opt, value))

    def bind_in_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Have the frontend bind a free port of `addr`, e.g. ``tcp://127.0.0.1``, and return which.

        :param args: as for `zmq.Socket.bind_to_random_port`; `kwargs` too.
        """
        return self._bind_random(self._in, addr, *args, **kwargs)

    def bind_out(self, addr: str) -> None:
        """Have the backend bind `addr` at the start."""
        self._out.binds.append(addr)

    def connect_out(self, addr: str) -> None:
        """Have the backend connect to `addr` at the start."""
        self._out.connects.append(addr)

    def setsockopt_out(self, opt: int, value: Any) -> None:
        """Have the backend's socket option `opt` set to `value` at the start."""
        self._out.options.append((opt, value))

    def bind_out_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Have the backend bind a free port of `addr` and return which; see `bind_in_to_random_port`.

        :param args: as there; `kwargs` too.
        """
        return self._bind_random(self._out, addr, *args, **kwargs)

    def start(self) -> None:
        """Run until it ends, as `run` does. Yields."""
        self.run()

    def run(self) -> None:
        """Make the sockets and join them until a socket or the context goes, or TERMINATE comes. Yields.

        :raises zmq.ZMQError: whatever goes wrong, but for ETERM and ENOTSOCK, which are how it ends.
        """
        try:
            with unless_gone():
                self.run_device()
        finally:
            self._ended.set()

    def run_device(self) -> None:
        """What `run` runs: make the sockets, join them, close them. Yields."""
        sockets = self._open()
        try:
            self._join(*sockets)
        finally:
            for socket in sockets:
                socket.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for `timeout` seconds. Yields."""
        self._ended.wait(timeout)

    def _sides(self) -> list[_Side]:
        return [self._in] if self.out_type < 0 else [self._in, self._out]

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        dropin.proxy(sockets[0], sockets[-1])

    def _open(self) -> list[zmq.Socket[Any]]:
        # A function stored in a class is a method, and would be given `self` if it were called through it.
        factory = vars(self).get("context_factory", type(self).context_factory)
        context: zmq.Context[Any] = factory()
        sockets: list[zmq.Socket[Any]] = []
        try:
            for side in self._sides():
                sockets.append(side.make(context))
            # Every bind before any connect, as pyzmq does: a side may connect to the other over inproc.
            for action, addresses in (("bind", "binds"), ("connect", "connects")):
                for side, socket in zip(self._sides(), sockets, strict=True):
                    for address in getattr(side, addresses):
                        getattr(socket, action)(address)
        except BaseException:
            for socket in sockets:
                socket.close(0)
            raise
        return sockets

    def _bind_random(self, side: _Side, addr: str, *args: int, **kwargs: int) -> int:
        # Held until the port is known and let go again, as pyzmq does: it is bound for good at the start.
        with zmq.Context() as context, context.socket(zmq.PUSH) as probe:
            for _ in range(5):
                port: int = probe.bind_to_random_port(addr, *args, **kwargs)
                if f"{addr}:{port}" not in self._reserved:
                    break
            else:
                raise zmq.ZMQBindError("Could not reserve random port.")
        self._reserved.add(f"{addr}:{port}")
        side.binds.append(f"{addr}:{port}")
        return port


class Proxy(Device):
    """A `Device` with a monitor socket, which gets a copy of every message; `zmq.devices.Proxy`.

    :param in_type: the frontend's socket type; `out_type` the backend's; `mon_type` the monitor's, a PUB by default.
    """

    def __init__(self, in_type: int, out_type: int, mon_type: int = zmq.PUB) -> None:
        Device.__init__(self, in_type=in_type, out_type=out_type)
        self.mon_type = mon_type
        self._mon = _Side(mon_type)

    def bind_mon(self, addr: str) -> None:
        """Have the monitor bind `addr` at the start."""
        self._mon.binds.append(addr)

    def connect_mon(self, addr: str) -> None:
        """Have the monitor connect to `addr` at the start."""
        self._mon.connects.append(addr)

    def setsockopt_mon(self, opt: int, value: Any) -> None:
        """Have the monitor's socket option `opt` set to `value` at the start."""
        self._mon.options.append((opt, value))

    def bind_mon_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Have the monitor bind a free port of `addr` and return which; see `bind_in_to_random_port`.

        :param args: as there; `kwargs` too.
        """
        return self._bind_random(self._mon, addr, *args, **kwargs)

    def _sides(self) -> list[_Side]:
        return [*Device._sides(self), self._mon]

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor = sockets
        dropin.proxy(sockets[0], backend, monitor)


class ProxySteerable(Proxy):
    """A `Proxy` that follows commands; `zmq.devices.ProxySteerable`.

    :param in_type: the frontend's socket type; `out_type` the backend's; `mon_type` the monitor's.
    :param ctrl_type: the control socket's: REP, PAIR, ROUTER, PULL or SUB.
    """

    def __init__(self, in_type: int, out_type: int, mon_type: int = zmq.PUB, ctrl_type: int | None = None) -> None:
        Proxy.__init__(self, in_type, out_type, mon_type)
        self.ctrl_type = ctrl_type
        self._ctrl = _Side(cast("int", ctrl_type))

    def bind_ctrl(self, addr: str) -> None:
        """Have the control socket bind `addr` at the start."""
        self._ctrl.binds.append(addr)

    def connect_ctrl(self, addr: str) -> None:
        """Have the control socket connect to `addr` at the start."""
        self._ctrl.connects.append(addr)

    def setsockopt_ctrl(self, opt: int, value: Any) -> None:
        """Have the control socket's option `opt` set to `value` at the start."""
        self._ctrl.options.append((opt, value))

    def bind_ctrl_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Have the control socket bind a free port of `addr` and return which; see `bind_in_to_random_port`.

        :param args: as there; `kwargs` too.
        """
        return self._bind_random(self._ctrl, addr, *args, **kwargs)

    def _sides(self) -> list[_Side]:
        return [*Proxy._sides(self), self._ctrl]

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor, control = sockets
        dropin.proxy_steerable(sockets[0], backend, monitor, control)


class MonitoredQueue(Proxy):
    """A `Proxy` whose copies say where they come from; `zmq.devices.MonitoredQueue`.

    :param in_type: the frontend's socket type; `out_type` the backend's; `mon_type` the monitor's.
    :param in_prefix: the first part of the copies of what came in at the frontend; `out_prefix` at the backend.
    """

    def __init__(
        self,
        in_type: int,
        out_type: int,
        mon_type: int = zmq.PUB,
        in_prefix: bytes = b"in",
        out_prefix: bytes = b"out",
    ) -> None:
        Proxy.__init__(self, in_type, out_type, mon_type)
        self._prefixes = (in_prefix, out_prefix)

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor = sockets
        dropin.monitored_queue(sockets[0], backend, monitor, *self._prefixes)


class _Background(Device):
    """What makes a device run in a greenlet of its own."""

    launcher: gevent.Greenlet[[], None] | None = None
    """The greenlet that runs it; None before `start`."""

    def start(self) -> None:
        """Run it in a greenlet of its own. Does not yield."""
        self.launcher = gevent.spawn(self.run)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for `timeout` seconds. Yields."""
        if self.launcher is not None:
            self.launcher.join(timeout)


class ThreadDevice(_Background, Device):
    """A `Device` in a greenlet of its own; `zmq.devices.ThreadDevice`."""


class ThreadProxy(_Background, Proxy):
    """A `Proxy` in a greenlet of its own; `zmq.devices.ThreadProxy`."""


class ThreadProxySteerable(_Background, ProxySteerable):
    """A `ProxySteerable` in a greenlet of its own; `zmq.devices.ThreadProxySteerable`."""


class ThreadMonitoredQueue(_Background, MonitoredQueue):
    """A `MonitoredQueue` in a greenlet of its own; `zmq.devices.ThreadMonitoredQueue`."""
