"""A server that sends what it is told to, whatever it is asked, until its client leaves."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

Pieces = Callable[[], Iterable[bytes]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def dripping(before: bytes, byte: bytes = b"x") -> Iterator[bytes]:
    """`before` at once, and then a byte now and then, for ever."""
    yield before
    while True:
        yield byte


def flooding(before: bytes, piece: bytes) -> Iterator[bytes]:
    """`before`, and then `piece` for ever, as fast as it is taken."""
    yield before
    yield from itertools.repeat(piece * (1 + (1 << 16) // len(piece)))


@contextlib.contextmanager
def hostile_server(pieces: Pieces, *, pause_s: float = 0.01) -> Iterator[int]:
    """Its port, for a ``with`` block.

    :param pieces: called for every connection; what it is sent, piece by piece.
    :param pause_s: after each small piece, in seconds.
    """
    over = threading.Event()
    serving: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        accepting = threading.Thread(target=_accept, args=(listener, pieces, pause_s, over, serving))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            accepting.join()
            for thread in serving:
                thread.join()


def _accept(
    listener: socket.socket, pieces: Pieces, pause_s: float, over: threading.Event, serving: list[threading.Thread]
) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            connection.settimeout(5)
            serving.append(threading.Thread(target=_serve, args=(connection, pieces(), pause_s, over)))
            serving[-1].start()


def _serve(connection: socket.socket, pieces: Iterable[bytes], pause_s: float, over: threading.Event) -> None:
    # Also a client that leaves in the middle.
    with connection, contextlib.suppress(OSError):
        connection.recv(1 << 16)
        for piece in pieces:
            if over.is_set():
                return
            connection.sendall(piece)
            if len(piece) < 100:
                over.wait(pause_s)
