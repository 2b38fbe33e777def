"""How many peers a socket has, how long a handshake and how large a part may be: the same with both engines."""

from __future__ import annotations

import contextlib
import socket

import pytest
import zmq
from gevent import socket as green_socket
from support.engines import connections_of
from support.strangers import MORE, frame, greet, stranger

from geventrelay import Device, Queue, Relay, Streamer
from geventrelay.components.peer_bounds import handshake_time, largest_part
from geventrelay.components.plan import SocketPlan
from geventrelay.engine import connections
from geventrelay.engine.peerlimit import HandshakeTime
from geventrelay.settings import DeviceSettings
from geventrelay.testing import LOCAL, Peers, connected, eventually, within

ENDS = {"frontend": LOCAL, "backend": LOCAL}
DEFAULT = 64 * 1024 * 1024


@pytest.fixture(params=["libzmq", "zmtp"])
def engine(request):
    return request.param


@pytest.fixture
def watched(engine):
    """Starts a device whose peers are followed, as a server does."""
    with contextlib.ExitStack() as stack:

        def start(settings: DeviceSettings) -> Device:
            device = Device(settings, watch_peers=True)
            device.start()
            stack.callback(device.stop, 0)
            return device

        yield lambda cls, **settings: start(cls(engine=engine, **settings))


def failures(device, key="frontend"):
    return device.peers()[key].handshake_failures


def is_served(device, peers: Peers):
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    connected(source, sink)
    source.send(b"fine")
    return sink.recv() == [b"fine"]


def ended(connection):
    """Yields until the other end has ended a connection."""
    with within("its end"), contextlib.suppress(OSError):
        while connection.recv(1000):
            pass
    return True


def test_a_socket_lets_in_so_many_and_another_once_one_has_gone(watched, peers: Peers, caplog):
    device = watched(Streamer, **ENDS, max_peers=2)
    address = device.endpoints["frontend"][0]
    # One within its handshake counts too.
    with stranger(address, b"PUSH"), stranger(address) as second:
        greet(second)
        # The end may come before connect() returns.
        with contextlib.suppress(OSError), stranger(address) as third:
            assert ended(third)
        eventually(lambda: failures(device) == {"too_many_peers": 1}, "the count")
        eventually(lambda: "reason=too_many_peers option=max-peers" in caplog.text, "the log")
    eventually(lambda: connections_of(device, "frontend") == 0, "the places of those two")
    assert is_served(device, peers)


def test_the_other_sockets_have_places_of_their_own(watched, peers: Peers):
    device = watched(Streamer, **ENDS, max_peers=1)
    assert is_served(device, peers)
    assert failures(device) == {}


def test_what_a_device_connects_to_takes_no_place(watched, peers: Peers):
    sender = peers.bind(zmq.PUSH)
    device = watched(Streamer, frontend=[f">{sender.endpoint}", LOCAL], backend=LOCAL, max_peers=1)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    other = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    connected(sender, other, sink)
    for one in (sender, other):
        one.send(b"fine")
        assert sink.recv() == [b"fine"]


def test_an_address_has_so_many_connections_where_it_is_not_loopback(watched, peers: Peers, caplog, monkeypatch):
    real, far = connections.address, "192.0.2.1:5"
    monkeypatch.setattr(connections, "address", lambda descriptor: far)
    device = watched(Streamer, **ENDS, max_connections_per_address=1)
    address = device.endpoints["frontend"][0]
    with stranger(address, b"PUSH"):
        with contextlib.suppress(OSError), stranger(address) as second:
            assert ended(second)
        eventually(lambda: failures(device) == {"too_many_connections": 1}, "the count")
        eventually(lambda: "option=max-connections-per-address" in caplog.text, "the log")
        monkeypatch.setattr(connections, "address", real)
        assert is_served(device, peers)


@pytest.mark.parametrize("says", [False, True], ids=["nothing", "a greeting"])
def test_a_handshake_has_its_time(watched, peers: Peers, caplog, says):
    device = watched(Streamer, **ENDS, handshake_timeout_s=1.0)
    with stranger(device.endpoints["frontend"][0]) as one:
        if says:
            greet(one)
        assert is_served(device, peers)
        assert ended(one)
    eventually(lambda: failures(device) == {"too_slow": 1}, "the count")
    eventually(lambda: "reason=too_slow option=handshake-timeout" in caplog.text, "the log")


def test_the_option_of_a_socket_wins(watched, caplog):
    device = watched(Streamer, **ENDS, handshake_timeout_s=600, socket_options={"frontend": {zmq.HANDSHAKE_IVL: 500}})
    with stranger(device.endpoints["frontend"][0]) as one:
        assert ended(one)
    eventually(lambda: failures(device) == {"too_slow": 1}, "the count")
    eventually(lambda: "option=handshake-ivl" in caplog.text, "the log")


def test_a_device_connects_again_to_what_says_nothing(watched, peers: Peers):
    """A handshake of its own that is too slow is tried again, and the device gets what comes then."""
    listener = green_socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    device = watched(Streamer, frontend=f">{endpoint}", backend=LOCAL, handshake_timeout_s=0.2)
    with within("two tries"):
        for _ in range(2):
            connection, _ = listener.accept()
            assert ended(connection)
            connection.close()
    listener.close()
    sender = peers.bind(zmq.PUSH, endpoint)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    connected(sender, sink)
    sender.send(b"fine")
    assert sink.recv() == [b"fine"]


def test_a_larger_part_ends_its_sender_by_default(watched, peers: Peers):
    device = watched(Streamer, **ENDS)
    with stranger(device.endpoints["frontend"][0], b"PUSH") as bad:
        bad.sendall(frame(b"half", MORE) + b"\2" + (DEFAULT + 1).to_bytes(8, "big"))
        assert ended(bad)
    assert is_served(device, peers)
    eventually(lambda: device.peers()["frontend"].disconnected_total >= 1, "its end")


def test_these_are_the_defaults():
    for cls, kind, key in ((Streamer, zmq.PULL, "frontend"), (Queue, zmq.ROUTER, "frontend")):
        settings = cls(frontend=["tcp://*:1", ">tcp://a:1"], backend=LOCAL)
        bound, connecting = settings.frontend
        plan = SocketPlan(key, kind, settings.frontend)
        assert (largest_part(plan, settings, bound), largest_part(plan, settings, connecting)) == (DEFAULT, -1)
        assert handshake_time(plan, settings) == HandshakeTime(10.0, "handshake-timeout")


@pytest.mark.parametrize(("given", "bound", "connecting"), [(0, -1, -1), (2000, 2000, 2000)])
def test_a_size_that_is_given_holds_for_both(given, bound, connecting):
    settings = Relay(sub=["tcp://*:1", ">tcp://a:1"], pub=LOCAL, max_message_size_bytes=given)
    plan = SocketPlan("sub", zmq.SUB, settings.sub)
    assert tuple(largest_part(plan, settings, one) for one in settings.sub) == (bound, connecting)


def test_through_a_proxy_a_handshake_has_the_time_that_libzmq_gives_it():
    own = {"frontend": {zmq.SOCKS_PROXY: b"127.0.0.1:1"}}
    settings = Streamer(frontend=">tcp://a:1", backend=LOCAL, socket_options=own)
    assert handshake_time(SocketPlan("frontend", zmq.PULL, settings.frontend), settings).longest_s == 30
