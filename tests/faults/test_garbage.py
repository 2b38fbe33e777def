"""Bytes on an open port that are not ZeroMQ's: the device goes on, and its other peers notice nothing."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct

import pytest
import zmq
from support.process import LIMIT_S, Server

from geventrelay.testing import Peers, fence

HTTP = (
    b"GET /status?verbose=1 HTTP/1.1\r\nHost: 127.0.0.1:5555\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) "
    b"Gecko/20100101 Firefox/130.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US\r\nConnection: keep-alive\r\n\r\n"
)

# RFC 23 (ZMTP 3.0): signature, version, mechanism in 20 bytes, as-server, filler.
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"


def greeting(mechanism):
    return SIGNATURE + b"\x03\x00" + mechanism.ljust(20, b"\0") + b"\0" + bytes(31)


def ready(socket_type):
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type
    return b"\x04" + bytes([len(body)]) + body


def shaken(socket_type):
    """All that a peer of this type says before its first message."""
    return greeting(b"NULL") + ready(socket_type)


# A frame that begins a message of several parts, and one that says it has 2**62 bytes.
HALF_A_MESSAGE = b"\x01\x04half"
HUGE_FRAME = b"\x02" + struct.pack(">Q", 2**62)

# ZMTP 1.0 has no greeting: what other bytes look like it is refused rather than taken for messages.
GARBAGE = {
    "HTTP requests": HTTP * 5,
    "random bytes": random.Random(1).randbytes(20_000),
    "zeros": bytes(1000),
    "ZMTP 1.0": b"\x01\x00\x06\x00hello\x06\x00hello",
    "half a signature": SIGNATURE[:5],
    "half a greeting": greeting(b"NULL")[:30],
    "a greeting and no more": greeting(b"NULL"),
    "another mechanism": greeting(b"PLAIN") + b"\x04\x0a\x05HELLO\x01a\x01b",
    "a mechanism that there is not": greeting(b"NONSENSE") + ready(b"DEALER"),
    "a broken READY": greeting(b"NULL") + b"\x04\x08\x05READY\xff\xff",
    "a socket type that cannot be joined": shaken(b"PAIR"),
    "a socket type that there is not": shaken(b"NONSENSE"),
}

ENDS = ["--frontend", "0", "--backend", "0"]
# Arguments, and the socket type of those who send to its first socket.
DEVICES = {
    "relay": (["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"], b"PUB"),
    "forwarder": (["forwarder", *ENDS], b"PUB"),
    "queue": (["queue", *ENDS], b"DEALER"),
    "streamer": (["streamer", *ENDS], b"PUSH"),
    "custom": (["custom", "--frontend-type", "PULL", "--backend-type", "PUB", *ENDS], b"PUSH"),
}


class Traffic:
    """A running device with peers on every side, through which numbered messages can be sent."""

    def __init__(self, pattern, server, peers):
        self.server, self._pattern = server, pattern
        self._numbers = itertools.count(1)
        first, *others = server.endpoints
        self._receivers = []
        if pattern == "queue":
            self._sender = peers.connect(zmq.REQ, server[first])
            self._worker = peers.connect(zmq.REP, server["backend"])
            return
        self._sender = peers(DEVICES[pattern][1].decode(), server[first])
        for key in others:
            kind = zmq.PULL if key == "push" or pattern == "streamer" else zmq.SUB
            self._receivers.append(peers(kind, server[key]))
            fence(self._sender, self._receivers[-1])

    def check(self, count=20):
        """Everything that is sent arrives, once, in order, and nothing else does."""
        for number in itertools.islice(self._numbers, count):
            message = b"message-%d" % number
            self._sender.send(message)
            if self._pattern == "queue":
                assert self._worker.recv() == [message]
                self._worker.send(message)
                assert self._sender.recv() == [message]
            for receiver in self._receivers:
                assert receiver.recv() == [message]
        assert self.server.lives, self.server.report()


@pytest.fixture(scope="module", params=DEVICES)
def traffic(request, tmp_path_factory):
    """One device per pattern for the whole module: none of the garbage may do it any harm."""
    pattern = request.param
    arguments, _ = DEVICES[pattern]
    folder = tmp_path_factory.mktemp(pattern)
    with Server(*arguments, "--interface", "127.0.0.1", folder=folder) as server, Peers(limit_s=LIMIT_S) as peers:
        traffic = Traffic(pattern, server, peers)
        yield traffic
        traffic.check()
        server.stop()
        assert "ERROR" not in server.errors


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Instead of the suite's check after each test: here the sockets of `traffic` are left to the next one."""


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_on_any_port_is_noticed_by_nobody(traffic, kind):
    with contextlib.ExitStack() as stack:
        for key in traffic.server.endpoints:
            traffic.check(2)
            stack.enter_context(dial(traffic.server[key])).sendall(GARBAGE[kind])
        # With their connections open, and after they have gone.
        traffic.check()
    traffic.check()


def test_a_flood_of_connections_that_close_at_once_is_noticed_by_nobody(traffic):
    for key in traffic.server.endpoints:
        # Fewer at a time than ZMQ_BACKLOG (100): with more, the kernel lets this side try again after a second.
        for _ in range(3):
            for _ in range(80):
                dial(traffic.server[key]).close()
            traffic.check()


def test_connections_that_are_reset_are_noticed_by_nobody(traffic):
    for key in traffic.server.endpoints:
        for _ in range(50):
            with dial(traffic.server[key]) as link:
                link.sendall(SIGNATURE)
                # With a linger of 0, close() sends RST.
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        traffic.check()


@pytest.mark.parametrize("rest", [HALF_A_MESSAGE, HUGE_FRAME, b"\x00\xc8short", b"\x04\xff\x00"],
                         ids=["half a message", "a huge frame", "a frame cut short", "an unknown command"])  # fmt: skip
def test_a_sender_that_goes_in_the_middle_of_a_message_is_noticed_by_nobody(traffic, rest):
    _, sender_type = DEVICES[traffic.server.command[3]]
    first = next(iter(traffic.server.endpoints))
    for _ in range(5):
        with dial(traffic.server[first]) as link:
            link.sendall(shaken(sender_type) + rest)
            traffic.check(2)
        traffic.check(2)


def dial(endpoint):
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), 5)
