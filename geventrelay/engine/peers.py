"""Who is connected to a socket, as its monitor tells (zmq_socket_monitor(3)): tcp and ipc, for inproc raises no events.

It also tells "nobody is there" from "everybody is full", to both of which libzmq answers EAGAIN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import itertools
import logging
import socket as stdlib_socket
import struct
import sys
import time
from typing import Any

import gevent
import zmq
from gevent import monkey

from ..log import LogEvent, event
from .monitor import close_after_stopped
from .peertable import PeersSnapshot, PeerTable
from .readiness import plain_get
from .socket import RelaySocket

log = logging.getLogger("geventrelay")

_EVENT = struct.Struct("=Hi")
_GAINED = int(zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED)
_LOST = int(zmq.EVENT_DISCONNECTED)
_SUCCEEDED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_BROKEN = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_WRONG = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_DENIED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_RETRIED = int(zmq.EVENT_CONNECT_RETRIED)
_WATCHED = _GAINED | _LOST | _SUCCEEDED | _BROKEN | _WRONG | _DENIED | _RETRIED | int(zmq.EVENT_MONITOR_STOPPED)
# Not EVENT_ACCEPT_FAILED: with no descriptor to be had, libzmq tries again without a pause and reports each try. That
# is a quarter of a million events a second, which nobody could follow.

# Taking in one takes some 5 us, during which everything else waits.
_AT_A_TIME = 1_000
_PAUSE_S = 0.001
# At the end, for what there still is.
_LAST_READS = 100

_PROTOCOL_ERRORS = {
    int(value): name.removeprefix("PROTOCOL_ERROR_").lower()
    for name, value in vars(zmq).items()
    if name.startswith("PROTOCOL_ERROR_")
}
_MECHANISMS: dict[int, str] = {zmq.NULL: "NULL", zmq.PLAIN: "PLAIN", zmq.CURVE: "CURVE", zmq.GSSAPI: "GSSAPI"}

# A greeting has 64 bytes (ZMTP 3.1, RFC 37), and no handshake is through without it.
_GREETING_BYTES = 64
# tcpi_bytes_received in Linux's struct tcp_info (linux/tcp.h), whose fields keep their places.
_TCP_INFO_RECEIVED = struct.Struct("=128xQ")

# In a program that is monkey-patched, gevent's would have the hub's loop take note of a descriptor that is not its own.
_PlainSocket: Any = monkey.get_original("socket", "socket")

_names = itertools.count()


class SocketPeers:
    """Follows the connections of one socket.

    Events come through a pair of sockets without a high-water mark, so that none is lost however late they are read.

    :param socket: the socket to watch, with its options set and nothing bound or connected yet; it must not have
        another monitor.
    :param device: what its device is called in the log. :param key: the socket's key there.
    """

    def __init__(self, socket: RelaySocket, device: str = "", key: str = "") -> None:
        address = f"inproc://geventrelay-peers-{next(_names)}"
        socket.monitor(address, _WATCHED)
        self._socket = socket
        self._whose = {"device": device, "socket": key}
        self._mechanism = _MECHANISMS.get(int(plain_get(socket, zmq.MECHANISM)), "unknown")
        self._table = PeerTable(_has_spoken)
        self._news: list[tuple[int, LogEvent]] = []
        self._events: RelaySocket = socket.context.socket(zmq.PAIR, socket_class=RelaySocket)
        # libzmq sends events from its io thread and would stop there when the pair is full.
        self._events.set(zmq.RCVHWM, 0)
        self._events.set(zmq.LINGER, 0)
        self._events.connect(address)
        self._greenlet = gevent.spawn(self._follow)

    def now(self) -> int:
        """How many peers are connected, handshakes through. Does not yield.

        The events up to now are taken in; of a storm, a thousand, and the others within the next ms.
        """
        self._read()
        return self._table.ready

    def snapshot(self) -> PeersSnapshot:
        """Who is connected and what has been counted up to now. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            # Where the context has gone, what was known before is all there is.
            self.now()
        self._name_addresses()
        return self._table.snapshot(self._mechanism)

    def close(self) -> PeersSnapshot:
        """Stop watching, and say what has been counted. Call it before the watched socket is closed."""
        self._greenlet.kill()
        with contextlib.suppress(zmq.ZMQError):
            for _ in range(_LAST_READS):
                if not self._read():
                    break
        self._tell_news()
        if self._socket.closed:
            # By somebody else; there may be events to come, and nobody to hear them would be the end of everything.
            close_after_stopped(self._events)
        else:
            self._socket.disable_monitor()
            self._events.close()
        return dataclasses.replace(self._table.snapshot(self._mechanism), peers=())

    def _follow(self) -> None:
        # Events that nobody asks for would pile up.
        with contextlib.suppress(zmq.ZMQError):
            # The end of the context ends this, too; that it has come is for the socket's own greenlets to tell.
            while True:
                self._events.wait_readable()
                more = self._read()
                self._name_addresses()
                self._tell_news()
                if more:
                    gevent.sleep(_PAUSE_S)

    def _read(self) -> bool:
        """Take in events, so many at most; whether there may be more."""
        port = self._events.readiness
        for _ in range(_AT_A_TIME):
            if not port.readable:
                return False
            head, endpoint = port.receive()
            number, value = _EVENT.unpack(head.bytes)
            self._take(number, value, endpoint.bytes.decode(errors="replace"))
        return True

    def _take(self, number: int, value: int, endpoint: str) -> None:
        table = self._table
        if number & _GAINED:
            table.gained(value, endpoint, time.time())
        elif number == _LOST:
            self._note_lost(value, endpoint)
        elif number == _SUCCEEDED:
            table.succeeded(endpoint)
        elif number == _BROKEN:
            table.failed(endpoint, _errno_name(value), detail=False)
        elif number == _WRONG:
            table.failed(endpoint, _PROTOCOL_ERRORS.get(value, f"protocol_{value:#x}"))
        elif number == _DENIED:
            table.denied(endpoint, f"auth_{value}")
        elif number == _RETRIED:
            table.retried()

    def _note_lost(self, descriptor: int, endpoint: str) -> None:
        lost = self._table.lost(descriptor, endpoint)
        if lost is None:
            return
        connection, reason = lost
        where = {"endpoint": endpoint, "peer": connection.address or "unknown"}
        if reason is None:
            self._note(logging.DEBUG, "disconnected", **where)
        else:
            self._note(logging.WARNING, "handshake-failed", **where, reason=reason)

    def _name_addresses(self) -> None:
        for descriptor, connection in self._table.nameless():
            connection.address = _address(descriptor)
            self._note(logging.DEBUG, "connected", endpoint=connection.endpoint, peer=connection.address)

    def _note(self, level: int, name: str, **keys: str) -> None:
        if log.isEnabledFor(level):
            self._news.append((level, event(name, **self._whose, **keys)))

    def _tell_news(self) -> None:
        # Not while events are taken in, for that may be in the middle of a burst.
        news, self._news = self._news, []
        for level, what in news:
            log.log(level, what)


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno_{number}")


