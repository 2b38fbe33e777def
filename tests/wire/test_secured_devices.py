"""CURVE and PLAIN on devices with engine zmtp, and who decides who may come in; with both cores, against libzmq."""

from __future__ import annotations

import contextlib
import threading

import gevent
import pytest
import zmq
from gevent import socket
from gevent.server import StreamServer
from support.engines import station

from geventrelay.access.keys import KeyPair, fingerprint, write_pair
from geventrelay.engine.grant import Grant
from geventrelay.settings import Forwarder, Queue, Streamer
from geventrelay.switch.door import MOST_CHECKS, Door, Doorkeeper, Entry, Refusal
from geventrelay.testing import Peers, eventually, within
from geventrelay.zmtp import sodium
from geventrelay.zmtp.curve import CurveServer
from geventrelay.zmtp.events import Credentials
from geventrelay.zmtp.mechanism import Null
from geventrelay.zmtp.plain import PlainServer

SERVER_KEY, SERVER_SECRET = sodium.new_pair()
CLIENT_KEY, CLIENT_SECRET = sodium.new_pair()
SERVER = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SERVER_SECRET}
CLIENT = {zmq.CURVE_PUBLICKEY: CLIENT_KEY, zmq.CURVE_SECRETKEY: CLIENT_SECRET, zmq.CURVE_SERVERKEY: SERVER_KEY}
PEER = {"curve_publickey": CLIENT_KEY, "curve_secretkey": CLIENT_SECRET, "curve_serverkey": SERVER_KEY}
LOCAL = "tcp://127.0.0.1:0"


def named(settings, **more):
    return settings(name="d", **{"frontend": LOCAL, "backend": LOCAL, **more})


@pytest.fixture
def guarded(either, monkeypatch):
    """Starts a streamer whose frontend has a door."""

    def guarded(door: Door, **options):
        made = iter([door])
        monkeypatch.setattr("geventrelay.components.terms.door_of", lambda options: next(made, Door()))
        return either(named(Streamer, **options))

    return guarded


def curve(properties):
    return CurveServer(properties, SERVER_SECRET)


def failures(device, reason: str) -> int:
    return device.peers()["frontend"].handshake_failures.get(reason, 0)


def test_a_device_is_a_server_of_curve_at_one_socket_and_a_client_at_the_other(either, peers: Peers):
    sink = peers.bind(zmq.PULL, curve_server=1, curve_secretkey=SERVER_SECRET)
    device = either(
        named(
            Streamer,
            backend=">" + sink.endpoint,
            socket_options={"frontend": SERVER, "backend": CLIENT},
            curve_clients="any",
        )
    )
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **PEER)
    messages = [[b"one"], [b"", b"x" * 300], [b"l" * 200_000, b"end"]]
    for parts in messages:
        source.send(*parts)
    assert sink.recv_all(3) == messages
    (found,) = device.peers()["frontend"].peers
    assert found.mechanism == "CURVE"


def test_subscriptions_and_messages_pass_a_forwarder_with_curve_to_each_subscriber(either, peers: Peers):
    device = either(named(Forwarder, socket_options={"frontend": SERVER, "backend": SERVER}, curve_clients="any"))
    subscribers = [peers.subscriber(*device.endpoints["backend"], prefix=b"a", **PEER) for _ in range(3)]
    publisher = peers.publisher(*device.endpoints["frontend"], **PEER)
    publisher.send(b"b", b"not wanted")
    publisher.send(b"a1", b"wanted")
    assert [one.recv() for one in subscribers] == [[b"a1", b"wanted"]] * 3


