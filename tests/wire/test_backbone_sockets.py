"""The private sockets that a device has for its backbone, and what goes over them, with both engines."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import gevent
import pytest
import zmq

from geventrelay import Device, Forwarder, Relay
from geventrelay.devices import assembly
from geventrelay.testing import LOCAL, Peers, connected, eventually

SHARED = {"name": "shop", "backbone": "127.0.0.1:1"}
ENGINES = ("libzmq", "zmtp")


@pytest.fixture(autouse=True)
def no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the test be what the private sockets are for."""
    others = tuple(one for one in assembly.FEATURES if "backbone" not in one.components.__module__)
    monkeypatch.setattr(assembly, "FEATURES", others)
    # So that it is full sooner.
    monkeypatch.setattr("geventrelay.components.terms._PRIVATE_QUEUE", 10_000)


class Joined:
    """A device, and what its backbone would have."""

    def __init__(self, device: Device, peers: Peers, front: str, back: str) -> None:
        self.device = device
        bound = device._assembly.bound
        self.paths = {key: addresses[0] for key, addresses in bound.items() if key.startswith("backbone")}
        self.front, self.back = device.endpoints[front][0], device.endpoints[back][0]
        self.out = peers.make(zmq.SUB)
        self.out.connect(self.paths["backbone_out"])
        self.into = peers.connect(zmq.PUSH, self.paths["backbone_in"])
        self.news = peers.connect(zmq.PULL, self.paths["backbone_news"])


@pytest.fixture(params=ENGINES)
def relay(request, run, peers):
    settings = Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, push_payload="whole", engine=request.param, **SHARED)
    return Joined(run(settings), peers, "sub", "pub")


@pytest.fixture(params=ENGINES)
def forwarder(request, run, peers):
    settings = Forwarder(frontend=LOCAL, backend=LOCAL, engine=request.param, **SHARED)
    return Joined(run(settings), peers, "frontend", "backend")


def asked(publisher):
    """What a publisher, an XPUB, is asked for next."""
    (frame,) = publisher.recv()
    return frame


def test_news_tell_what_subscribers_want(relay, peers):
    one = peers.subscriber(relay.back, prefix=b"a")
    assert relay.news.recv() == [b"\1a"]
    two = peers.subscriber(relay.back, prefix=b"a")
    two.subscribe(b"b")
    assert relay.news.recv() == [b"\1b"]
    one.close()
    two.socket.unsubscribe(b"a")
    assert relay.news.recv() == [b"\0a"]


def test_what_others_want_goes_out_and_nothing_else(relay, peers):
    relay.out.subscribe(b"a")
    puller = peers.connect(zmq.PULL, relay.device.endpoints["push"][0])
    publisher = peers.publisher(relay.front, sndhwm=0)
    subscriber = peers.subscriber(relay.back)
    connected(publisher, relay.out, subscriber)
    sent = [[b"a%d" % number, b"x" * number] for number in range(300)]
    for message in sent:
        publisher.send(b"b")
        publisher.send(*message)
    assert relay.out.recv_all(len(sent)) == sent
    assert [one for one in subscriber.recv_all(2 * len(sent)) if one != [b"b"]] == sent
    assert len(puller.recv_all(2 * len(sent))) == 2 * len(sent)


def test_what_comes_from_others_goes_to_subscribers_alone(relay, peers):
    relay.out.subscribe(b"")
    puller = peers.connect(zmq.PULL, relay.device.endpoints["push"][0])
    subscriber = peers.subscriber(relay.back)
    publisher = peers.publisher(relay.front)
    connected(publisher, relay.out, subscriber)
    for number in range(300):
        relay.into.send(b"%d" % number, b"from elsewhere")
    assert subscriber.recv_all(300) == [[b"%d" % number, b"from elsewhere"] for number in range(300)]
    publisher.send(b"the one of here")
    assert subscriber.recv() == [b"the one of here"]
    assert relay.out.recv() == [b"the one of here"]
    assert puller.recv() == [b"the one of here"]


def test_messages_of_both_ways_stay_whole(relay, peers):
    subscriber = peers.subscriber(relay.back, rcvhwm=0)
    relay.news.recv()
    publisher = peers.publisher(relay.front, sndhwm=0)
    for number in range(2000):
        publisher.send(b"here", b"%d" % number, b"x" * (number % 300))
        relay.into.send(b"there", b"%d" % number, b"y" * (number % 300))
    got = subscriber.recv_all(4000, within_s=30)
    for whence, filling in ((b"here", b"x"), (b"there", b"y")):
        assert [one for one in got if one[0] == whence] == [
            [whence, b"%d" % number, filling * (number % 300)] for number in range(2000)
        ]


def test_publishers_are_asked_for_what_is_wanted_here_or_elsewhere(forwarder, peers):
    publisher = peers.connect(zmq.XPUB, forwarder.front)
    subscriber = peers.subscriber(forwarder.back, prefix=b"a")
    assert (asked(publisher), forwarder.news.recv()) == (b"\1a", [b"\1a"])
    forwarder.out.subscribe(b"a", b"b")
    assert asked(publisher) == b"\1b"
    # Each of the two wants it: it stays as long as one does.
    subscriber.socket.unsubscribe(b"a")
    assert forwarder.news.recv() == [b"\0a"]
    for body in (b"a", b"b"):
        publisher.send(body)
    assert forwarder.out.recv_all(2) == [[b"a"], [b"b"]]
    forwarder.out.socket.unsubscribe(b"a")
    assert asked(publisher) == b"\0a"
    forwarder.out.close()
    assert asked(publisher) == b"\0b"
    # What is wanted elsewhere is no news of here.
    subscriber.subscribe(b"c")
    assert forwarder.news.recv() == [b"\1c"]


