"""Peers that speak ZMTP 3 byte by byte, for what no library would send (RFC 23)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
from gevent import socket as green_socket

GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
PLAIN_GREETING, CURVE_GREETING = (GREETING.replace(b"NULL\0", name) for name in (b"PLAIN", b"CURVE"))
MORE, LONG, COMMAND = 1, 2, 4


def frame(body: bytes, flags: int = 0) -> bytes:
    """One frame with this `body`."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body


def ready(socket_type: bytes) -> bytes:
    """The READY of a socket of this type."""
    return frame(b"\x05READY\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type, COMMAND)


def command(name: bytes, data: bytes = b"") -> bytes:
    """The frame of a command."""
    return frame(bytes([len(name)]) + name + data, COMMAND)


def hello(user: bytes, password: bytes) -> bytes:
    """The HELLO of PLAIN (RFC 24)."""
    return command(b"HELLO", bytes([len(user)]) + user + bytes([len(password)]) + password)


def stranger(endpoint: str, socket_type: bytes = b"") -> Any:
    """A green TCP connection to `endpoint`: its handshake is sent as a peer of this type, or nothing without a type."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    connection = green_socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if socket_type:
        shake_hands(connection, socket_type)
    return connection


def shake_hands(connection: Any, socket_type: bytes) -> None:
    """Exchange greetings and READYs over a new `connection`, as a peer of this type. Yields."""
    connection.sendall(GREETING + ready(socket_type))
    # libzmq refuses what follows a READY before it has sent its own.
    received = b""
    while not _is_ready(received):
        more = connection.recv(1000)
        assert more, "the other end has ended the handshake"
        received += more


def greet(connection: Any) -> None:
    """Exchange greetings over a new `connection`, and no more. Yields.

    A peer sends its READY after the other's greeting (RFC 23). If it comes before, libzmq ends the connection without
    having sent all of its own greeting.
    """
    connection.sendall(GREETING)
    left = len(GREETING)
    while left:
        received = connection.recv(left)
        assert received, "the other end has ended the handshake"
        left -= len(received)


def _is_ready(received: bytes) -> bool:
    head = len(GREETING) + 2
    return len(received) >= head and len(received) >= head + received[head - 1]


def send_until_ended(connection: Any, chunks: Iterator[bytes]) -> int:
    """Send `chunks` until the other end has ended the connection. How many bytes were sent; yields."""
    sent = 0
    try:
        for chunk in chunks:
            connection.sendall(chunk)
            sent += len(chunk)
            gevent.sleep(0)
    except OSError:
        return sent
    raise AssertionError(f"all {sent} bytes were taken")
