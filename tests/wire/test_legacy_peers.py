"""--legacy-peers: ZMTP 1.0 and 2.0, byte by byte, whoever connects and whoever sends."""

from __future__ import annotations

import contextlib

import gevent
import pytest
import zmq
from gevent import socket as green_socket
from support.traffic import pump

from geventrelay import Device, Drop, Forwarder, Queue, Relay, SettingsError, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within

SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
TYPES = {"PUB": 1, "SUB": 2, "REQ": 3, "DEALER": 5, "PULL": 7, "PUSH": 8}


class Legacy:
    """A raw peer; `version` is 1 or 2, `kind` its type by name."""

    def __init__(self, connection, version, kind):
        self._connection, self._version = connection, version
        self._received = b""
        # ZMTP 1.0 begins with the identity, an empty frame. What libzmq says first is one too, to such a peer.
        hello = b"\x01\x00" if version == 1 else SIGNATURE + bytes([1, TYPES[kind]]) + b"\x00\x00"
        connection.sendall(hello)
        self._expect(SIGNATURE)
        if version == 2:
            self._take(2)
            assert self._take(2) == b"\x00\x00", "an empty identity"

    def send(self, *parts):
        for index, part in enumerate(parts):
            more = index + 1 < len(parts)
            head = [len(part) + 1, more] if self._version == 1 else [more, len(part)]
            self._connection.sendall(bytes(head) + part)

    def recv(self):
        parts, more = [], True
        while more:
            first, second = self._take(2)
            more, size = (second, first - 1) if self._version == 1 else (first, second)
            parts.append(self._take(size))
        return parts

    def close(self):
        self._connection.close()

    def _expect(self, what):
        assert self._take(len(what)) == what

    def _take(self, size):
        with within(f"{size} bytes"):
            while len(self._received) < size:
                more = self._connection.recv(1000)
                assert more, "the device has ended the connection"
                self._received += more
        taken, self._received = self._received[:size], self._received[size:]
        return taken


def address(endpoint):
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


@pytest.fixture
def connected():
    """``connected(endpoint, version, kind)``: a peer that connects to a device."""
    with contextlib.ExitStack() as stack:
        yield lambda endpoint, version, kind: Legacy(
            stack.enter_context(green_socket.create_connection(address(endpoint))), version, kind
        )


@pytest.fixture
def listener():
    with green_socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def accepted(listener, version, kind):
    with within("the connection of the device"):
        connection, _ = listener.accept()
    return Legacy(connection, version, kind)


