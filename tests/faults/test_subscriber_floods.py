"""Subscribers that send without a pause: libzmq reads all of it in one call, and the call has to come to an end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from support.strangers import frame, stranger

from geventrelay.testing import Peers, within

STRANGERS = 3
FLOODS = {
    "one topic again and again": (b"SUB", (frame(b"\1t") + frame(b"\0t")) * 2000),
    "messages upstream": (b"XSUB", frame(b"hello") * 4000),
}


@contextlib.contextmanager
def flooding(endpoint: str, kind: bytes, batch: bytes) -> Iterator[None]:
    """Threads of the kernel's that send `batch` over and over, as peers of this kind; greenlets would be too slow."""
    connections = []
    for _ in range(STRANGERS):
        green = stranger(endpoint, kind)
        connections.append(socket.socket(fileno=green.detach()))
        connections[-1].settimeout(None)

    def send(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(batch)

    threads = [threading.Thread(target=send, args=(one,)) for one in connections]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(("kind", "batch"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_from_subscribers_lets_everything_else_have_its_turn(start, peers: Peers, kind, batch):
    # Without the other bound, the flood has no end of its own.
    server = start("forwarder", "--frontend", "0", "--backend", "0", "--subscriber-burst", "0")
    subscriber = peers.subscriber(server["backend"], prefix=b"x")
    publisher = peers.publisher(server["frontend"])
    with flooding(server["backend"], kind, batch):
        for number in range(20):
            with within("a message beside the flood", 5):
                publisher.send(b"x%d" % number)
                assert subscriber.recv() == [b"x%d" % number]
