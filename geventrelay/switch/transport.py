"""What the kernel is told of a connection: buffers, probes of silent peers, and the like."""

from __future__ import annotations

import contextlib
import socket as stdlib_socket
import struct
from dataclasses import dataclass
from typing import Any

from gevent import monkey

PlainSocket: Any = monkey.get_original("socket", "socket")
"""Python's own class. In a program that is monkey-patched, gevent's would add watchers to each socket."""

_LINGER_NOT = struct.pack("ii", 1, 0)
# What a closed connection still has to say is read, no more than this: the kernel resets a connection that is closed
# with something unread, and what was under way to the peer is lost.
_LAST_BYTES = 1 << 20
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How the kernel probes a silent connection; see tcp(7).

    :ivar idle_s: after how many seconds of silence; None leaves the kernel's.
    :ivar interval_s: how many seconds between probes; None likewise.
    :ivar probes: how many without an answer end the connection; None likewise.
    """

    idle_s: int | None = None
    interval_s: int | None = None
    probes: int | None = None


@dataclass(frozen=True, slots=True)
class Transport:
    """How the connections of one socket are set up; see zmq_setsockopt(3) for the options of these names.

    :ivar keepalive: None leaves silent connections alone.
    :ivar sndbuf: the kernel's buffer, in bytes; -1 leaves it; `rcvbuf` likewise.
    :ivar tos: the type of service; 0 leaves it.
    :ivar maxrt_ms: how long what was sent may stay unacknowledged, in ms; 0 leaves it.
    :ivar device: the network interface that is used; empty for every one.
    """

    keepalive: Keepalive | None = None
    sndbuf: int = -1
    rcvbuf: int = -1
    tos: int = 0
    maxrt_ms: int = 0
    device: bytes = b""

    def prepare(self, socket: Any) -> None:
        """Set up a `socket` before it listens or connects: connections inherit this. Does not yield.

        :raises OSError: if the kernel refuses an option.
        """
        socket.setblocking(False)
        if self.sndbuf >= 0:
            socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, self.sndbuf)
        if self.rcvbuf >= 0:
            socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, self.rcvbuf)
        if socket.family == stdlib_socket.AF_UNIX:
            return
        if self.device:
            socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_BINDTODEVICE, self.device)
        if self.tos:
            # One that listens over IPv6 may take in IPv4 too.
            socket.setsockopt(stdlib_socket.IPPROTO_IP, stdlib_socket.IP_TOS, self.tos)
            if socket.family == stdlib_socket.AF_INET6:
                socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_TCLASS, self.tos)

    def finish(self, socket: Any) -> None:
        """Set up the connection of a `socket`. Does not yield.

        :raises OSError: if it has ended already.
        """
        socket.setblocking(False)
        if socket.family == stdlib_socket.AF_UNIX:
            return
        tcp = stdlib_socket.IPPROTO_TCP
        # What is written is whole messages: to wait for more gains nothing.
        socket.setsockopt(tcp, stdlib_socket.TCP_NODELAY, 1)
        if self.maxrt_ms:
            socket.setsockopt(tcp, stdlib_socket.TCP_USER_TIMEOUT, self.maxrt_ms)
        if self.keepalive is None:
            return
        socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
        for option, value in (
            (stdlib_socket.TCP_KEEPIDLE, self.keepalive.idle_s),
            (stdlib_socket.TCP_KEEPINTVL, self.keepalive.interval_s),
            (stdlib_socket.TCP_KEEPCNT, self.keepalive.probes),
        ):
            if value is not None:
                socket.setsockopt(tcp, option, value)


def close(socket: Any) -> None:
    """Close a `socket` so that what was written to it arrives. Does not yield."""
    with contextlib.suppress(OSError):
        socket.shutdown(stdlib_socket.SHUT_WR)
        left = _LAST_BYTES
        while left > 0 and (some := socket.recv(min(left, _READ_BYTES))):
            left -= len(some)
    socket.close()


def reset(socket: Any) -> None:
    """Close a `socket` at once, so that nothing of it stays in the kernel. Does not yield."""
    with contextlib.suppress(OSError):
        socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, _LINGER_NOT)
    socket.close()
