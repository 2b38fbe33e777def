"""Connections through a SOCKS proxy, which may be down, silent, or no proxy at all."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import tempfile

import gevent
import pytest
import zmq
from gevent import socket as green_socket
from gevent.server import StreamServer
from support.traffic import pump

from geventrelay import Device, Forwarder, Queue, Streamer
from geventrelay.components.socks import Proxy
from geventrelay.components.tunnels import Tunnels
from geventrelay.endpoints import Endpoint
from geventrelay.testing import LOCAL, Peers, eventually, within


class SocksProxy:
    """A SOCKS 5 proxy on a port; it connects to 127.0.0.1 whatever the name, and notes which hosts were asked for."""

    def __init__(self, port=0, *, user=None) -> None:
        self.asked: list[bytes] = []
        self._user = user
        self._handling: set[gevent.Greenlet] = set()
        self._server = StreamServer(("127.0.0.1", port), self._handle)
        self._server.start()
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.stop(0)
        gevent.killall(list(self._handling))

    def _handle(self, connection, _) -> None:
        self._handling.add(gevent.getcurrent())
        # The other end may be gone at any moment.
        with contextlib.suppress(OSError, IndexError), connection.makefile("rb") as file:
            self._speak(connection, file.read)
        self._handling.discard(gevent.getcurrent())

    def _speak(self, connection, read) -> None:
        _, count = tuple(read(2)) or (0, 0)
        assert read(count) == bytes([0 if self._user is None else 2])
        connection.sendall(b"\x05\x00" if self._user is None else b"\x05\x02")
        if self._user is not None:
            read(1)
            words = [read(read(1)[0]) for _ in range(2)]
            connection.sendall(b"\x01\x00" if words == list(self._user) else b"\x01\x01")
        _, _, _, kind = read(4)
        self.asked.append(read({1: 4}.get(kind) or read(1)[0]))
        port = int.from_bytes(read(2), "big")
        try:
            other = green_socket.create_connection(("127.0.0.1", port))
        except OSError:
            connection.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        with contextlib.closing(other):
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            ways = [gevent.spawn(_copy, *way) for way in ((connection, other), (other, connection))]
            try:
                gevent.joinall(ways, count=1)
            finally:
                gevent.killall(ways)


def _copy(source, destination) -> None:
    with contextlib.suppress(OSError):
        while some := source.recv(65536):
            destination.sendall(some)


@pytest.fixture
def proxy():
    """``proxy(...)`` makes a proxy, which is closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(*arguments, **options):
            made = SocksProxy(*arguments, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture(autouse=True)
def _no_folder_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert os.listdir(tmp_path) == []


def through(port):
    return {"backend": {zmq.SOCKS_PROXY: f"127.0.0.1:{port}"}}


def _nobody() -> int:
    with contextlib.closing(green_socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _port(peer) -> str:
    return peer.endpoint.rpartition(":")[2]


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", b"\x7f\0\0\1"), ("only.the.proxy", b"only.the.proxy")])
def test_messages_go_through_the_proxy_which_resolves_the_name(run, peers: Peers, proxy, host, asked, tmp_path):
    between, worker = proxy(), peers.bind(zmq.PULL)
    device = run(
        Streamer(frontend=LOCAL, backend=f">tcp://{host}:{_port(worker)}", socket_options=through(between.port))
    )
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for number in range(500):
        pusher.send(b"%d" % number, bytes(5000))
    assert [int(message[0]) for message in worker.recv_all(500)] == list(range(500))
    assert between.asked == [asked]
    assert {os.stat(one).st_mode & 0o777 for one in glob.glob(str(tmp_path / "*"))} == {0o700}


def test_username_and_password_are_for_the_proxy(run, peers: Peers, proxy, caplog):
    between, worker = proxy(user=(b"me", b"secret")), peers.bind(zmq.REP)
    options = through(between.port)
    options["backend"].update({zmq.SOCKS_USERNAME: "me", zmq.SOCKS_PASSWORD: "secret"})
    device = run(Queue(frontend=LOCAL, backend=">" + worker.endpoint, socket_options=options))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    client.send(b"request")
    assert worker.recv() == [b"request"]
    worker.send(b"reply")
    assert client.recv() == [b"reply"]
    options["backend"][zmq.SOCKS_PASSWORD] = "another"
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        run(Queue(frontend=LOCAL, backend=">" + worker.endpoint, socket_options=options))
        eventually(lambda: 'reason="wrong username or password"' in caplog.text, "the refusal")
    assert "another" not in caplog.text


def test_subscriptions_travel_through_the_proxy(run, peers: Peers, proxy):
    between, publisher = proxy(), peers.bind(zmq.XPUB)
    options = {"frontend": {zmq.SOCKS_PROXY: f"127.0.0.1:{between.port}"}}
    device = run(Forwarder(frontend=">" + publisher.endpoint, backend=LOCAL, socket_options=options))
    subscriber = peers.subscriber(*device.endpoints["backend"], prefix=b"topic")
    assert publisher.recv() == [b"\x01topic"]
    publisher.send(b"topic 1")
    assert subscriber.recv() == [b"topic 1"]


@pytest.mark.parametrize("rounds", range(3))
def test_a_device_whose_proxy_is_down_stops_as_any_other(run, peers: Peers, caplog, rounds):
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">tcp://127.0.0.1:1", socket_options=through(_nobody())))
        eventually(lambda: caplog.text.count("proxy-failed") > rounds, "some tries")
        device.stop()
    assert "proxy-failed device=streamer socket=backend endpoint=tcp://127.0.0.1:1 proxy=127.0.0.1:" in caplog.text


