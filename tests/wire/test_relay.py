"""relay: SUB -> PUB and/or PUSH."""

from __future__ import annotations

import zlib

import pytest
import zmq
from support.engines import is_held_back
from support.traffic import open_way, pump

from geventrelay import Drop, Relay
from geventrelay.testing import LOCAL, Peers, eventually


def outlet(device, name):
    return next(one for one in pump(device, "sub").outlets if one.socket == name)


def test_publishers_subscribers_and_pullers_get_what_they_always_got(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    publisher = peers.connect(zmq.PUB, *device.endpoints["sub"])
    subscriber = peers.subscriber(*device.endpoints["pub"])
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    # A PUB tells nobody who has subscribed, so its first probes may go nowhere, not even to the device.
    eventually(
        lambda: publisher.send(b"topic probe:") or pump(device, "sub").received, "the device to hear the publisher"
    )
    eventually(lambda: publisher.send(b"topic probe:") or subscriber.socket.readable, "the subscriber to be known")
    eventually(lambda: publisher.send(b"topic probe:") or puller.socket.readable, "the puller to be known")
    publisher.send(b'topic {"a": 1}')
    while (message := subscriber.recv()) == [b"topic probe:"]:
        pass
    assert message == [b'topic {"a": 1}']
    while (message := puller.recv()) == [b"probe:"]:
        pass
    assert message == [b'{"a": 1}']


@pytest.mark.parametrize(
    ("payload", "single", "several"),
    [
        ("auto", [b'{"a": 1}'], [b'{"b": 2}', b"", b"tail"]),
        ("space", [b'{"a": 1}'], [b"two", b'{"b": 2}', b"", b"tail"]),
        ("parts", [b'topic {"a": 1}'], [b'{"b": 2}', b"", b"tail"]),
        ("whole", [b'topic {"a": 1}'], [b"topic two", b'{"b": 2}', b"", b"tail"]),
    ],
)
def test_a_puller_gets_the_payload_that_was_asked_for_and_subscribers_the_whole(run, peers, payload, single, several):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, push_payload=payload))
    publisher = peers.publisher(*device.endpoints["sub"])
    subscriber = peers.subscriber(*device.endpoints["pub"])
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    open_way(publisher, device, subscribers=[subscriber], pullers=[puller])
    publisher.send(b'topic {"a": 1}')
    publisher.send(b"topic two", b'{"b": 2}', b"", b"tail")
    assert puller.recv_all(2) == [single, several]
    assert subscriber.recv_all(2) == [[b'topic {"a": 1}'], [b"topic two", b'{"b": 2}', b"", b"tail"]]


def test_a_message_without_a_topic_is_pushed_whole_counted_and_told_once(run, peers: Peers, caplog):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    publisher = peers.publisher(*device.endpoints["sub"])
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    open_way(publisher, device, pullers=[puller])
    sent = [[b'{"a": 1, "b": 2}'], [b"prices 5"], [zlib.compress(b"so many words" * 9) + b" \0"], [b"no-space"]]
    for message in sent:
        publisher.send(*message)
    assert puller.recv_all(4) == [sent[0], [b"5"], sent[2], sent[3]]
    eventually(lambda: pump(device, "sub").outlets[1].uncut == 2, "both to be counted")
    assert "push.uncut=2" in device.snapshot().accounting()
    line = "uncut device=relay socket=push option=--push-payload"
    eventually(lambda: line in caplog.text, "the log")
    assert caplog.text.count(line) == 1