def test_requests_and_replies_pass_a_queue_with_curve(either, peers: Peers):
    device = either(named(Queue, socket_options={"frontend": SERVER, "backend": SERVER}, curve_clients="any"))
    worker = peers.connect(zmq.REP, *device.endpoints["backend"], **PEER)
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], **PEER)
    client.send(b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert client.recv() == [b"answer"]


def test_two_devices_talk_curve_to_each_other(either, peers: Peers):
    last = either(named(Streamer, socket_options={"frontend": SERVER}, curve_clients="any"))
    (endpoint,) = last.endpoints["frontend"]
    first = either(named(Streamer, backend=">" + endpoint, socket_options={"backend": CLIENT}))
    sink = peers.connect(zmq.PULL, *last.endpoints["backend"])
    source = peers.connect(zmq.PUSH, *first.endpoints["frontend"])
    source.send(b"through both")
    assert sink.recv() == [b"through both"]


def test_a_client_with_another_key_of_the_server_does_not_get_in(either, peers: Peers):
    device = either(named(Streamer, socket_options={"frontend": SERVER}, curve_clients="any"))
    wrong = {**PEER, "curve_serverkey": sodium.new_pair()[0]}
    stranger = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **wrong)
    eventually(lambda: failures(device, "zmtp_cryptographic"), "the handshake to fail")
    assert not stranger.connections


def test_a_client_without_curve_does_not_get_in(either, peers: Peers):
    device = either(named(Streamer, socket_options={"frontend": SERVER}, curve_clients="any"))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False)
    # One of the two ends the connection first.
    eventually(lambda: device.peers()["frontend"].handshake_failures, "the handshake to fail")
    assert not device.peers()["frontend"].peers


def test_a_client_of_plain_says_its_password(either, peers: Peers):
    found = []

    def answer():
        while True:
            _, request, _, _, _, _, *credentials = handler.recv_multipart()
            found.append(credentials)
            handler.send_multipart([b"1.0", request, b"200", b"", b"user", b""])

    handler = peers.context.socket(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    greenlet = gevent.spawn(answer)
    try:
        sink = peers.bind(zmq.PULL, plain_server=1)
        options = {zmq.PLAIN_USERNAME: b"user", zmq.PLAIN_PASSWORD: b"secret"}
        device = either(named(Streamer, backend=">" + sink.endpoint, socket_options={"backend": options}))
        peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"in")
        assert sink.recv() == [b"in"]
    finally:
        greenlet.kill()
        handler.close(linger=0)
    assert found == [[b"user", b"secret"]]


# Who decides


def test_who_may_come_in_is_asked_with_the_key_and_the_address(guarded, peers: Peers):
    asked = []

    def admit(credentials, address):
        asked.append((credentials.mechanism, credentials.public_key, address))
        return Entry("someone", Grant(send=(b"mine",)))

    device = guarded(Door(curve, admit=admit))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **PEER)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    source.send(b"other")
    source.send(b"mine")
    assert sink.recv() == [b"mine"]
    assert asked == [("CURVE", CLIENT_KEY, "127.0.0.1")]
    (link,) = station(device, "frontend")._links.values()
    assert link.user == "someone"
    assert [one.user for one in device.peers()["frontend"].peers] == ["someone"]
    assert [one.user for one in device.peers()["backend"].peers] == [None]


def test_a_firm_no_is_told_to_a_client_of_curve_and_counted(guarded, peers: Peers):
    device = guarded(Door(curve, admit=lambda *_: Refusal("unknown_key")))
    stranger = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **PEER)
    stranger.wait_for(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    assert failures(device, "unknown_key") == 1
    assert device.peers()["frontend"].denied == {"unknown_key": 1}


def test_a_client_that_may_not_come_in_now_comes_again(guarded, peers: Peers):
    answers = [Refusal("not_ready", later=True), Entry()]
    device = guarded(Door(curve, admit=lambda *_: answers.pop(0)))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], reconnect_ivl=10, **PEER)
    assert failures(device, "not_ready") == 1
    assert not answers


