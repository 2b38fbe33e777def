"""A topic longer than max-topic-size reaches no XSUB of libzmq's, whose tree of topics would overflow the stack."""

from __future__ import annotations

import contextlib
import os

import gevent
import pytest
import zmq
import zmq.green
from gevent import socket as green_socket
from support.engines import libzmq_only
from support.strangers import MORE, frame, shake_hands, stranger

import geventrelay
from geventrelay import Custom, Drop, Forwarder, Relay, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within

# libzmq overflows a stack of 8 MB with it.
HUGE = os.urandom(200_000)
LONGEST = 8192


def is_ended(connection) -> bool:
    """Whether the other end ends the connection."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1000) == b""
    return True


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (lambda: Forwarder(frontend=LOCAL, backend=LOCAL), "backend"),
        (lambda: Relay(sub=LOCAL, pub=LOCAL), "pub"),
        (lambda: Custom(frontend_type="XPUB", frontend=LOCAL, backend_type="XSUB", backend=LOCAL), "frontend"),
        (lambda: Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL), "tap"),
    ],
    ids=["forwarder", "relay", "custom", "tap"],
)
@pytest.mark.parametrize("size", [LONGEST + 10, len(HUGE)])
def test_a_subscriber_with_a_longer_topic_is_disconnected(run, settings, key, size):
    endpoint = run(settings()).endpoints[key][0]
    with stranger(endpoint, b"SUB") as attacker, within("its end"):
        with contextlib.suppress(OSError):
            attacker.sendall(frame(b"\x01" + HUGE[:size]) + frame(b"\x00" + HUGE[:size]))
        assert is_ended(attacker)


def test_the_longest_topic_that_is_allowed_passes(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL))
    topic = b"x" * LONGEST
    subscriber = peers.subscriber(*device.endpoints["backend"], prefix=topic)
    eventually(lambda: device.subscriptions() == (topic,), "the subscription")
    publisher = peers.publisher(*device.endpoints["frontend"])
    publisher.send(topic)
    assert subscriber.recv() == [topic]


def test_the_option_sets_what_is_longest(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, max_topic_size_bytes=20_000))
    peers.subscriber(*device.endpoints["backend"], prefix=b"x" * 20_000)
    eventually(lambda: device.subscriptions() == (b"x" * 20_000,), "the subscription")


@pytest.fixture
def downstream():
    """A listening socket, for a device that connects to it."""
    with green_socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def accepted(listener):
    with within("the connection"):
        connection, _ = listener.accept()
        shake_hands(connection, b"XSUB")
        return connection


def address(listener) -> str:
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@libzmq_only("engine zmtp ends the connection")
@pytest.mark.parametrize("as_part", [False, True])
def test_a_longer_topic_at_a_socket_that_connects_is_dropped_and_counted(run, downstream, as_part):
    """MAXMSGSIZE does not help where an XPUB connects itself."""
    device = run(Forwarder(frontend=LOCAL, backend=">" + address(downstream)))
    user = frame(b"\x02user", MORE) if as_part else b""
    with accepted(downstream) as attacker:
        for first in (b"\x01", b"\x00"):
            attacker.sendall(user + frame(first + HUGE))
        attacker.sendall(frame(b"\x01topic"))
        eventually(lambda: device.subscriptions() == (b"topic",), "what comes after it")
    pump = device.snapshot().pumps[1]
    # A part before it is a message that has broken off.
    expected = {Drop.TOPIC_TOO_LONG, Drop.BROKEN_OFF} if as_part else {Drop.TOPIC_TOO_LONG}
    assert set(pump.outlets[0].dropped) == expected
    assert pump.balanced


def test_what_is_no_subscription_may_be_longer(run, peers: Peers, downstream):
    device = run(Forwarder(frontend=LOCAL, backend=">" + address(downstream)))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    with accepted(downstream) as other:
        other.sendall(frame(b"\x02" + HUGE))
        assert publisher.recv() == [b"\x02" + HUGE]


def test_a_proxy_drops_it_too(peers: Peers):
    context = zmq.green.Context()
    frontend, backend = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    ports = [one.bind_to_random_port("tcp://127.0.0.1") for one in (frontend, backend)]
    running = gevent.spawn(geventrelay.proxy, frontend, backend)
    try:
        publisher = peers.connect(zmq.XPUB, f"tcp://127.0.0.1:{ports[0]}")
        with stranger(f"tcp://127.0.0.1:{ports[1]}", b"SUB") as attacker:
            for first in (b"\x01", b"\x00"):
                attacker.sendall(frame(first + HUGE))
            attacker.sendall(frame(b"\x01last"))
            assert publisher.recv() == [b"\x01last"]
    finally:
        running.kill()
        for one in (frontend, backend):
            one.close(0)
        gevent.get_hub().threadpool.apply(context.term)
