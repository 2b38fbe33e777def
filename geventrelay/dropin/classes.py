"""pyzmq's `zmq.devices` classes for programs on gevent: change the import, and each runs in a greenlet.

A device first collects options and addresses; `start` makes the sockets and runs the proxy. As in pyzmq, `Device`,
`Proxy`, `ProxySteerable` and `MonitoredQueue` run in the caller (here: the calling greenlet). The classes whose names
begin with ``Thread`` run in the background (here: each in its own greenlet). `geventrelay.dropin.functions` says how
they end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gevent
import zmq
import zmq.green
from gevent.event import Event

from ..engine.libzmq import unless_gone
from . import functions
from .functions import device, monitored_queue, proxy, proxy_steerable
from .proxy_run import when_full
from .side import Side, of_side
from .yielding_term import YieldingTerm

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


class Device:
    """Two sockets joined by `geventrelay.proxy`; `zmq.devices.Device`.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param in_type: the frontend's socket type, e.g. `zmq.ROUTER`.
    :param out_type: the backend's socket type; below 0, the frontend is the backend too, and what is asked for the
        backend (``bind_out`` and so on) is done with that one socket.

    :ivar daemon: kept for programs that set it; greenlets never keep a process alive.
    """

    context_factory: Callable[[], zmq.Context[Any]] = zmq.green.Context.instance
    """Returns the context for the sockets."""

    def __init__(self, device_type: int = zmq.QUEUE, in_type: int | None = None, out_type: int | None = None) -> None:
        for name, kind in (("in_type", in_type), ("out_type", out_type)):
            if kind is None:
                raise TypeError(f"{name} must be specified")
        self.device_type = device_type
        self.in_type, self.out_type = cast("int", in_type), cast("int", out_type)
        self.daemon = True
        self._ended = Event()
        self._context: zmq.Context[Any] | None = None
        self._sides: dict[str, Side] = {}
        self._reserved: set[str] = set()
        self._add_side("in", self.in_type)
        self._add_side("out", self.out_type)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    bind_in = of_side(Side.bind, "in", "the frontend")
    connect_in = of_side(Side.connect, "in", "the frontend")
    setsockopt_in = of_side(Side.setsockopt, "in", "the frontend")
    bind_in_to_random_port = of_side(Side.bind_to_random_port, "in", "the frontend")

    bind_out = of_side(Side.bind, "out", "the backend")
    connect_out = of_side(Side.connect, "out", "the backend")
    setsockopt_out = of_side(Side.setsockopt, "out", "the backend")
    bind_out_to_random_port = of_side(Side.bind_to_random_port, "out", "the backend")

    def start(self) -> None:
        """Run until it ends, as `run` does. Yields."""
        self.run()

    def run(self) -> None:
        """Make the sockets and join them until a socket or the context is closed, or TERMINATE comes. Yields.

        :raises zmq.ZMQError: for every error except ETERM and ENOTSOCK, which are its normal end.
        """
        try:
            with unless_gone():
                self.run_device()
        finally:
            self._ended.set()

    def run_device(self) -> None:
        """What `run` runs: make the sockets, join them, close them. Yields."""
        context = self._context or self._find_context()
        if context.closed:
            raise zmq.ContextTerminated()
        with YieldingTerm.of(context):
            sockets = self._open(context)
            try:
                self._join(*sockets)
            finally:
                for socket in sockets:
                    socket.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for `timeout` seconds. Yields."""
        self._ended.wait(timeout)

    def _add_side(self, key: str, socket_type: int) -> None:
        self._sides[key] = Side(socket_type, self._reserved)

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        functions.proxy(sockets[0], sockets[-1])

    def _find_context(self) -> zmq.Context[Any]:
        # A function in a class is a method: called through the instance, it would get `self`.
        factory = vars(self).get("context_factory", type(self).context_factory)
        context: zmq.Context[Any] = factory()
        return context

    def _open(self, context: zmq.Context[Any]) -> list[zmq.Socket[Any]]:
        made: dict[str, zmq.Socket[Any]] = {}
        try:
            for key, side in self._sides.items():
                # Below 0, the backend's type says that the frontend is the backend too.
                if key == "out" and self.out_type < 0:
                    made[key] = made["in"]
                    side.set_options(made[key])
                else:
                    made[key] = side.make(context)
            # Every bind before any connect, as pyzmq does: a side may connect to the other over inproc.
            for key, side in self._sides.items():
                for address in side.binds:
                    made[key].bind(address)
            for key, side in self._sides.items():
                for address in side.connects:
                    made[key].connect(address)
        except BaseException:
            for socket in made.values():
                socket.close(0)
            raise
        return list(made.values())