def test_an_error_lets_none_in(guarded, peers: Peers):
    def admit(*_):
        raise RuntimeError("broken")

    for door in (Door(curve, admit=admit), Door(PlainServer, admit=admit), Door(Null, admit=admit)):
        device = guarded(door)
        options = PEER if door.accepting is curve else {}
        if door.accepting is PlainServer:
            options = {"plain_username": b"user", "plain_password": b"secret"}
        stranger = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **options)
        eventually(lambda device=device: failures(device, "failed"), "the handshake to fail")
        assert not device.peers()["frontend"].peers
        stranger.close()
        device.stop(0)


def test_a_peer_of_null_is_refused_by_its_address(guarded, peers: Peers):
    asked = []

    def admit(credentials, address):
        asked.append((credentials.mechanism, address))
        return Refusal("address", later=len(asked) > 1)

    device = guarded(Door(admit=admit))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False)
    eventually(lambda: failures(device, "address"), "the connection to be refused")
    assert asked[0] == ("NULL", "127.0.0.1")
    assert device.peers()["frontend"].denied["address"] == device.peers()["frontend"].handshake_failures["address"]
    assert not device.peers()["frontend"].peers


def test_a_password_is_checked_in_a_thread_and_others_are_served_meanwhile(guarded, peers: Peers):
    go, asked = threading.Event(), []

    def admit(credentials, address):
        asked.append((credentials.username, credentials.password, threading.current_thread()))
        go.wait(10)
        return Entry(credentials.username.decode())

    device = guarded(Door(PlainServer, admit=admit))
    try:
        source = peers.connect(
            zmq.PUSH,
            *device.endpoints["frontend"],
            wait=False,
            plain_username=b"user",
            plain_password=b"secret",
        )
        eventually(lambda: asked, "the password to be checked")
        # This handshake goes on meanwhile.
        sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
        assert not source.connections
    finally:
        go.set()
    source.send(b"in")
    assert sink.recv() == [b"in"]
    ((username, password, thread),) = asked
    assert (username, password) == (b"user", b"secret")
    assert thread is not threading.current_thread()


def test_a_password_that_is_not_checked_in_time_lets_none_in(guarded, peers: Peers):
    go = threading.Event()
    device = guarded(
        Door(PlainServer, admit=lambda *_: go.wait(10) and Entry()),
        socket_options={"frontend": {zmq.HANDSHAKE_IVL: 100}},
    )
    try:
        stranger = peers.connect(
            zmq.PUSH, *device.endpoints["frontend"], wait=False, plain_username=b"user", plain_password=b"secret"
        )
        eventually(lambda: failures(device, "too_slow"), "the handshake to be too slow")
        assert not device.peers()["frontend"].peers
        stranger.close()
    finally:
        go.set()


def test_peers_that_leave_at_once_do_not_have_more_passwords_checked_at_a_time():
    begun, goes_on = [], threading.Event()

    def admit(credentials, address):
        begun.append(goes_on.is_set())
        goes_on.wait(10)
        return Refusal("wrong_password")

    keeper, answers = Doorkeeper(admit), []
    shown = Credentials("PLAIN", b"user", b"wrong")
    try:
        gone = [keeper.check(shown, "127.0.0.1", answers.append) for _ in range(MOST_CHECKS)]
        eventually(lambda: len(begun) == MOST_CHECKS, "the checks to begin")
        gevent.killall(gone)
        next_one = keeper.check(shown, "127.0.0.1", answers.append)
        # If it had begun, it would have done so before this.
        gevent.sleep(0)
        gevent.get_hub().threadpool.apply(bool)
    finally:
        goes_on.set()
    with within("the last check"):
        next_one.get()
    assert begun == [False] * MOST_CHECKS + [True]
    assert answers == [Refusal("wrong_password")]


