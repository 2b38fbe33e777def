"""A connection that sends more than an option allows is ended, counted by reason, and the log names the option."""

from __future__ import annotations

import itertools

import gevent
import pytest
import zmq
from support.engines import libzmq_only
from support.strangers import MORE, frame, send_until_ended, stranger

from geventrelay import Custom, Device, Forwarder, Relay, Streamer
from geventrelay.engine import limiter
from geventrelay.engine.connections import received_bytes
from geventrelay.engine.peertable import Connection
from geventrelay.testing import LIMIT_S, LOCAL, Peers, eventually, within

SMALL = 300_000


@pytest.fixture
def watch():
    devices = []

    def watch(settings):
        device = Device(settings, watch_peers=True)
        devices.append(device)
        device.start()
        return device

    yield watch
    for device in devices:
        device.stop(0)


@pytest.fixture
def often(monkeypatch):
    """Looks follow one another closely, so that a wrong one would show."""
    monkeypatch.setattr(limiter, "_UNFINISHED_LOOK_S", 0.002)
    monkeypatch.setattr(limiter, "_IDLE_LOOK_S", 0.002)
    monkeypatch.setattr(limiter, "_SUBSCRIBER_LOOK_S", 0.002)


def followed(device, key):
    return device._assembly.sockets.peers_of(key)


def until_seen(device, key, nbytes, within_s=LIMIT_S):
    """Wait until a look has found so many bytes of some connection."""
    usages = followed(device, key).limiter
    eventually(
        lambda: any(usage.received >= nbytes for _, usage in usages._usages.values()),
        f"{nbytes} bytes at {key}",
        within_s,
    )


def topics():
    return (b"".join(frame(b"\x01%08d" % n) for n in range(i, i + 1000)) for i in itertools.count(0, 1000))


@libzmq_only("it bounds the bytes of peers that only receive")
@pytest.mark.parametrize(
    ("settings", "key", "kind"),
    [
        (lambda **more: Forwarder(frontend=LOCAL, backend=LOCAL, **more), "backend", b"SUB"),
        (lambda **more: Relay(sub=LOCAL, pub=LOCAL, **more), "pub", b"XSUB"),
        (lambda **more: Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL, **more), "tap", b"SUB"),
    ],
    ids=["XPUB", "PUB", "tap"],
)
def test_a_peer_that_only_receives_and_sends_without_end_is_ended(watch, settings, key, kind, caplog):
    device = watch(settings(subscriber_burst_bytes=SMALL, subscriber_rate=0))
    with stranger(device.endpoints[key][0], kind) as flood, within("the end of the flood"):
        send_until_ended(flood, topics())
    eventually(lambda: device.peers()[key].cut_off == {"sends_too_much": 1}, "the count")
    eventually(lambda: "cut-off" in caplog.text, "the log")
    assert "option=subscriber-burst" in caplog.text
    eventually(lambda: device.peers()[key].peers == (), "the end of the peer")


@libzmq_only("it bounds the bytes of peers that only receive")
def test_a_message_without_end_to_a_push_is_ended(watch, caplog):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, subscriber_burst_bytes=SMALL))
    with stranger(device.endpoints["backend"][0], b"PULL") as endless, within("the end of the connection"):
        send_until_ended(endless, itertools.repeat(frame(b"x" * 1000, MORE) * 10))
    assert device.peers()["backend"].cut_off == {"sends_too_much": 1}


@libzmq_only("it bounds the bytes of peers that only receive")
def test_a_relay_downstream_may_bring_150_000_topics_at_once(watch):
    device = watch(Relay(sub=LOCAL, pub=LOCAL))
    with stranger(device.endpoints["pub"][0], b"XSUB") as downstream, within("all topics", 30):
        for some in itertools.islice(topics(), 150):
            downstream.sendall(some)
        until_seen(device, "pub", 150_000 * 11, 30)
    assert device.peers()["pub"].cut_off == {}


@libzmq_only("it bounds the bytes of peers that only receive")
def test_what_a_subscriber_brings_slowly_is_forgotten(watch, often):
    device = watch(Relay(sub=LOCAL, pub=LOCAL, subscriber_burst_bytes=20_000, subscriber_rate=10**9))
    with stranger(device.endpoints["pub"][0], b"SUB") as slow:
        for count, some in enumerate(itertools.islice(topics(), 20), 1):
            slow.sendall(some)
            until_seen(device, "pub", count * 11_000)
    assert device.peers()["pub"].cut_off == {}


