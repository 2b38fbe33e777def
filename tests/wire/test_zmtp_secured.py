"""Our PLAIN and CURVE against libzmq's, each as client and as server, over TCP."""

from __future__ import annotations

import socket

import gevent
import pytest
import zmq
from gevent import socket as green_socket
from support.secured import (
    CLIENT_KEY,
    CLIENT_SECRET,
    SERVER_KEY,
    SERVER_SECRET,
    curve_client,
    curve_server,
    plain_client,
    plain_server,
)

from geventrelay.testing import Peers, within
from geventrelay.zmtp import sodium
from geventrelay.zmtp.connection import Connection
from geventrelay.zmtp.errors import Fault, ProtocolError
from geventrelay.zmtp.events import Cancel, Credentials, Message, Ping, Ready, Subscribe

MESSAGES = [[b"one"], [b"", b"", b"x"], [b"x" * 255], [b"x" * 256], [bytes(range(255, -1, -1)) * 300, b""]]
OURS = {"PLAIN": (plain_client, plain_server), "CURVE": (curve_client, curve_server)}
THEIRS = {
    "PLAIN": ({"plain_username": b"user", "plain_password": b"secret"}, {"plain_server": 1}),
    "CURVE": (
        {"curve_publickey": CLIENT_KEY, "curve_secretkey": CLIENT_SECRET, "curve_serverkey": SERVER_KEY},
        {"curve_server": 1, "curve_secretkey": SERVER_SECRET},
    ),
}
BOTH = pytest.mark.parametrize("name", OURS)


class End:
    """Our end of a connection to a socket of libzmq; it lets everybody in."""

    def __init__(self, stream, connection: Connection) -> None:
        self.stream, self.connection = stream, connection
        self.shown: Credentials | None = None
        self.listener = None
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def flush(self) -> None:
        self.stream.sendall(self.connection.to_send())

    def event(self, deny: int = 0):
        """The next event but the credentials; None if the other end has ended the connection. Yields."""
        with within("an event"):
            while True:
                event = self.connection.next_event()
                self.flush()
                if isinstance(event, Credentials):
                    self.shown = event
                    if deny:
                        self.connection.deny(deny)
                        self.flush()
                        self.stream.close()
                        return None
                    self.connection.allow()
                elif event is not None:
                    return event
                elif data := self.stream.recv(65536):
                    self.connection.receive(data)
                else:
                    return None

    def send(self, *parts: bytes) -> None:
        self.connection.send(parts)
        self.flush()


