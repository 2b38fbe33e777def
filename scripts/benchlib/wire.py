"""Raw TCP subscribers: as much ZMTP 3.0 (RFC 23, mechanism NULL) as it takes to be sent everything."""

from __future__ import annotations

import ctypes
import random
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from .case import PREFIXES, TOPICS

HANDSHAKE_S = 5.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03"


def frame(body: bytes) -> bytes:
    """A message of one part with less than 256 bytes."""
    return bytes([0, len(body)]) + body


def subscriptions(prefix: bytes, count: int) -> bytes:
    """Subscriptions to so many topics that begin with `prefix`."""
    return b"".join(frame(b"\1%b%06d" % (prefix, number)) for number in range(count))


def topics_of(subscriber: int) -> list[bytes]:
    """What the subscriber with this number asks for of the topics that ``load_topics`` sends."""
    return [b"%03d" % topic for topic in random.Random(subscriber).sample(range(TOPICS), PREFIXES)]


def subscribe(endpoint: str, topics: Iterable[bytes] = (b"",)) -> socket.socket:
    """Connect, shake hands and subscribe; raises OSError when the peer does not take part in it."""
    connection = connect(endpoint, b"SUB")
    connection.sendall(b"".join(frame(b"\1" + topic) for topic in topics))
    connection.setblocking(False)
    return connection


def connect(endpoint: str, kind: bytes) -> socket.socket:
    """Connect and shake hands as a socket of type `kind`, of 3 letters."""
    address = urlsplit(endpoint)
    connection = socket.create_connection((address.hostname or "", address.port or 0), HANDSHAKE_S)
    connection.sendall(GREETING)
    _exactly(connection, len(GREETING))
    connection.sendall(b"\x04" + bytes([len(READY) + 3]) + READY + kind)
    _flags, size = _exactly(connection, 2)
    _exactly(connection, size)
    return connection


def skip(connection: socket.socket, size: int) -> None:
    """Read so many bytes."""
    while size > 0:
        got = len(connection.recv(min(size, 1 << 20)))
        if not got:
            raise ConnectionResetError("the peer hung up")
        size -= got


def _exactly(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionResetError("the peer hung up during the handshake")
        got += part
    return got


def drain(library: Path, board_address: int, connections: list[socket.socket]) -> int:
    """Read and count until the board says stop; returns an errno, 0 when all was well."""
    descriptors = (ctypes.c_int * len(connections))(*(connection.fileno() for connection in connections))
    loop = ctypes.CDLL(str(library)).wire_sink
    return int(loop(ctypes.c_void_p(board_address), descriptors, len(connections)))
