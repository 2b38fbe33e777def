"""What the kernel knows of a connection of libzmq's, by its file descriptor, and how to end it.

The descriptor goes on belonging to libzmq, which may close it at any moment. The number may then be another's.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import functools
import ipaddress
import os
import socket as stdlib_socket
import struct
import sys
import termios
from typing import Any

from gevent import monkey

# In Linux's struct tcp_info (linux/tcp.h), whose fields keep their places.
_BYTES_SENT = struct.Struct("=200xQ")
_BYTES_RECEIVED = struct.Struct("=128xQ")
# The kernel is not asked for the family, which no call here needs: that would take most of the time.
_TCP = (stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM, 0)
_STATE, _ESTABLISHED = struct.Struct("=B"), 1
_COOKIE = struct.Struct("=Q")
# SO_COOKIE of Linux's asm-generic/socket.h, which Python does not name: no other socket of this boot ever has the same.
_SO_COOKIE = 57

_SOCKADDR_BYTES = 16
# The same for these, which take and end a filter of packets.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_BPF_RETURN_0 = struct.pack("HBBI", 0x06, 0, 0, 0)
# What a packet has beyond its TCP header, whose length stands in the upper half of byte 12 (RFC 9293, section 3.1): ldb
# [12]; rsh #4; lsh #2; tax; ld len; sub x; jeq #0; ret #-1; ret #0 (linux/filter.h).
_BPF_NO_DATA = b"".join(
    struct.pack("HBBI", *one)
    for one in (
        (0x30, 0, 0, 12), (0x74, 0, 0, 4), (0x64, 0, 0, 2), (0x07, 0, 0, 0), (0x80, 0, 0, 0), (0x1C, 0, 0, 0),
        (0x15, 0, 1, 0), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0),
    )
)  # fmt: skip

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)

# In a program that is monkey-patched, gevent's would have the hub's loop take note of a descriptor that is not its own.
_PlainSocket: Any = monkey.get_original("socket", "socket")


def address(descriptor: int) -> str:
    """The other end of a `descriptor`: ``host:port``, ``pid N`` over ipc, or ``unknown``. Does not yield.

    It may be gone, and its descriptor belong to another for a moment. Then the event of its end is still to come, so
    that a wrong address does not stay for long.
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


def received_bytes(descriptor: int) -> int | None:
    """How many bytes have come in over the tcp connection with this `descriptor`. Does not yield.

    Those that libzmq has not read yet are among them. None over ipc, and where that is not known.
    """
    return _tcp_info(descriptor, _BYTES_RECEIVED)


def has_ended(descriptor: int) -> bool:
    """Whether the other end has ended the tcp connection of a `descriptor`; false if unknown. Does not yield."""
    state = _tcp_info(descriptor, _STATE)
    return state is not None and state != _ESTABLISHED


def sent_bytes(descriptor: int) -> int | None:
    """How many bytes went out over a `descriptor`; None as for `received_bytes`. Does not yield."""
    return _tcp_info(descriptor, _BYTES_SENT)


def cookie(descriptor: int) -> int | None:
    """What tells a connection from later ones with the same `descriptor`; None if unknown. Does not yield."""
    if sys.platform != "linux":
        return None
    try:
        with _borrowed_tcp(descriptor) as connection:
            return int(_COOKIE.unpack(connection.getsockopt(stdlib_socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))[0])
    except (OSError, struct.error):
        return None


