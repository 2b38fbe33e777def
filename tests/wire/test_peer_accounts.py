"""Engine zmtp knows each of its peers, disconnects one on request, and says why an endpoint is not connected."""

from __future__ import annotations

import gc

import pytest
import zmq
from support.traffic import pump

from geventrelay import Drop, Forwarder, Queue, Streamer
from geventrelay.switch.link import Link
from geventrelay.switch.meter import Meter
from geventrelay.testing import LOCAL, Peers, eventually


@pytest.fixture(params=["native", "python"])
def either(request, run, monkeypatch):
    """Starts a device of engine zmtp with either core."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    return lambda settings, **more: run(settings, engine="zmtp", **more)


def accounts(device, key):
    return [peer.account for peer in device.peers(accounts=True)[key].peers]


def test_each_peer_has_its_account(either, peers: Peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    wanted = [b"%02d" % number for number in range(12)]
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=wanted)
    assert sorted(publisher.recv_all(12)) == [[b"\1" + topic] for topic in wanted]
    for topic in (b"00", b"11"):
        publisher.send(topic, b"x")
    assert len(subscriber.recv_all(2)) == 2
    (source,), (sink,) = accounts(device, "frontend"), accounts(device, "backend")
    assert (source.type, source.received, source.received_bytes, source.topics) == ("XPUB", 2, 6, ())
    assert (sink.type, sink.version, sink.routing_id, sink.subscriptions) == ("SUB", source.version, b"", 12)
    assert len(sink.topics) == 10
    assert set(sink.topics) <= set(wanted)
    assert sorted(sink.topics) == list(sink.topics)
    assert (sink.matched, sink.delivered, sink.lost, sink.waiting, sink.oldest_s) == (2, 2, {}, 0, None)
    assert source.id != sink.id
    assert device.peers()["backend"].peers[0].account is None


def test_a_peer_has_the_routing_id_that_it_has_announced(either, peers: Peers):
    device = either(Queue(frontend=LOCAL, backend=LOCAL))
    peers.connect(zmq.DEALER, *device.endpoints["frontend"], routing_id=b"a\xff")
    (found,) = eventually(lambda: accounts(device, "frontend"), "the peer")
    assert (found.type, found.routing_id) == ("DEALER", b"a\xff")


def test_a_peer_that_is_disconnected_loses_what_waits_and_may_come_again(either, peers: Peers):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=5))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], rcvhwm=1, reconnect_ivl=1)
    for _ in range(60):
        source.send(b"x" * 100_000)
    eventually(lambda: [one.waiting for one in accounts(device, "backend")] == [5], "the queue to be full")
    (before,) = accounts(device, "backend")
    assert before.waiting_bytes > 400_000
    assert before.oldest_s > 0
    device.pause()
    assert device.disconnect(before.id)
    assert pump(device, "frontend").outlets[0].lost == {Drop.BY_REQUEST: 5}
    assert not device.disconnect(before.id)
    # It hears of that when it reads on.
    after = eventually(lambda: worker.recv_now() is not None and accounts(device, "backend"), "it to come again")
    assert after[0].id != before.id


def test_nothing_is_kept_of_peers_that_were_disconnected_while_no_worker_had_room(either, peers: Peers):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL))
    before = links()
    for _ in range(5):
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], reconnect_ivl=-1).send(b"x" * 100)
    eventually(lambda: len(accounts(device, "frontend")) == 5, "all peers")
    found = accounts(device, "frontend")
    assert links() == before + 5
    for one in found:
        assert device.disconnect(one.id)
    # With libuv, a watcher that was closed is there for one more turn of the loop.
    eventually(lambda: links() == before, "that they are gone")


def links():
    """How many connections there are in this process, of engine zmtp."""
    gc.collect()
    return sum(isinstance(one, Link) for one in gc.get_objects())


def test_an_endpoint_that_is_disconnected_is_connected_again_and_keeps_what_waits(either, peers: Peers):
    worker = peers.make(zmq.PULL)
    device = either(Streamer(frontend=LOCAL, backend=">" + worker.bind()))
    connecting = lambda: device.peers()["backend"].connecting[0]  # noqa: E731
    eventually(lambda: connecting().connected, "the worker")
    assert connecting().tries == 0
    (first,) = accounts(device, "backend")
    assert device.disconnect(first.id)
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"task")
    assert worker.recv() == [b"task"]
    assert connecting().failure == "it was disconnected on request"
    assert pump(device, "frontend").outlets[0].lost == {}


@pytest.mark.parametrize("kind", [None, zmq.PUSH], ids=["refused", "wrong type"])
def test_an_endpoint_that_is_not_connected_says_why_and_how_often(either, peers: Peers, kind):
    there = "tcp://127.0.0.1:1" if kind is None else peers.make(kind).bind()
    device = either(Streamer(frontend=LOCAL, backend=">" + there))
    connecting = lambda: device.peers()["backend"].connecting[0]  # noqa: E731
    eventually(lambda: connecting().tries >= 2, "two tries")
    found = connecting()
    assert (found.endpoint, found.connected, found.waiting) == (there, False, 0)
    assert found.failure == "Connection refused" if kind is None else "PUSH" in found.failure
    assert found.failed_at > 1e9


def test_a_rate_is_that_between_two_looks_at_least_a_second_apart():
    meter = Meter(10.0)
    meter.look(10.5, 50, 1)
    assert meter.per_s is None
    meter.look(12.0, 100, 2)
    assert meter.per_s == (50.0, 1.0)
    meter.look(12.9, 900, 90)
    assert meter.per_s == (50.0, 1.0)
    meter.look(14.0, 100, 6)
    assert meter.per_s == (0.0, 2.0)