def test_a_replaced_answer_counts_for_who_comes_then(guarded, peers: Peers):
    device = guarded(Door(curve, admit=lambda *_: Entry()))
    first = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **PEER)
    station(device, "frontend").admit = lambda *_: Refusal("unknown_key")
    second = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **PEER)
    second.wait_for(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    first.send(b"still in")
    assert sink.recv() == [b"still in"]


# The rules of a device's options; tests/wire/test_access.py holds both engines to all of them


@pytest.fixture
def keys(tmp_path):
    """A folder with the server's keys, and in ``clients`` those of alice."""
    write_pair("test", tmp_path, "server", KeyPair(SERVER_KEY, SERVER_SECRET))
    write_pair("test", tmp_path / "clients", "alice", KeyPair(CLIENT_KEY, CLIENT_SECRET))
    return tmp_path


def test_only_known_keys_get_in_and_the_log_says_who_did_not(either, peers: Peers, keys, caplog):
    device = either(named(Streamer, curve_secret=keys / "server.key_secret", curve_clients=keys / "clients"))
    alice = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **PEER)
    public, secret = sodium.new_pair()
    stranger = {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": SERVER_KEY}
    mallory = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **stranger)
    mallory.wait_for(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"], **PEER)
    alice.send(b"hers")
    assert sink.recv() == [b"hers"]
    (link,) = station(device, "frontend")._links.values()
    assert link.user == "alice"
    eventually(lambda: "denied" in caplog.text, "the line of the log")
    assert f"key={fingerprint(public)}" in caplog.text
    assert "reason=unknown_key" in caplog.text


def test_a_device_with_curve_connects_to_another_and_reads_its_clients_anew(either, peers: Peers, keys):
    rules = {"curve_secret": keys / "server.key_secret", "curve_clients": keys / "clients"}
    last = either(named(Streamer, **rules, socket_access={"backend": {"curve_secret": "none"}}))
    first = either(
        named(
            Streamer,
            backend=">" + last.endpoints["frontend"][0],
            curve_secret=keys / "clients" / "alice.key_secret",
            curve_serverkey=keys / "server.key",
            socket_access={"frontend": {"curve_secret": "none"}},
        )
    )
    sink = peers.connect(zmq.PULL, *last.endpoints["backend"])
    source = peers.connect(zmq.PUSH, *first.endpoints["frontend"])
    source.send(b"through both")
    assert sink.recv() == [b"through both"]
    (keys / "clients" / "alice.key").unlink()
    last.adjust(last.settings)
    late = peers.connect(zmq.PUSH, *last.endpoints["frontend"], wait=False, **PEER)
    late.wait_for(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    source.send(b"who is in stays in")
    assert sink.recv() == [b"who is in stays in"]


@contextlib.contextmanager
def tapped(endpoint, seen):
    """An address that leads to an `endpoint`; all bytes that pass go to `seen` too."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                seen.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(client, _):
        with contextlib.closing(socket.create_connection((host, int(port)))) as target:
            gevent.joinall([gevent.spawn(copy, client, target), gevent.spawn(copy, target, client)])

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_port}"
    finally:
        server.stop()


def test_nothing_of_a_message_can_be_read_on_the_wire(run, peers: Peers, keys):
    rules = {"curve_secret": keys / "server.key_secret", "curve_clients": keys / "clients"}
    for engine in ("libzmq", "zmtp"):
        device = run(named(Forwarder, **rules), engine=engine)
        seen = bytearray()
        ends = [device.endpoints[key][0] for key in ("frontend", "backend")]
        with tapped(ends[0], seen) as front, tapped(ends[1], seen) as back:
            subscriber = peers.subscriber(back, prefix=b"a topic", **PEER)
            publisher = peers.publisher(front, **PEER)
            publisher.send(b"a topic", b"a secret body" * 100)
            assert subscriber.recv() == [b"a topic", b"a secret body" * 100]
            subscriber.close()
            publisher.close()
        assert seen.count(b"CURVE") >= 4
        assert not any(word in seen for word in (b"topic", b"secret", b"SUBSCRIBE", b"Socket-Type", b"XSUB"))
        device.stop(0)