def _address(descriptor: int) -> str:
    """The other end of a connection of libzmq's; it may be gone, and its descriptor somebody else's for a moment.

    The end of the one it belonged to is among the events still to come then, so that nobody goes by this for long.
    """
    try:
        with _borrowed(descriptor) as connection:
            if connection.family == stdlib_socket.AF_UNIX:
                return _pid(connection)
            host, port = connection.getpeername()[:2]
    except (OSError, ValueError):
        return "unknown"
    name = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(name, "ipv4_mapped", None)
    if mapped is not None:
        return f"{mapped}:{port}"
    return f"[{host}]:{port}" if name.version == 6 else f"{host}:{port}"


def _pid(connection: stdlib_socket.socket) -> str:
    option = getattr(stdlib_socket, "SO_PEERCRED", None)
    if option is None:
        return "unknown"
    credentials = struct.Struct("3i")
    pid: int = credentials.unpack(connection.getsockopt(stdlib_socket.SOL_SOCKET, option, credentials.size))[0]
    return f"pid {pid}"


def _has_spoken(descriptor: int) -> bool:
    """Whether as much as a greeting has come in over a tcp connection; true where that cannot be told."""
    if sys.platform != "linux":
        return True
    try:
        with _borrowed(descriptor) as connection:
            size = _TCP_INFO_RECEIVED.size
            info = connection.getsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_INFO, size)
    except OSError:
        return True
    return len(info) < size or int(_TCP_INFO_RECEIVED.unpack(info)[0]) >= _GREETING_BYTES


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Any:
    """A socket object for a descriptor that goes on belonging to libzmq."""
    connection = _PlainSocket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
