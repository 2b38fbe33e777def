"""Endpoints that connect, and meet something else than their peer there for a while: they come back."""

from __future__ import annotations

import contextlib
import logging

import gevent
import pytest
import zmq
from gevent import socket as green_socket
from gevent.server import StreamServer
from support.engines import ZMTP
from support.strangers import shake_hands
from support.traffic import bind_again

from geventrelay import Queue, Relay, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within


def _http(connection, _):
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def _garbage(connection, _):
    connection.sendall(bytes(range(1, 200)))
    with contextlib.suppress(OSError):
        connection.recv(1)


def _nothing(connection, _):
    connection.close()


def _half_a_greeting(connection, _):
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03")
    connection.recv(64)


# libzmq gives the endpoint up, and so another one is made of it; engine zmtp tries again like after any failure.
GIVEN_UP = "handshake-failed" if ZMTP else "connecting-again"


@contextlib.contextmanager
def _at(port, handle):
    """Something that speaks no ZMTP, in the place of a peer; `met` is set once it had a connection."""
    met = gevent.event.Event()

    def handle_and_tell(connection, address):
        try:
            handle(connection, address)
        finally:
            met.set()

    server = StreamServer(("127.0.0.1", port), handle_and_tell)
    server.start()
    try:
        yield met
    finally:
        server.stop()


def _free_port():
    with contextlib.closing(green_socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _flows(peers: Peers, device, puller):
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    with within("a message to get through", 20):
        while not puller.socket.readable:
            pusher.send(b"x")
            gevent.sleep(0.01)
    assert puller.recv() == [b"x"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("handle", [_http, _garbage, _nothing, _half_a_greeting])
def test_messages_flow_when_the_peer_takes_the_place_of_a_program_that_speaks_no_zmtp(run, peers: Peers, handle, host):
    port = _free_port()
    with _at(port, handle) as met:
        device = run(Streamer(frontend=LOCAL, backend=f">tcp://{host}:{port}"))
        met.wait()
    _flows(peers, device, bind_again(peers, zmq.PULL, f"tcp://127.0.0.1:{port}"))


@pytest.mark.parametrize("immediate", [False, True])
def test_messages_flow_after_a_socket_of_a_wrong_type(run, peers: Peers, immediate, caplog):
    wrong = peers.bind(zmq.PUB)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">" + wrong.endpoint, immediate=immediate))
        eventually(lambda: GIVEN_UP in caplog.text, "the endpoint to be given up")
    assert f"{GIVEN_UP} device=streamer socket=backend endpoint={wrong.endpoint} " in caplog.text
    assert ZMTP or 'queued="lost, uncounted"' in caplog.text
    failures = device.peers()["backend"].handshake_failures
    assert sum(failures.values()) >= 1
    wrong.close()
    _flows(peers, device, bind_again(peers, zmq.PULL, wrong.endpoint))


def test_messages_flow_after_a_peer_with_curve(run, peers: Peers, caplog):
    _, secret = zmq.curve_keypair()
    wrong = peers.bind(zmq.PULL, curve_server=1, curve_secretkey=secret)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">" + wrong.endpoint))
        eventually(lambda: "handshake-failed" in caplog.text, "the handshake to fail")
    wrong.close()
    _flows(peers, device, bind_again(peers, zmq.PULL, wrong.endpoint))


def test_requests_flow_after_a_worker_of_a_wrong_type(run, peers: Peers, caplog):
    wrong = peers.bind(zmq.PULL)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Queue(frontend=LOCAL, backend=">" + wrong.endpoint))
        eventually(lambda: GIVEN_UP in caplog.text, "the endpoint to be given up")
    wrong.close()
    worker = bind_again(peers, zmq.REP, wrong.endpoint)
    worker.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    client.send(b"request")
    assert worker.recv() == [b"request"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_part_that_is_too_large_is_not_the_end_of_a_connecting_endpoint(run, peers: Peers, host):
    publisher = peers.bind(zmq.XPUB)
    device = run(
        Relay(sub=f">tcp://{host}:{publisher.endpoint.rpartition(':')[2]}", pub=LOCAL, max_message_size_bytes=2048)
    )
    assert publisher.recv() == [b"\x01"]
    publisher.send(bytes(4000))
    assert publisher.recv() == [b"\x00"]
    # It has connected again.
    assert publisher.recv() == [b"\x01"]
    publisher.send(b"small")
    eventually(lambda: device.snapshot().pumps[0].received, "a message to come in")


def test_the_other_endpoints_of_a_socket_keep_their_connections(run, peers: Peers, caplog):
    right, wrong = peers.bind(zmq.PULL), peers.bind(zmq.PUB)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=[">" + right.endpoint, ">" + wrong.endpoint]))
        for _ in range(2):
            eventually(lambda: GIVEN_UP in caplog.text, "the endpoint to be given up")
            caplog.clear()
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"x")
    wrong.close()
    assert right.connections == 1
    _flows(peers, device, bind_again(peers, zmq.PULL, wrong.endpoint))
    assert not right.saw(zmq.EVENT_DISCONNECTED)


def test_an_endpoint_stays_given_up_where_the_user_wants_it(run, peers: Peers, caplog):
    wrong = peers.bind(zmq.PUB)
    options = {"backend": {zmq.RECONNECT_STOP: 2}}
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">" + wrong.endpoint, socket_options=options))
        eventually(lambda: "handshake-failed" in caplog.text, "the handshake to fail")
    assert device._assembly.sockets._sockets["backend"]._reconnector._greenlet is None


def test_a_stop_while_an_endpoint_waits_to_be_connected_is_clean(run, peers: Peers, caplog):
    wrong = peers.bind(zmq.PUB)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">" + wrong.endpoint))
        eventually(lambda: GIVEN_UP in caplog.text, "the endpoint to be given up")
        device.stop()
        device.start()
        caplog.clear()
        eventually(lambda: GIVEN_UP in caplog.text, "the endpoint to be given up again")
    if not ZMTP:
        gevent.killall([device._assembly.sockets._sockets["backend"]._reconnector._greenlet])
    wrong.close()
    _flows(peers, device, bind_again(peers, zmq.PULL, wrong.endpoint))


def test_a_stop_in_the_moment_when_a_peer_goes_ends(run, peers: Peers):
    with contextlib.closing(green_socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        device = run(Streamer(frontend=LOCAL, backend=f">tcp://127.0.0.1:{listening.getsockname()[1]}"))
        connection, _ = listening.accept()
        with contextlib.closing(connection):
            shake_hands(connection, b"PULL")
            peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"x")
            assert connection.recv(3) == b"\0\1x"
        with within("the stop"):
            device.stop()
