"""Clients that cost nothing: they send the same bytes again and again, and count the bytes that come.

By the scheme of an endpoint they speak ZMTP (tcp), RESP (redis) or NATS (nats), as much of it as it takes to publish,
and to subscribe to everything.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import wire

BATCH_BYTES = 1 << 16
LIMIT_S = 5.0
End = tuple[str, socket.socket]
"""A scheme, and a connection that is ready for messages."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """``published``: a message as the source sends it; ``received``: how many bytes a subscriber gets for it."""

    source: Callable[[str], socket.socket]
    subscriber: Callable[[str], socket.socket]
    published: Callable[[bytes], bytes]
    received: Callable[[bytes], int]


def connect(stack: ExitStack, publishes: bool, endpoints: list[str]) -> list[End]:
    """A connection to each endpoint; `stack` closes them. Raises OSError."""
    found = []
    for endpoint in endpoints:
        protocol = PROTOCOLS[urlsplit(endpoint).scheme]
        connection = stack.enter_context((protocol.source if publishes else protocol.subscriber)(endpoint))
        connection.setblocking(False)
        found.append((urlsplit(endpoint).scheme, connection))
    return found


def publish(library: Path, board_address: int, ends: list[End], size: int) -> int:
    """Send messages of `size` bytes until the board says stop; returns an errno, 0 when all was well."""
    ((scheme, connection),) = ends
    message = PROTOCOLS[scheme].published(b"x" * size)
    batch = message * (BATCH_BYTES // len(message))
    sizes = ctypes.c_uint64(len(batch)), ctypes.c_uint64(len(message))
    run = ctypes.CDLL(str(library)).wire_source
    return int(run(ctypes.c_void_p(board_address), connection.fileno(), ctypes.c_char_p(batch), *sizes))


def count(library: Path, board_address: int, ends: list[End], size: int) -> int:
    """Count messages of `size` bytes until the board says stop; returns an errno, 0 when all was well."""
    descriptors = (ctypes.c_int * len(ends))(*(connection.fileno() for _, connection in ends))
    each = ctypes.c_uint64(PROTOCOLS[ends[0][0]].received(b"x" * size))
    run = ctypes.CDLL(str(library)).wire_count
    return int(run(ctypes.c_void_p(board_address), descriptors, len(ends), each))


def _asked(endpoint: str, said: bytes, answer: bytes) -> socket.socket:
    """A connection over which `said` was sent, and all up to `answer` has come."""
    address = urlsplit(endpoint)
    connection = socket.create_connection((address.hostname or "", address.port or 0), LIMIT_S)
    connection.sendall(said)
    got = b""
    while not got.endswith(answer):
        part = connection.recv(1 if answer in got else 4096)
        if not part:
            raise ConnectionResetError("the peer hung up")
        got += part
    return connection


def _redis_source(endpoint: str) -> socket.socket:
    connection = _asked(endpoint, b"PING\r\n", b"+PONG\r\n")
    connection.sendall(b"CLIENT REPLY OFF\r\n")
    return connection


NATS_HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\n'

PROTOCOLS = {
    "tcp": Protocol(
        lambda endpoint: wire.connect(endpoint, b"PUB"),
        wire.subscribe,
        wire.frame,
        lambda body: len(wire.frame(body)),
    ),
    "redis": Protocol(
        _redis_source,
        lambda endpoint: _asked(endpoint, b"SUBSCRIBE t\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n"),
        lambda body: b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nt\r\n$%d\r\n%b\r\n" % (len(body), body),
        lambda body: len(b"*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$%d\r\n%b\r\n" % (len(body), body)),
    ),
    "nats": Protocol(
        lambda endpoint: _asked(endpoint, NATS_HELLO + b"PING\r\n", b"PONG\r\n"),
        lambda endpoint: _asked(endpoint, NATS_HELLO + b"SUB t 1\r\nPING\r\n", b"PONG\r\n"),
        lambda body: b"PUB t %d\r\n%b\r\n" % (len(body), body),
        lambda body: len(b"MSG t 1 %d\r\n%b\r\n" % (len(body), body)),
    ),
}  # fmt: skip
"""By the scheme of an endpoint."""