def test_every_subscriber_gets_every_message_and_one_puller_gets_each(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    publisher = peers.publisher(*device.endpoints["sub"])
    subscribers = [peers.subscriber(*device.endpoints["pub"]) for _ in range(3)]
    pullers = [peers.connect(zmq.PULL, *device.endpoints["push"]) for _ in range(3)]
    open_way(publisher, device, subscribers=subscribers, pullers=pullers)
    count = 300
    for number in range(count):
        publisher.send(b"topic %d" % number)
    whole = [[b"topic %d" % number] for number in range(count)]
    assert [one.recv_all(count) for one in subscribers] == [whole] * 3
    # Pullers that keep up take turns.
    got = [[int(message[0]) for message in one.recv_all(count // 3)] for one in pullers]
    assert sorted(number for each in got for number in each) == list(range(count))
    assert all(one == sorted(one) for one in got)


def test_without_a_puller_each_payload_is_counted_as_no_peer(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    publisher = peers.publisher(*device.endpoints["sub"])
    for _ in range(250):
        publisher.send(b"topic payload")
    eventually(lambda: pump(device, "sub").received == 250, "250 messages to be read")
    assert outlet(device, "push").dropped == {Drop.NO_PEER: 250}
    assert outlet(device, "push").sent == 0
    assert outlet(device, "pub").sent == 250


def test_a_puller_that_is_full_is_counted_as_full_and_gets_exactly_what_was_sent(run, peers: Peers):
    device = run(Relay(sub=LOCAL, push=LOCAL, sndhwm=2, rcvhwm=0))
    publisher = peers.publisher(*device.endpoints["sub"], sndhwm=0)
    puller = peers.connect(zmq.PULL, *device.endpoints["push"], rcvhwm=1, rcvbuf=4096)
    open_way(publisher, device, pullers=[puller])
    before, body, count = outlet(device, "push"), b"x" * 100_000, 300
    earlier = pump(device, "sub").received
    for number in range(count):
        publisher.send(b"topic %d " % number + body)
    eventually(lambda: pump(device, "sub").received == earlier + count, f"{count} messages to be read")
    after = outlet(device, "push")
    sent, full = after.sent - before.sent, after.dropped[Drop.FULL] - before.dropped.get(Drop.FULL, 0)
    assert sent + full == count
    assert sent > 0
    assert full > 0
    assert after.dropped.get(Drop.NO_PEER, 0) == before.dropped.get(Drop.NO_PEER, 0)
    numbers = [int(message[0].split()[0]) for message in puller.recv_all(sent)]
    assert numbers == sorted(set(numbers))
    # Nothing else was under way: what comes next is a fence. The first ones may find the puller still full.
    eventually(lambda: publisher.send(b"topic fence") or puller.socket.readable, "a fence")
    assert puller.recv() == [b"fence"]


def test_a_puller_that_goes_turns_full_into_no_peer(run, peers: Peers):
    device = run(Relay(sub=LOCAL, push=LOCAL))
    publisher = peers.publisher(*device.endpoints["sub"])
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    open_way(publisher, device, pullers=[puller])
    before = outlet(device, "push").dropped.get(Drop.NO_PEER, 0)
    puller.close()
    eventually(
        lambda: publisher.send(b"topic x") or outlet(device, "push").dropped.get(Drop.NO_PEER, 0) > before,
        "a payload to find nobody",
    )
    assert set(outlet(device, "push").dropped) == {Drop.NO_PEER}


def test_with_block_the_payloads_wait_for_a_puller_and_none_is_lost(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, push_when_full="block"))
    publisher = peers.publisher(*device.endpoints["sub"])
    count = 500
    for number in range(count):
        publisher.send(b"topic %d" % number)
    eventually(lambda: is_held_back(device, "sub"), "the first message to wait")
    assert pump(device, "sub").received == outlet(device, "pub").sent <= 1
    assert outlet(device, "push").sent == 0
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    assert puller.recv_all(count) == [[b"%d" % number] for number in range(count)]
    assert outlet(device, "pub").sent == count, "no subscriber was to get the held message twice"
    assert outlet(device, "push").dropped == {}


def test_only_what_is_subscribed_to_comes_in(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, subscribe=["a", "b"]))
    publisher = peers.publisher(*device.endpoints["sub"])
    assert publisher.recv()[0] in (b"\x01a", b"\x01b")
    subscriber = peers.subscriber(*device.endpoints["pub"])
    open_way(publisher, device, subscribers=[subscriber], topic=b"a")
    for body in (b"a1", b"c1", b"b1", b"", b"a fence"):
        publisher.send(body)
    assert subscriber.recv_all(3) == [[b"a1"], [b"b1"], [b"a fence"]]


def test_a_subscriber_that_takes_nothing_does_not_hold_up_the_others(run, peers: Peers):
    device = run(Relay(sub=LOCAL, pub=LOCAL, sndhwm=0, rcvhwm=0))
    publisher = peers.publisher(*device.endpoints["sub"], sndhwm=0)
    stalled, lively = (peers.subscriber(*device.endpoints["pub"], rcvhwm=hwm) for hwm in (1, 0))
    open_way(publisher, device, subscribers=[stalled, lively])
    body = b"x" * 50_000
    for number in range(200):
        publisher.send(b"topic %d " % number + body)
    assert [int(one[0].split()[1]) for one in lively.recv_all(200)] == list(range(200))


def test_a_publisher_that_binds_and_a_relay_that_connects_work_the_same(run, peers: Peers):
    publisher = peers.bind(zmq.XPUB)
    subscriber = peers.bind(zmq.SUB, subscribe=b"")
    device = run(Relay(sub=">" + publisher.endpoint, pub=">" + subscriber.endpoint))
    assert publisher.recv() == [b"\x01"]
    open_way(publisher, device, subscribers=[subscriber])
    publisher.send(b"news")
    assert subscriber.recv() == [b"news"]