def test_a_topic_that_is_wanted_elsewhere_no_more_stays_for_subscribers_here(forwarder, peers):
    publisher = peers.connect(zmq.XPUB, forwarder.front)
    forwarder.out.subscribe(b"a")
    assert asked(publisher) == b"\1a"
    subscriber = peers.subscriber(forwarder.back, prefix=b"a")
    assert forwarder.news.recv() == [b"\1a"]
    forwarder.out.socket.unsubscribe(b"a")
    forwarder.out.subscribe(b"fence")
    assert asked(publisher) == b"\1fence"
    publisher.send(b"a1")
    assert subscriber.recv() == [b"a1"]
    subscriber.close()
    assert asked(publisher) == b"\0a"


def test_users_do_not_see_them_but_for_what_is_counted(relay, peers):
    relay.out.subscribe(b"")
    subscriber, publisher = peers.subscriber(relay.back), peers.publisher(relay.front)
    connected(publisher, relay.out, subscriber)
    device = relay.device
    before = device.snapshot().accounting_keys()
    publisher.send(b"out")
    relay.into.send(b"in")
    relay.out.recv()
    subscriber.recv_all(2)
    assert device.sockets == {"sub": "SUB", "pub": "XPUB", "push": "PUSH"}
    assert set(device.endpoints) == set(device.sockets) >= set(device.peers())
    sent = before["pub.sent"] + 2
    counted = eventually(
        lambda: (keys := device.snapshot().accounting_keys())["pub.sent"] == sent and keys, "both to be counted"
    )
    for key in ("sub.received", "backbone_out.sent", "backbone_in.received"):
        assert counted[key] == before[key] + 1, key
    if device.engine == "zmtp":
        assert eventually(lambda: device.snapshot().accounting_keys()["pub.delivered"] == sent, "both to be delivered")


def test_they_are_in_a_folder_of_their_user_alone_that_goes_with_them(relay):
    folders = [Path(path.removeprefix("ipc://")).parent for path in relay.paths.values()]
    assert len(folders) == 5
    for folder in folders:
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    relay.device.stop()
    assert not any(folder.exists() for folder in folders)


def test_a_slow_backbone_holds_nothing_up(relay, peers):
    relay.out.subscribe(b"")
    subscriber = peers.subscriber(relay.back, rcvhwm=0)
    publisher = peers.publisher(relay.front, sndhwm=0)
    connected(publisher, relay.out, subscriber)

    def counted():
        (pump,) = (one for one in relay.device.snapshot().pumps if one.source == "sub")
        (out,) = (one for one in pump.outlets if one.socket == "backbone_out")
        return pump.received, out.sent, sum(out.dropped.values()), sum((out.lost or {}).values())

    before = counted()
    # It reads none of them. This is more than is between here and there.
    for _ in range(10):
        for _ in range(5000):
            publisher.send(b"x" * 300)
        assert len(subscriber.recv_all(5000, within_s=30)) == 5000
    received, sent, dropped, lost = (now - then for now, then in zip(counted(), before, strict=True))
    assert received == 50_000 == sent + dropped
    came = 50_000 - dropped - lost
    assert len(relay.out.recv_all(came, within_s=30)) == came < 50_000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_backbone_that_blocks_holds_publishers_up_and_loses_nothing(engine, run, peers):
    settings = Relay(sub=LOCAL, pub=LOCAL, engine=engine, backbone_when_full="block", sndhwm=1000, **SHARED)
    joined = Joined(run(settings), peers, "sub", "pub")
    joined.out.subscribe(b"")
    joined.out.socket.subscribe(b"mark")
    subscriber = peers.subscriber(joined.back, rcvhwm=0, prefix=b"mark")
    publisher = peers.publisher(joined.front, sndhwm=0)
    connected(publisher, joined.out, subscriber)
    # This is more than is between here and there.
    for number in range(25_000):
        publisher.send(b"%d" % number + b"x" * 300)
    publisher.send(b"mark")
    assert [one[0].rstrip(b"x") for one in joined.out.recv_all(25_001, within_s=30)] == [
        *(b"%d" % number for number in range(25_000)),
        b"mark",
    ]
    assert subscriber.recv() == [b"mark"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slow_subscriber_that_all_wait_for_gets_what_comes_both_ways(engine, run, peers):
    settings = Relay(sub=LOCAL, pub=LOCAL, engine=engine, slow_subscriber="block", sndhwm=10, **SHARED)
    joined = Joined(run(settings), peers, "sub", "pub")
    subscriber = peers.subscriber(joined.back, rcvhwm=10)
    joined.news.recv()
    publisher = peers.publisher(joined.front, sndhwm=0)

    def push():
        for number in range(3000):
            joined.into.send(b"there %d" % number + b" " * 3000)

    for number in range(3000):
        publisher.send(b"here %d" % number + b" " * 3000)
    pushing = gevent.spawn(push)
    got = [one[0].rstrip() for one in subscriber.recv_all(6000, within_s=30)]
    pushing.get()
    for whence in (b"here", b"there"):
        assert [one for one in got if one.startswith(whence)] == [b"%s %d" % (whence, each) for each in range(3000)]