@pytest.mark.parametrize(
    ("frontend", "backend", "kind"),
    [("PULL", "PUSH", b"PUSH"), ("SUB", "PUB", b"PUB"), ("XSUB", "XPUB", b"PUB"), ("ROUTER", "DEALER", b"DEALER"),
     ("DEALER", "ROUTER", b"DEALER"), ("PAIR", "PAIR", b"PAIR")],
)  # fmt: skip
def test_a_message_that_never_ends_is_ended(watch, frontend, backend, kind, caplog):
    device = watch(
        Custom(
            frontend_type=frontend,
            frontend=LOCAL,
            backend_type=backend,
            backend=LOCAL,
            max_unfinished_bytes=SMALL,
            max_parts=0,
        )
    )
    part = frame(b"x" * 1000, MORE) * 10
    with stranger(device.endpoints["frontend"][0], kind) as endless, within("the end of the connection"):
        send_until_ended(endless, itertools.repeat(part))
    eventually(lambda: device.peers()["frontend"].cut_off == {"unfinished": 1}, "the count")
    eventually(lambda: "option=max-unfinished" in caplog.text, "the log")


@libzmq_only("it guesses from the bytes of a connection")
def test_a_sender_whose_messages_are_read_may_send_as_much_as_it_likes(watch, peers: Peers, often):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for _ in range(100):
        pusher.send(b"x" * 100_000)
        puller.recv()
    until_seen(device, "frontend", 100 * 100_000)
    assert device.peers()["frontend"].cut_off == {}


@libzmq_only("it guesses from the bytes of a connection")
def test_a_paused_device_ends_no_sender(watch, peers: Peers, often):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    device.pause()
    for number in range(100):
        pusher.send(b"%d" % number + b"x" * 50_000)
    until_seen(device, "frontend", 100 * 50_000)
    device.resume()
    for number in range(100):
        assert puller.recv()[0].startswith(b"%dx" % number)
    assert device.peers()["frontend"].cut_off == {}


@libzmq_only("it guesses from the bytes of a connection")
def test_a_full_backend_ends_no_sender(watch, peers: Peers, often):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for number in range(100):
        pusher.send(b"%d" % number + b"x" * 50_000)
    until_seen(device, "frontend", 100 * 50_000)
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for number in range(100):
        assert puller.recv()[0].startswith(b"%dx" % number)
    assert device.peers()["frontend"].cut_off == {}


def test_one_large_message_on_a_slow_link_is_not_taken_for_one_without_end(watch, peers: Peers, often):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    body = bytes(range(250)) * 1000
    with stranger(device.endpoints["frontend"][0], b"PUSH") as slow:
        for _ in range(2):
            large = frame(body)
            for start in range(0, len(large), 25_000):
                slow.sendall(large[start : start + 25_000])
                gevent.sleep(0.003)
            assert puller.recv() == [body]
    assert device.peers()["frontend"].cut_off == {}


def test_other_peers_go_on_when_one_is_ended(watch, peers: Peers):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    with stranger(device.endpoints["frontend"][0], b"PUSH") as endless, within("the end of the connection"):
        send_until_ended(endless, itertools.repeat(frame(b"x" * 5000, MORE)))
    pusher.send(b"good")
    assert puller.recv() == [b"good"]
    assert device.peers()["frontend"].disconnected_total == 1


@libzmq_only("it guesses from the bytes of a connection")
@pytest.mark.parametrize("differs", ["connection", "cookie"])
def test_another_connection_with_the_descriptor_is_never_ended(watch, peers: Peers, differs):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=SMALL))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"first")
    assert puller.recv() == [b"first"]
    known = followed(device, "frontend")
    eventually(lambda: [one.cookie for one in known._table.connections.values() if one.cookie], "its cookie")
    ((descriptor, connection),) = known._table.connections.items()
    assert received_bytes(descriptor) > 64
    if differs == "cookie":
        connection.cookie += 1
    else:
        connection = Connection(connection.endpoint, connection.since, connection.address, True, connection.cookie)
    known._end(descriptor, connection, known.limiter.bound.offence)
    pusher.send(b"second")
    assert puller.recv() == [b"second"]
    assert device.peers()["frontend"].cut_off == {}


@libzmq_only("it guesses from the bytes of a connection")
def test_without_connections_and_over_ipc_there_is_no_look(watch, tmp_path):
    device = watch(Streamer(frontend=LOCAL, backend=f"ipc://{tmp_path}/b"))
    assert followed(device, "frontend")._wait_s() is None
    assert followed(device, "backend").limiter is None


@libzmq_only("it guesses from the bytes of a connection")
def test_0_is_no_limit(watch):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, max_unfinished_bytes=0, subscriber_burst_bytes=0))
    assert followed(device, "frontend").limiter is followed(device, "backend").limiter is None
