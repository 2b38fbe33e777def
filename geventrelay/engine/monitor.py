"""The one opener of socket monitors (zmq_socket_monitor(3)): their events, and the end of a socket.

A monitor's last event is ZMQ_EVENT_MONITOR_STOPPED, and it has to be read: libzmq sends events with a zmq_msg_send(3)
that waits, from threads that all sockets of the context share. If our end of the pair of sockets by which events come
is closed before that, the next event keeps its thread waiting for ever, and every socket of the context stands still.

The same event says that a closed socket has been destroyed: what lingers is delivered, its addresses are free again.
libzmq allows one monitor per socket, so the one that follows its peers also waits for its end.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
import zmq
from gevent.event import Event

from .libzmq import unique_inproc, unless_gone
from .socket import RelaySocket

_EVENT = struct.Struct("=Hi")
_STOPPED = int(zmq.EVENT_MONITOR_STOPPED)

# Reading one takes some 5 us, during which everything else waits.
_READ_AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One event of a socket, in the terms of zmq_socket_monitor(3).

    :ivar kind: what has happened, e.g. `zmq.EVENT_ACCEPTED`.
    :ivar value: what the kind says: the connection's file descriptor, an errno, a ZAP status, a protocol error.
    :ivar endpoint: at which of the socket's own endpoints; empty where it is at none.
    """

    kind: int
    value: int
    endpoint: str


class Monitor:
    """The events of one socket, and the way to close that socket and know when it is done.

    Open it before the socket is bound or connected, so that no event is missed and a stop needs no descriptors of its
    own. It takes two. Events come without a high-water mark: none is lost, however late it is read. One greenlet reads.

    :param socket: the socket to follow; a monitor that it had before ends.
    :param kinds: which events to get, `zmq.EVENT_...` joined with ``|``; EVENT_MONITOR_STOPPED is always among them.
    :param names: what events call an endpoint instead of what libzmq calls it; it may change later.
    :raises zmq.ZMQError: if libzmq refuses, for example EMFILE: out of descriptors. Nothing is left open then.
    """

    def __init__(self, socket: RelaySocket, kinds: int = 0, names: Mapping[str, str] | None = None) -> None:
        self.socket = socket
        self._names = {} if names is None else names
        self._destroyed = Event()
        self._events: RelaySocket = socket.context.socket(zmq.PAIR, socket_class=RelaySocket)
        address = unique_inproc("monitor")
        try:
            # libzmq sends events from its io thread, which would wait there for room.
            self._events.set(zmq.RCVHWM, 0)
            self._events.set(zmq.LINGER, 0)
            socket.monitor(address, kinds | _STOPPED)
            self._events.connect(address)
        except BaseException:
            with contextlib.suppress(zmq.ZMQError):
                socket.disable_monitor()
            self._events.close(0)
            raise

    def read(self, limit: int = _READ_AT_A_TIME) -> list[MonitorEvent]:
        """The events that have come, the oldest first, `limit` of them at most. Does not yield.

        :raises zmq.ZMQError: if the context has gone, or the monitor was stopped.
        """
        readiness, events = self._events.readiness, list[MonitorEvent]()
        while len(events) < limit and readiness.readable:
            head, endpoint = readiness.receive()
            kind, value = _EVENT.unpack(head.bytes)
            name = endpoint.bytes.decode(errors="replace")
            events.append(MonitorEvent(kind, value, self._names.get(name, name)))
        return events

    def wait(self) -> None:
        """Yield until there is an event to read. May return early.

        :raises zmq.ZMQError: if the context has gone, or the monitor was stopped.
        """
        self._events.wait_readable()

    def stop(self) -> None:
        """End the monitor and leave its socket open. Does not yield; may be called twice.

        Where the socket was closed by others, our end stays open until EVENT_MONITOR_STOPPED.
        """
        if self._events.closed:
            return
        if self.socket.closed:
            self.close_after_stopped()
            return
        with unless_gone():
            self.socket.disable_monitor()
        self._events.close(0)

    def close_socket(self, linger_ms: int | None) -> gevent.Greenlet[..., None]:
        """Close the socket, and the monitor after its last event. Does not yield; no greenlet may be in `wait`.

        :param linger_ms: how long to go on delivering what is queued, in ms; None leaves the socket's option as it is.
        :returns: a greenlet that ends when libzmq has destroyed the socket. The caller may be killed, it goes on.
        """
        self.socket.close(linger_ms)
        return self.close_after_stopped()

    def close_after_stopped(self) -> gevent.Greenlet[..., None]:
        """Have our end closed after EVENT_MONITOR_STOPPED, for a socket that has been closed. Does not yield.

        :returns: the greenlet that does it. Killed, it goes on, for every socket of the context depends on it; killed
            before it has begun, another one takes its place.
        """
        closing = gevent.spawn(self._close_after_stopped)
        closing.link(self._go_on)
        return closing

    def wait_destroyed(self) -> None:
        """Yield until libzmq has destroyed the socket, after `close_socket`: its addresses are free then."""
        self._destroyed.wait()

    def _close_after_stopped(self) -> None:
        try:
            with unless_gone():
                while not any(event.kind == _STOPPED for event in self.read()):
                    with contextlib.suppress(gevent.GreenletExit):
                        self.wait()
        finally:
            self._events.close(0)
            self._destroyed.set()

    def _go_on(self, closing: gevent.Greenlet[..., Any]) -> None:
        if isinstance(closing.value, gevent.GreenletExit) and not self._destroyed.is_set():
            self.close_after_stopped()


def close(monitors: Iterable[Monitor], linger_ms: int | None) -> None:
    """Close the sockets of `monitors`; yields until each has delivered what lingers and its addresses are free again.

    zmq_close(3) returns at once and leaves all that to a thread of libzmq's. Without a monitor, only the end of the
    whole context would show it, and zmq_ctx_term(3) blocks. A socket that was closed by others is not waited for.

    :param monitors: of sockets that no greenlet follows any more.
    :param linger_ms: how long to go on delivering what is queued, in ms; None leaves each socket's option as it is.
    """
    waiting = []
    for one in monitors:
        if one.socket.closed:
            one.stop()
        else:
            waiting.append(one.close_socket(linger_ms))
    gevent.joinall(waiting)
