"""Connects endpoints again that libzmq has given up after an error in the protocol."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gevent
import zmq
from gevent import socket as green_socket
from gevent.event import Event

from ..endpoints import Endpoint
from ..engine import fork as fork
from ..engine.libzmq import unless_gone
from ..engine.monitor import MonitorEvent
from ..engine.socket import RelaySocket
from ..log import event
from .linktable import LinkTable
from .plan import RECEIVE_ONLY

log = logging.getLogger("geventrelay")

# ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED: the user wants such an endpoint to be given up.
_STOPS = 2
# Events at addresses that are to be resolved; more than a few come from nothing of ours.
_MOST_UNKNOWN = 100


class Reconnector:
    """Looks after the connecting endpoints of one socket. It has a greenlet once a connection was lost, not before.

    :param socket: the socket, neither bound nor connected yet, all its options set.
    :param endpoints: all of the socket.
    :param bound: returns what the socket is bound to: events of these are of others' connections.
    :param instead: what libzmq connects to instead of an endpoint, by the endpoint's address; it may change later.
    :param whose: says in the log whose socket it is.
    :param clock: returns the time in seconds, as `time.monotonic` does.
    """

    def __init__(
        self,
        socket: RelaySocket,
        endpoints: Sequence[Endpoint],
        *,
        bound: Callable[[], Sequence[str]],
        instead: Mapping[str, str],
        whose: dict[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = socket
        self._bound = bound
        self._instead = instead
        self._whose = whose
        self._clock = clock
        self._table = LinkTable(endpoints if _is_wanted(socket) else ())
        # Before the decision, what libzmq has said up to then is taken in.
        self.read_events: Callable[[], object] = lambda: None
        self._unknown: deque[MonitorEvent] = deque(maxlen=_MOST_UNKNOWN)
        self._news = Event()
        self._greenlet: gevent.Greenlet[..., Any] | None = None
        self._closed = False
        self._made_in = fork.current()

    def observe(self, one: MonitorEvent) -> None:
        """Take note of an event of the socket's monitor. Does not yield."""
        # Once this is closed, a greenlet would read the events that others wait for: the end of the socket.
        if self._closed or not self._table or one.endpoint in self._bound():
            return
        known = self._table.take(one.kind, one.endpoint, self._clock())
        if not known:
            self._unknown.append(one)
        if not known or self._table.next_at is not None:
            self._news.set()
            if self._greenlet is None:
                self._spawn()

    def close(self) -> None:
        """Connect nothing any more. Call it before the socket is closed. Yields; may be called twice."""
        self._closed = True
        if self._greenlet is not None:
            self._greenlet.kill()

    def _spawn(self) -> None:
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link(self._go_on)

    def _go_on(self, greenlet: gevent.Greenlet[..., Any]) -> None:
        # Killed by others, as gevent.killall does: endpoints are to come back all the same.
        if not self._closed and isinstance(greenlet.value, gevent.GreenletExit):
            self._spawn()

    def _run(self) -> None:
        with unless_gone():
            while True:
                at = self._table.next_at
                self._news.wait(None if at is None else max(0.0, at - self._clock()))
                self._news.clear()
                if self._made_in != fork.current():
                    # libzmq refuses all calls in a forked child, and pyzmq repeats them for ever.
                    return
                self.read_events()
                self._resolve()
                self._act(self._clock())

    def _resolve(self) -> None:
        """Find out which endpoints the events mean that name an IP address instead. May yield."""
        if not self._unknown:
            return
        for endpoint in self._table.endpoints:
            self._table.learn(endpoint.address, _resolved(endpoint))
        while self._unknown:
            one = self._unknown.popleft()
            self._table.take(one.kind, one.endpoint, self._clock())

    def _act(self, now: float) -> None:
        # Disconnects first: libzmq could take a new connection for one that has ended.
        for one in self._table.given_up(now):
            self._disconnect(one.address)
            queued = {} if self._socket.type in RECEIVE_ONLY else {"queued": "lost, uncounted"}
            keys = {**self._whose, "endpoint": one.address, "in_s": f"{one.in_s:.3g}", **queued}
            log.warning(event("connecting-again", **keys))
        for address in self._table.due(now):
            self._socket.connect(self._instead.get(address, address))
        # These calls may have taken news of the socket that a greenlet waits for.
        self._socket.readiness.check_events()

    def _disconnect(self, address: str) -> None:
        try:
            self._socket.disconnect(self._instead.get(address, address))
        except zmq.ZMQError as error:
            if error.errno != errno.ENOENT:
                raise


def _is_wanted(socket: RelaySocket) -> bool:
    return int(socket.get(zmq.RECONNECT_IVL)) > 0 and not int(socket.get(zmq.RECONNECT_STOP)) & _STOPS


def _resolved(endpoint: Endpoint) -> Iterator[str]:
    """How libzmq writes a tcp endpoint whose host it has resolved (tcp_address_t::to_string). May yield."""
    if endpoint.host is not None:
        with contextlib.suppress(OSError):
            for *_, address in green_socket.getaddrinfo(endpoint.host.strip("[]"), None):
                host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
                yield f"tcp://{host}:{endpoint.port}"