class Proxy(Device):
    """A `Device` with a monitor socket, which gets a copy of every message; `zmq.devices.Proxy`.

    :param in_type: the frontend's socket type.
    :param out_type: the backend's.
    :param mon_type: the monitor's.
    :param capture_when_full: what happens while the monitor cannot take a copy; as for `geventrelay.proxy`.
    """

    def __init__(
        self, in_type: int, out_type: int, mon_type: int = zmq.PUB, *, capture_when_full: str = "block"
    ) -> None:
        Device.__init__(self, in_type=in_type, out_type=out_type)
        self.mon_type = mon_type
        self._capture_when_full = when_full(capture_when_full)
        self._add_side("mon", mon_type)

    bind_mon = of_side(Side.bind, "mon", "the monitor")
    connect_mon = of_side(Side.connect, "mon", "the monitor")
    setsockopt_mon = of_side(Side.setsockopt, "mon", "the monitor")
    bind_mon_to_random_port = of_side(Side.bind_to_random_port, "mon", "the monitor")

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor = sockets
        functions.proxy(sockets[0], backend, monitor, capture_when_full=self._capture_when_full.value)


class ProxySteerable(Proxy):
    """A `Proxy` that follows commands; `zmq.devices.ProxySteerable`.

    :param in_type: the frontend's socket type.
    :param out_type: the backend's.
    :param mon_type: the monitor's.
    :param ctrl_type: the control socket's: REP, PAIR, ROUTER, PULL or SUB.
    :param capture_when_full: as for `Proxy`.
    """

    def __init__(
        self,
        in_type: int,
        out_type: int,
        mon_type: int = zmq.PUB,
        ctrl_type: int | None = None,
        *,
        capture_when_full: str = "block",
    ) -> None:
        Proxy.__init__(self, in_type, out_type, mon_type, capture_when_full=capture_when_full)
        self.ctrl_type = ctrl_type
        self._add_side("ctrl", cast("int", ctrl_type))

    bind_ctrl = of_side(Side.bind, "ctrl", "the control socket")
    connect_ctrl = of_side(Side.connect, "ctrl", "the control socket")
    setsockopt_ctrl = of_side(Side.setsockopt, "ctrl", "the control socket")
    bind_ctrl_to_random_port = of_side(Side.bind_to_random_port, "ctrl", "the control socket")

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor, control = sockets
        functions.proxy_steerable(
            sockets[0], backend, monitor, control, capture_when_full=self._capture_when_full.value
        )


class MonitoredQueue(Proxy):
    """A `Proxy` with copies that say where they come from; `zmq.devices.MonitoredQueue`.

    :param in_type: the frontend's socket type.
    :param out_type: the backend's.
    :param mon_type: the monitor's.
    :param in_prefix: the first part of the copies of messages that came in at the frontend.
    :param out_prefix: the same for the backend.
    :param capture_when_full: as for `Proxy`.
    """

    def __init__(
        self,
        in_type: int,
        out_type: int,
        mon_type: int = zmq.PUB,
        in_prefix: bytes = b"in",
        out_prefix: bytes = b"out",
        *,
        capture_when_full: str = "block",
    ) -> None:
        Proxy.__init__(self, in_type, out_type, mon_type, capture_when_full=capture_when_full)
        self._prefixes = (in_prefix, out_prefix)

    def _join(self, *sockets: zmq.Socket[Any]) -> None:
        *_, backend, monitor = sockets
        functions.monitored_queue(
            sockets[0], backend, monitor, *self._prefixes, capture_when_full=self._capture_when_full.value
        )


class _Background(Device):
    """Runs a device in its own greenlet."""

    launcher: gevent.Greenlet[[], None] | None = None
    """The greenlet that runs it; None before `start`."""

    def start(self) -> None:
        """Run it in its own greenlet. Does not yield."""
        # Now, so that a context that is terminated before the greenlet runs is the one that ends the device.
        self._context = self._find_context()
        self.launcher = gevent.spawn(self.run)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for `timeout` seconds. Yields."""
        if self.launcher is not None:
            self.launcher.join(timeout)


class ThreadDevice(_Background, Device):
    """A `Device` in its own greenlet; `zmq.devices.ThreadDevice`."""


class ThreadProxy(_Background, Proxy):
    """A `Proxy` in its own greenlet; `zmq.devices.ThreadProxy`."""


class ThreadProxySteerable(_Background, ProxySteerable):
    """A `ProxySteerable` in its own greenlet; `zmq.devices.ThreadProxySteerable`."""


class ThreadMonitoredQueue(_Background, MonitoredQueue):
    """A `MonitoredQueue` in its own greenlet; `zmq.devices.ThreadMonitoredQueue`."""