def has_unread(descriptor: int) -> bool:
    """Whether bytes have come in over a `descriptor` that libzmq has not read; it may be gone meanwhile."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
    except OSError:
        return False
    return count[0] > 0


def end(descriptor: int) -> bool:
    """End the tcp or ipc connection of a `descriptor`: libzmq reads to its end and closes it. Whether that went well.

    Does not yield.
    """
    try:
        with _borrowed_tcp(descriptor) as connection:
            # With a reset at the close: without it, a peer that had to wait for room would not hear of the end.
            connection.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, _RESET_AT_CLOSE)
            connection.shutdown(stdlib_socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def discard(descriptor: int) -> bool:
    """End the tcp or ipc connection of a `descriptor`, as `end` does, and all that libzmq has not read. Does not yield.

    Only for connections whose handshake is through. Whether that went well.
    """
    # connect(2): an address of the family AF_UNSPEC dissolves a connection, with a reset (tcp_disconnect in Linux).
    unspecified = bytes(_SOCKADDR_BYTES)
    if sys.platform == "linux" and _libc().connect(descriptor, unspecified, len(unspecified)) == 0:
        return True
    return end(descriptor)


def take_in_nothing(descriptor: int) -> bool:
    """Have the kernel throw away what comes in over the tcp connection of a `descriptor`; the peer sends it again.

    Whether that went well. Does not yield.
    """
    # A filter of one instruction, which lets 0 bytes of a packet pass.
    return _attach_filter(descriptor, _BPF_RETURN_0)


def take_in_no_data(descriptor: int) -> bool:
    """Have the connections that come from now on to a listening `descriptor` made, and nothing taken in over them.

    Each is let go by `take_in_again` with its own descriptor. Whether that went well. Does not yield.
    """
    return _attach_filter(descriptor, _BPF_NO_DATA)


def take_in_again(descriptor: int) -> None:
    """End `take_in_nothing` for a `descriptor`. Does not yield."""
    _set_filter(descriptor, _SO_DETACH_FILTER, struct.pack("i", 0))


def set_receive_buffer(descriptor: int, nbytes: int) -> int | None:
    """Give the connection of a `descriptor` a receive buffer of `nbytes`; the size before that. Does not yield.

    The kernel takes what is least and most for a smaller and a larger one. None if it cannot be had.
    """
    try:
        with _borrowed_tcp(descriptor) as connection:
            # The kernel says, and means, twice what was asked for (socket(7)).
            before = connection.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF) // 2
            connection.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, nbytes)
            return int(before)
    except OSError:
        return None


def _attach_filter(descriptor: int, instructions: bytes) -> bool:
    # struct sock_fprog of linux/filter.h: how many instructions, of 8 bytes each, and where they are.
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("HP", len(instructions) // 8, ctypes.addressof(kept))
    return sys.platform == "linux" and _set_filter(descriptor, _SO_ATTACH_FILTER, program)


def _set_filter(descriptor: int, option: int, value: bytes) -> bool:
    try:
        with _borrowed_tcp(descriptor) as connection:
            connection.setsockopt(stdlib_socket.SOL_SOCKET, option, value)
    except OSError:
        return False
    return True


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None)


class Held:
    """A descriptor of one's own for a connection of libzmq's. The connection lasts until both are closed.

    :param descriptor: libzmq's.
    :raises OSError: if it is gone, or no descriptor is free.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = os.dup(descriptor)

    def close(self) -> None:
        """Give the descriptor back. Does not yield."""
        os.close(self.descriptor)


def _pid(connection: stdlib_socket.socket) -> str:
    option = getattr(stdlib_socket, "SO_PEERCRED", None)
    if option is None:
        return "unknown"
    credentials = struct.Struct("3i")
    pid: int = credentials.unpack(connection.getsockopt(stdlib_socket.SOL_SOCKET, option, credentials.size))[0]
    return f"pid {pid}"


def _tcp_info(descriptor: int, field: struct.Struct) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        with _borrowed_tcp(descriptor) as connection:
            info = connection.getsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_INFO, field.size)
    except OSError:
        return None
    return None if len(info) < field.size else int(field.unpack(info)[0])


def _borrowed_tcp(descriptor: int) -> Any:
    return _borrowed(descriptor, *_TCP)


@contextlib.contextmanager
def _borrowed(descriptor: int, *kind: int) -> Any:
    """A socket object for a descriptor that goes on belonging to libzmq."""
    connection = _PlainSocket(*kind, fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
