"""Who is connected to a socket, by the events of its monitor (zmq_socket_monitor(3)): tcp and ipc; inproc has none.

From this also follows whether a message was refused because no peer is there or because every peer is full: libzmq
answers EAGAIN to both.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import errno
import fcntl
import ipaddress
import logging
import socket as stdlib_socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from gevent import monkey

from ..log import LogEvent, event
from . import descriptors
from .libzmq import unless_gone
from .monitor import Monitor, MonitorEvent
from .peertable import PeersSnapshot, PeerTable
from .readiness import plain_get

log = logging.getLogger("geventrelay")

_GAINED = int(zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED)
_ACCEPTED = int(zmq.EVENT_ACCEPTED)
_LOST = int(zmq.EVENT_DISCONNECTED)
_SUCCEEDED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_BROKEN = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_WRONG = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_DENIED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_RETRIED = int(zmq.EVENT_CONNECT_RETRIED)
# Not EVENT_ACCEPT_FAILED: without a free descriptor, libzmq tries again without a pause and reports each try. That is a
# quarter of a million events a second, more than can be read.
PEER_EVENTS = _GAINED | _LOST | _SUCCEEDED | _BROKEN | _WRONG | _DENIED | _RETRIED
"""The events that `SocketPeers` needs of a `Monitor`."""

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


class SocketPeers:
    """Follows the connections of one socket.

    :param monitor: the socket's monitor, opened for `PEER_EVENTS` before the socket was bound or connected. Its owner
        ends it, after `close`.
    :param device: the device's name in the log.
    :param key: the socket's key there.
    :param observe: gets each event too, while it is taken in; it must not yield. None for nothing.
    """

    def __init__(
        self,
        monitor: Monitor,
        device: str = "",
        key: str = "",
        observe: Callable[[MonitorEvent], None] | None = None,
    ) -> None:
        self._monitor = monitor
        self._observe = observe
        self._whose = {"device": device, "socket": key}
        self._mechanism = _MECHANISMS.get(int(plain_get(monitor.socket, zmq.MECHANISM)), "unknown")
        self._table = PeerTable(_has_spoken)
        # Connections kept off that no line of the log has named, and when the next line may come.
        self._kept_off, self._say_at = 0, 0.0
        self._news: list[tuple[int, LogEvent]] = []
        self._greenlet = gevent.spawn(self._follow)

    def now(self) -> int:
        """How many peers are connected, handshakes through. Does not yield.

        The events up to now are taken in; of a storm, a thousand, and the others within the next ms.
        """
        self._read()
        return self._table.ready

    @property
    def has_unread(self) -> bool:
        """Whether the kernel has bytes of some connection that libzmq has not read. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            # Where the context has gone, what was known before is all there is.
            self.now()
        return any(map(_has_unread, self._table.descriptors()))

    def snapshot(self) -> PeersSnapshot:
        """Who is connected and what has been counted up to now. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            # Where the context has gone, what was known before is all there is.
            self.now()
        self._name_addresses()
        return self._table.snapshot(self._mechanism)

    def close(self) -> PeersSnapshot:
        """Stop following, and return what has been counted. Call it before the socket is closed. Yields."""
        self._greenlet.kill()
        with contextlib.suppress(zmq.ZMQError):
            for _ in range(_LAST_READS):
                if not self._read():
                    break
        self._tell_news()
        return dataclasses.replace(self._table.snapshot(self._mechanism), peers=())

    def _follow(self) -> None:
        # Events that are not read would pile up.
        with unless_gone():
            # The end of the context ends this too; the socket's own greenlets report it.
            while True:
                self._monitor.wait()
                more = self._read()
                self._name_addresses()
                self._tell_news()
                if more:
                    gevent.sleep(_PAUSE_S)

    def _read(self) -> bool:
        """Take in events, so many at most; whether there may be more."""
        events = self._monitor.read(_AT_A_TIME)
        for one in events:
            self._take(one)
            if self._observe is not None:
                self._observe(one)
        accepted = [one.value for one in events if one.kind == _ACCEPTED and self._table.is_pending(one.value)]
        if accepted:
            self._keep_off(accepted)
        return len(events) == _AT_A_TIME

    def _keep_off(self, accepted: list[int]) -> None:
        """End as many of the connections just `accepted` as descriptors are missing, the newest first."""
        missing = descriptors.RESERVE - descriptors.free()
        if missing <= 0:
            return
        ended = [descriptor for descriptor in accepted[-int(missing) :] if _end(descriptor)]
        for descriptor in ended:
            self._table.kept_off(descriptor)
        self._kept_off += len(ended)
        now_s = time.monotonic()
        if ended and now_s >= self._say_at:
            self._say_at = now_s + 1
            reason = f"fewer than {descriptors.RESERVE} file descriptors are free"
            self._note(logging.WARNING, "kept-off", connections=str(self._kept_off), reason=reason)
            self._kept_off = 0

    def _take(self, one: MonitorEvent) -> None:
        table, kind, value, endpoint = self._table, one.kind, one.value, one.endpoint
        if kind & _GAINED:
            table.gained(value, endpoint, time.time())
        elif kind == _LOST:
            self._note_lost(value, endpoint)
        elif kind == _SUCCEEDED:
            table.succeeded(endpoint)
        elif kind == _BROKEN:
            table.failed(endpoint, _errno_name(value), detail=False)
        elif kind == _WRONG:
            table.failed(endpoint, _PROTOCOL_ERRORS.get(value, f"protocol_{value:#x}"))
        elif kind == _DENIED:
            table.denied(endpoint, f"auth_{value}")
        elif kind == _RETRIED:
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
    """The other end of a connection of libzmq's. It may be gone, and its descriptor belong to another for a moment.

    Then the event of its end is still to come, so that a wrong address does not stay for long.
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
    """Whether as much as a greeting has come in over a tcp connection; true where that is not known."""
    if sys.platform != "linux":
        return True
    try:
        with _borrowed(descriptor) as connection:
            size = _TCP_INFO_RECEIVED.size
            info = connection.getsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_INFO, size)
    except OSError:
        return True
    return len(info) < size or int(_TCP_INFO_RECEIVED.unpack(info)[0]) >= _GREETING_BYTES


def _end(descriptor: int) -> bool:
    """End a connection of libzmq's, which closes it then; whether that went well."""
    try:
        with _borrowed(descriptor) as connection:
            connection.shutdown(stdlib_socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def _has_unread(descriptor: int) -> bool:
    """Whether bytes have come in over a connection that libzmq has not read; it may be gone meanwhile."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
    except OSError:
        return False
    return count[0] > 0


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Any:
    """A socket object for a descriptor that goes on belonging to libzmq."""
    connection = _PlainSocket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
