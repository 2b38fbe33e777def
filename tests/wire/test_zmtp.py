"""Our ZMTP against libzmq's: handshakes, messages, subscriptions and signs of life over TCP."""

from __future__ import annotations

import socket

import pytest
import zmq
from gevent import socket as green_socket

from geventrelay.testing import Peers, within
from geventrelay.zmtp.connection import Connection
from geventrelay.zmtp.errors import Fault, ProtocolError
from geventrelay.zmtp.events import Cancel, Message, Ping, Ready, Subscribe
from geventrelay.zmtp.greeting import Version
from geventrelay.zmtp.socket_types import FITTING

PAIRS = [(mine, theirs) for mine in FITTING for theirs in sorted(FITTING[mine])]
# No part begins with a byte that makes it a subscription.
MESSAGES = [[b"one"], [b"", b"", b"x"], [b"x" * 255], [b"x" * 256], [bytes(range(255, -1, -1)) * 300, b""]]


class End:
    """Our end of a TCP connection to a socket of libzmq."""

    def __init__(self, endpoint: str, socket_type: str, routing_id: bytes = b"", **options) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.connection = Connection(socket_type, routing_id, **options)
        self.stream = green_socket.create_connection((host, int(port)))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def flush(self) -> None:
        self.stream.sendall(self.connection.to_send())

    def event(self):
        """The next event. Yields."""
        with within("an event"):
            while (event := self.connection.next_event()) is None:
                self.flush()
                if not (data := self.stream.recv(65536)):
                    self.connection.end()
                    raise AssertionError("the other end has ended the connection")
                self.connection.receive(data)
        self.flush()
        return event

    def send(self, *parts: bytes) -> None:
        self.connection.send(parts)
        self.flush()


@pytest.fixture
def connect():
    ends = []

    def connect(endpoint, socket_type, *args, **options):
        ends.append(End(endpoint, socket_type, *args, **options))
        return ends[-1]

    yield connect
    for end in ends:
        end.stream.close()


@pytest.fixture
def bound(peers: Peers):
    def bound(socket_type, **options):
        one = peers.bind(getattr(zmq, socket_type), "tcp://127.0.0.1:0", **options)
        return one, one.endpoint

    return bound


@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
def test_every_type_shakes_hands_with_every_type_that_fits(connect, bound, mine, theirs):
    _, endpoint = bound(theirs)
    found = connect(endpoint, mine).event()
    assert isinstance(found, Ready)
    assert (found.peer.version, found.peer.socket_type) == (Version.V3_1, theirs)


@pytest.mark.parametrize(
    ("mine", "theirs"), [("PUSH", "PULL"), ("DEALER", "ROUTER"), ("PAIR", "PAIR"), ("XSUB", "XPUB")]
)
def test_messages_of_all_shapes_arrive_at_libzmq(connect, bound, mine, theirs):
    other, endpoint = bound(theirs)
    end = connect(endpoint, mine, b"me")
    assert isinstance(end.event(), Ready)
    for parts in MESSAGES:
        end.send(*parts)
    head = [b"me"] if theirs == "ROUTER" else []
    assert [other.recv() for _ in MESSAGES] == [head + parts for parts in MESSAGES]


@pytest.mark.parametrize(("mine", "theirs"), [("PULL", "PUSH"), ("DEALER", "DEALER"), ("PAIR", "PAIR"), ("REP", "REQ")])
def test_messages_of_all_shapes_arrive_from_libzmq(connect, bound, mine, theirs):
    other, endpoint = bound(theirs)
    end = connect(endpoint, mine)
    assert isinstance(end.event(), Ready)
    for parts in MESSAGES if theirs != "REQ" else MESSAGES[:1]:
        other.send(*parts)
        envelope = (b"",) if theirs == "REQ" else ()
        assert end.event() == Message(envelope + tuple(parts))


def test_a_request_finds_its_way_back_by_what_our_end_calls_itself(connect, bound):
    other, endpoint = bound("ROUTER")
    end = connect(endpoint, "REQ", b"client-7")
    assert isinstance(end.event(), Ready)
    end.send(b"", b"question")
    assert other.recv() == [b"client-7", b"", b"question"]
    other.send(b"client-7", b"", b"answer")
    assert end.event() == Message((b"", b"answer"))


def test_our_subscriptions_take_effect_at_libzmq(connect, bound):
    other, endpoint = bound("XPUB")
    end = connect(endpoint, "SUB")
    assert isinstance(end.event(), Ready)
    end.connection.subscribe(b"a")
    end.connection.subscribe(b"b")
    end.connection.cancel(b"a")
    end.flush()
    assert [other.recv() for _ in range(3)] == [[b"\1a"], [b"\1b"], [b"\0a"]]
    other.send(b"a1")
    other.send(b"b1", b"and more")
    assert end.event() == Message((b"b1", b"and more"))


@pytest.mark.parametrize("mine", ["PUB", "XPUB"])
def test_subscriptions_of_libzmq_arrive(connect, bound, mine):
    other, endpoint = bound("SUB")
    end = connect(endpoint, mine)
    assert isinstance(end.event(), Ready)
    other.socket.set(zmq.SUBSCRIBE, b"a")
    assert end.event() == Subscribe(b"a")
    other.socket.set(zmq.UNSUBSCRIBE, b"a")
    assert end.event() == Cancel(b"a")
    other.socket.set(zmq.SUBSCRIBE, b"")
    assert end.event() == Subscribe(b"")
    end.send(b"news")
    assert other.recv() == [b"news"]


def test_a_heartbeat_of_libzmq_is_answered(connect, bound):
    other, endpoint = bound("PULL", heartbeat_ivl=10, heartbeat_timeout=10_000, heartbeat_ttl=1000)
    end = connect(endpoint, "PUSH")
    assert isinstance(end.event(), Ready)
    assert [end.event() for _ in range(3)] == [Ping(10, b"")] * 3
    end.send(b"still there")
    assert other.recv() == [b"still there"]


def test_a_socket_of_another_type_and_one_with_another_mechanism_are_refused(connect, bound):
    with pytest.raises(ProtocolError, match=r"^socket type: expected PULL at a PUSH, got 'PUSH'$") as raised:
        connect(bound("PUSH")[1], "PUSH").event()
    assert raised.value.fault is Fault.WRONG_TYPE
    # libzmq has read our greeting, and ends the connection before it says which mechanism it has.
    with pytest.raises(ProtocolError, match=r"^the connection has ended within the greeting$") as raised:
        connect(bound("PULL", plain_server=True)[1], "PUSH").event()
    assert raised.value.fault is Fault.CUT


def test_where_legacy_peers_may_come_libzmq_is_met_as_what_it_is(connect, bound):
    other, endpoint = bound("PULL")
    end = connect(endpoint, "PUSH", legacy_peers=True)
    assert end.event().peer.version is Version.V3_1
    end.send(b"hello")
    assert other.recv() == [b"hello"]