def _silent(connection, _) -> None:
    while connection.recv(10):
        pass


def _http(connection, _) -> None:
    connection.recv(10)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _closes(connection, _) -> None:
    connection.close()


@pytest.mark.parametrize("handle", [_silent, _http, _closes])
def test_a_device_whose_proxy_is_none_stops_as_any_other(run, peers: Peers, handle):
    met = gevent.event.Event()

    def tell(*arguments):
        met.set()
        handle(*arguments)

    server = StreamServer(("127.0.0.1", 0), tell)
    server.start()
    try:
        device = run(Streamer(frontend=LOCAL, backend=">tcp://127.0.0.1:1", socket_options=through(server.server_port)))
        met.wait()
        device.stop()
        device.start()
    finally:
        server.stop()


def test_a_connection_whose_greenlet_is_killed_before_it_begins_is_closed(tmp_path):
    class Killing(Tunnels):
        def _spawn(self, pool, run, *arguments):
            greenlet = super()._spawn(pool, run, *arguments)
            if run == self._connect:
                accepted.append(arguments[0])
                greenlet.kill(block=False)
            return greenlet

    accepted: list = []
    tunnels = Killing(Proxy("127.0.0.1", _nobody()), {})
    try:
        path = tunnels.open(Endpoint("tcp://127.0.0.1:1", binds=False)).removeprefix("ipc://")
        with contextlib.closing(green_socket.socket(green_socket.AF_UNIX)) as client:
            client.connect(path)
            with within("the connection to be closed"):
                assert client.recv(1) == b""
        assert accepted[0].fileno() == -1
    finally:
        tunnels.close()


def test_messages_flow_when_the_proxy_comes_goes_and_comes_back(run, peers: Peers, proxy):
    port, worker = _nobody(), peers.bind(zmq.PULL)
    device = run(Streamer(frontend=LOCAL, backend=">" + worker.endpoint, socket_options=through(port)))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"early")
    eventually(lambda: pump(device, "frontend").outlets[0].sent, "it to be queued")
    between = proxy(port)
    assert worker.recv() == [b"early"]
    between.close()
    worker.wait_for(zmq.EVENT_DISCONNECTED)
    proxy(port)
    worker.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    pusher.send(b"late")
    assert worker.recv() == [b"late"]


def test_messages_flow_when_the_peer_behind_the_proxy_comes_later(run, peers: Peers, proxy):
    between, port = proxy(), _nobody()
    device = run(Streamer(frontend=LOCAL, backend=f">tcp://127.0.0.1:{port}", socket_options=through(between.port)))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"early")
    eventually(lambda: between.asked, "the first try")
    assert peers.bind(zmq.PULL, f"tcp://127.0.0.1:{port}").recv() == [b"early"]


def test_what_lingers_goes_through_the_proxy_too(run, peers: Peers, proxy):
    between, worker = proxy(), peers.bind(zmq.PULL)
    device = run(
        Streamer(frontend=LOCAL, backend=">" + worker.endpoint, socket_options=through(between.port), linger_ms=20_000)
    )
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for number in range(300):
        pusher.send(b"%d" % number, bytes(20_000))
    eventually(lambda: pump(device, "frontend").outlets[0].sent == 300, "all to be queued")
    stopping = gevent.spawn(device.stop)
    assert [int(message[0]) for message in worker.recv_all(300)] == list(range(300))
    stopping.get()


def test_a_wrong_peer_behind_the_proxy_is_not_the_end(run, peers: Peers, proxy, caplog):
    between, wrong = proxy(), peers.bind(zmq.PUB)
    with caplog.at_level(logging.WARNING, logger="geventrelay"):
        device = run(Streamer(frontend=LOCAL, backend=">" + wrong.endpoint, socket_options=through(between.port)))
        eventually(lambda: len(between.asked) > 1, "another try")
        again = f"connecting-again device=streamer socket=backend endpoint={wrong.endpoint}"
        # libzmq may have made the second try by itself.
        eventually(lambda: again in caplog.text, "a try of ours")
    assert isinstance(device, Device)