@pytest.fixture(params=["libzmq", "native", "python"])
def serve(request, run, monkeypatch):
    """Starts a device with one engine, or one core of engine zmtp."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    return lambda settings: run(settings, engine="libzmq" if request.param == "libzmq" else "zmtp")


VERSIONS = pytest.mark.parametrize("version", [1, 2])
MESSAGES = [[b"one"], [b"two", b"", b"parts"], [b""]]


@VERSIONS
def test_one_that_connects_and_sends(serve, peers: Peers, connected, version):
    device = serve(Streamer(frontend=LOCAL, backend=LOCAL, legacy_peers=True))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    peer = connected(device.endpoints["frontend"][0], version, "PUSH")
    for message in MESSAGES:
        peer.send(*message)
    assert puller.recv_all(3) == MESSAGES


@VERSIONS
def test_one_that_connects_and_receives(serve, peers: Peers, connected, version):
    device = serve(Streamer(frontend=LOCAL, backend=LOCAL, legacy_peers=True))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    peer = connected(device.endpoints["backend"][0], version, "PULL")
    for message in MESSAGES:
        pusher.send(*message)
    assert [peer.recv() for _ in MESSAGES] == MESSAGES


@VERSIONS
def test_one_that_is_connected_to_and_sends(serve, peers: Peers, listener, version):
    host, port = listener.getsockname()
    device = serve(Streamer(frontend=f">{host}:{port}", backend=LOCAL, legacy_peers=True))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    peer = accepted(listener, version, "PUSH")
    for message in MESSAGES:
        peer.send(*message)
    assert puller.recv_all(3) == MESSAGES
    device.stop()
    peer.close()


@VERSIONS
def test_one_that_is_connected_to_and_receives(serve, peers: Peers, listener, version):
    host, port = listener.getsockname()
    device = serve(Streamer(frontend=LOCAL, backend=f">{host}:{port}", legacy_peers=True))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    peer = accepted(listener, version, "PULL")
    for message in MESSAGES:
        pusher.send(*message)
    assert [peer.recv() for _ in MESSAGES] == MESSAGES
    device.stop()
    peer.close()


@VERSIONS
def test_requests_come_back(serve, peers: Peers, connected, version):
    device = serve(Queue(frontend=LOCAL, backend=LOCAL, legacy_peers=True))
    worker = connected(device.endpoints["backend"][0], version, "DEALER")
    client = connected(device.endpoints["frontend"][0], version, "REQ")
    client.send(b"", b"hello")
    request = worker.recv()
    assert request[1:] == [b"", b"hello"]
    worker.send(*request[:2], b"world")
    assert client.recv() == [b"", b"world"]


@pytest.mark.parametrize(("version", "gets"), [(1, [b"all", b"news"]), (2, [b"news"])])
def test_one_that_subscribes(serve, peers: Peers, connected, version, gets):
    device = serve(Forwarder(frontend=LOCAL, backend=LOCAL, legacy_peers=True))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = connected(device.endpoints["backend"][0], version, "SUB")
    if version == 2:
        subscriber.send(b"\x01news")
    # libzmq subscribes one of ZMTP 1.0 to everything, for it says nothing of its subscriptions.
    assert publisher.recv() == [b"\x01" if version == 1 else b"\x01news"]
    for topic in (b"all", b"news"):
        publisher.send(topic)
    assert [subscriber.recv() for _ in gets] == [[one] for one in gets]


@VERSIONS
def test_one_that_publishes(serve, peers: Peers, connected, version):
    device = serve(Relay(sub=LOCAL, pub=LOCAL, legacy_peers=True))
    subscriber = peers.subscriber(*device.endpoints["pub"], prefix=b"news")
    publisher = connected(device.endpoints["sub"][0], version, "PUB")

    def has_come():
        publisher.send(b"news", b"today")
        gevent.sleep(0.001)
        return subscriber.recv_now()

    assert eventually(has_come, "a message")[0] == [b"news", b"today"]


@VERSIONS
@pytest.mark.parametrize("how", ["device", "socket"])
def test_one_is_let_in_at_the_sockets_that_say_so(serve, peers: Peers, connected, version, how):
    """The other way round: a socket that says no is closed where the device says yes."""
    options = {"frontend": {zmq.ZAP_DOMAIN: how == "socket"}}
    device = serve(Streamer(frontend=LOCAL, backend=LOCAL, legacy_peers=how == "device", socket_options=options))
    opened, closed = ("frontend", "backend") if how == "socket" else ("backend", "frontend")
    connected(device.endpoints[opened][0], version, "PUSH" if opened == "frontend" else "PULL")
    with pytest.raises((AssertionError, ConnectionError), match=r"ended the connection|reset|empty identity"):
        connected(device.endpoints[closed][0], version, "PULL" if closed == "backend" else "PUSH").recv()


def test_control_and_tap_are_not_opened_by_the_option_of_the_device(run, connected):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, control=LOCAL, tap=LOCAL, legacy_peers=True))
    for key in ("control", "tap"):
        with pytest.raises((AssertionError, ConnectionError), match=r"ended the connection|reset"):
            connected(device.endpoints[key][0], 2, "SUB").recv()


@VERSIONS
@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_the_first_that_is_refused_at_a_socket_is_told_of_the_option(connected, caplog, engine, version):
    with Device(Streamer(frontend=LOCAL, backend=LOCAL, engine=engine), watch_peers=True) as device:
        for count in (1, 2):
            with contextlib.suppress(AssertionError, ConnectionError):
                connected(device.endpoints["frontend"][0], version, "PUSH").recv()
            eventually(
                lambda count=count: device.peers()["frontend"].handshake_failures == {"not_zmtp3": count}, "the refusal"
            )
        eventually(lambda: caplog.text.count("reason=not_zmtp3") == 2, "the lines")
    assert caplog.text.count("--legacy-peers") == 1


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_one_that_leaves_is_no_failed_handshake(connected, caplog, engine):
    with Device(Streamer(frontend=LOCAL, backend=LOCAL, legacy_peers=True, engine=engine), watch_peers=True) as device:
        peer = connected(device.endpoints["frontend"][0], 2, "PUSH")
        eventually(lambda: len(device.peers()["frontend"].peers) == 1, "the peer")
        assert device.peers()["frontend"].certain == (engine == "zmtp")
        peer.close()
        eventually(lambda: not device.peers()["frontend"].peers, "its end")
        assert device.peers()["frontend"].handshake_failures == {}
    assert "handshake-failed" not in caplog.text


@pytest.mark.parametrize(("engine", "reason"), [("libzmq", Drop.NOT_READY), ("zmtp", Drop.NO_PEER)])
def test_what_is_dropped_counts_as_not_ready_where_peers_are_not_certain(run, peers: Peers, engine, reason):
    device = run(Relay(sub=LOCAL, push=LOCAL, legacy_peers=True, engine=engine))
    publisher = peers.publisher(*device.endpoints["sub"])

    def is_dropped():
        publisher.send(b"a b")
        gevent.sleep(0.001)
        return pump(device, "sub").outlets[0].dropped

    assert set(eventually(is_dropped, "a drop")) == {reason}


def test_curve_and_legacy_peers_exclude_each_other():
    _, secret = zmq.curve_keypair()
    options = {zmq.ZAP_DOMAIN: True, zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: secret}
    with pytest.raises(SettingsError, match="legacy_peers: expected no curve-server beside it"):
        Streamer(frontend=LOCAL, backend=LOCAL, socket_options={"frontend": options})