@pytest.fixture
def zap(peers: Peers):
    """Answers libzmq's questions who may come in, with the status that `zap.status` has."""

    class Zap:
        status = b"200"
        asked = 0

    def answer():
        while True:
            _, request, *_ = handler.recv_multipart()
            Zap.asked += 1
            handler.send_multipart([b"1.0", request, Zap.status, b"", b"someone", b""])

    handler = peers.context.socket(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    greenlet = gevent.spawn(answer)
    yield Zap
    greenlet.kill()
    handler.close(linger=0)


@pytest.fixture
def streams():
    found = []
    yield found
    for one in found:
        one.close()


@pytest.fixture
def connect(peers: Peers, streams):
    """Our end as the client of a socket of libzmq."""

    def connect(name, mine, theirs, end=None, **options):
        other = peers.bind(getattr(zmq, theirs), "tcp://127.0.0.1:0", **THEIRS[name][1], **options)
        host, _, port = other.endpoint.removeprefix("tcp://").rpartition(":")
        streams.append(green_socket.create_connection((host, int(port))))
        return End(streams[-1], end or OURS[name][0](mine)), other

    return connect


@pytest.fixture
def accept(peers: Peers, streams):
    """Our end as the server of a socket of libzmq."""

    def accept(name, mine, theirs, **options):
        listener = green_socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        streams.append(listener)
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        other = peers.connect(getattr(zmq, theirs), endpoint, wait=False, **{**THEIRS[name][0], **options})
        with within("a connection"):
            stream, _ = listener.accept()
        streams.append(stream)
        end = End(stream, OURS[name][1](mine))
        end.listener = listener
        return end, other

    return accept


@BOTH
def test_our_client_and_libzmqs_server_exchange_messages_of_all_shapes(name, connect, zap):
    end, other = connect(name, "DEALER", "DEALER")
    assert isinstance(end.event(), Ready)
    for parts in MESSAGES:
        end.send(*parts)
        other.send(*parts)
    assert [other.recv() for _ in MESSAGES] == MESSAGES
    assert [end.event() for _ in MESSAGES] == [Message(tuple(parts)) for parts in MESSAGES]
    assert zap.asked == 1


@BOTH
def test_our_server_and_libzmqs_client_exchange_messages_of_all_shapes(name, accept):
    end, other = accept(name, "DEALER", "DEALER")
    assert isinstance(end.event(), Ready)
    shown = {"PLAIN": Credentials("PLAIN", b"user", b"secret"), "CURVE": Credentials("CURVE", public_key=CLIENT_KEY)}
    assert end.shown == shown[name]
    for parts in MESSAGES:
        end.send(*parts)
        other.send(*parts)
    assert [other.recv() for _ in MESSAGES] == MESSAGES
    assert [end.event() for _ in MESSAGES] == [Message(tuple(parts)) for parts in MESSAGES]


@BOTH
def test_libzmqs_subscriptions_arrive_at_our_server_and_messages_at_its_subscriber(name, accept):
    end, other = accept(name, "XPUB", "SUB", subscribe=b"a")
    assert isinstance(end.event(), Ready)
    assert end.event() == Subscribe(b"a")
    end.send(b"ab", b"body")
    assert other.recv() == [b"ab", b"body"]
    other.socket.unsubscribe(b"a")
    assert end.event() == Cancel(b"a")


@BOTH
def test_our_subscriptions_arrive_at_libzmqs_server(name, connect, zap):
    end, other = connect(name, "SUB", "XPUB")
    assert isinstance(end.event(), Ready)
    end.connection.subscribe(b"a")
    end.flush()
    assert other.recv() == [b"\1a"]
    other.send(b"ab")
    assert end.event() == Message((b"ab",))
    end.connection.cancel(b"a")
    end.flush()
    assert other.recv() == [b"\0a"]


@BOTH
def test_libzmqs_signs_of_life_are_understood_and_answered(name, accept):
    end, other = accept(name, "PULL", "PUSH", heartbeat_ivl=20, heartbeat_timeout=10_000)
    assert isinstance(end.event(), Ready)
    assert [type(end.event()) for _ in range(3)] == [Ping] * 3
    other.send(b"still here")
    while isinstance(found := end.event(), Ping):
        pass
    assert found == Message((b"still here",))


@pytest.mark.parametrize(
    ("name", "event"),
    # libzmq does not know ERROR of PLAIN, and ends the connection for good for that.
    [("CURVE", zmq.Event.HANDSHAKE_FAILED_AUTH), ("PLAIN", zmq.Event.HANDSHAKE_FAILED_PROTOCOL)],
)
def test_libzmqs_client_takes_400_for_a_no(name, event, accept):
    end, other = accept(name, "PULL", "PUSH")
    assert end.event(deny=400) is None
    other.wait_for(event)
    assert not other.connections


@BOTH
def test_libzmqs_client_tries_again_after_300(name, accept):
    end, _ = accept(name, "PULL", "PUSH", reconnect_ivl=10)
    assert end.event(deny=300) is None
    with within("another connection"):
        end.listener.accept()[0].close()


@BOTH
def test_libzmqs_400_is_told(name, connect, zap):
    zap.status = b"400"
    end, _ = connect(name, "PUSH", "PULL")
    with pytest.raises(ProtocolError, match=r"^the other end has refused: '400'$") as raised:
        end.event()
    assert raised.value.fault is Fault.REFUSED


@BOTH
def test_libzmqs_300_ends_the_connection_without_a_word(name, connect, zap):
    zap.status = b"300"
    # It waits until then.
    end, _ = connect(name, "PUSH", "PULL", handshake_ivl=100)
    assert end.event() is None


def test_libzmqs_server_lets_none_in_who_has_another_key_of_it(connect, zap):
    end, other = connect("CURVE", "PUSH", "PULL", curve_client(server=sodium.new_pair()[0]))
    assert end.event() is None
    assert (other.connections, zap.asked) == (0, 0)


def test_our_server_lets_none_in_who_has_another_key_of_it(accept):
    end, _ = accept("CURVE", "PULL", "PUSH", curve_serverkey=sodium.new_pair()[0])
    with pytest.raises(ProtocolError) as raised:
        end.event()
    assert raised.value.fault is Fault.FORGED
