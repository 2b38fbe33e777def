"""forwarder: XSUB <-> XPUB, or SUB -> PUB."""

from __future__ import annotations

import gevent
import pytest
import zmq
from support.engines import is_held_back, libzmq_only
from support.traffic import open_way, pump

from geventrelay import Forwarder
from geventrelay.testing import LOCAL, Peers, eventually, let_run


@pytest.fixture
def device(run):
    return run(Forwarder(frontend=LOCAL, backend=LOCAL))


def front(device):
    return device.endpoints["frontend"][0]


def back(device):
    return device.endpoints["backend"][0]


def test_subscriptions_and_unsubscriptions_travel_upstream(device, peers: Peers):
    publisher = peers.connect(zmq.XPUB, front(device))
    subscriber = peers.subscriber(back(device), prefix=b"a")
    assert publisher.recv() == [b"\x01a"]
    subscriber.socket.subscribe(b"b")
    assert publisher.recv() == [b"\x01b"]
    subscriber.socket.unsubscribe(b"a")
    assert publisher.recv() == [b"\x00a"]
    for body in (b"a gone", b"b there"):
        publisher.send(body)
    assert subscriber.recv() == [b"b there"]


def test_a_subscriber_that_goes_unsubscribes(device, peers: Peers):
    publisher = peers.connect(zmq.XPUB, front(device))
    subscriber = peers.subscriber(back(device), prefix=b"a")
    assert publisher.recv() == [b"\x01a"]
    subscriber.close()
    assert publisher.recv() == [b"\x00a"]


def test_a_prefix_stays_subscribed_as_long_as_one_subscriber_wants_it(device, peers: Peers):
    publisher = peers.connect(zmq.XPUB, front(device))
    one = peers.subscriber(back(device), prefix=b"a")
    assert publisher.recv() == [b"\x01a"]
    other = peers.subscriber(back(device), prefix=b"a")
    other.socket.subscribe(b"fence")
    assert publisher.recv() == [b"\x01fence"], "the second a was not to travel"
    one.close()
    other.socket.unsubscribe(b"fence")
    assert publisher.recv() == [b"\x00fence"]
    publisher.send(b"a still")
    assert other.recv() == [b"a still"]
    other.close()
    assert publisher.recv() == [b"\x00a"]


def test_a_late_publisher_gets_the_subscriptions_that_are_there(device, peers: Peers):
    subscriber = peers.subscriber(back(device), prefix=b"a")
    eventually(lambda: pump(device, "backend").received == 1, "the subscription to be read")
    publisher = peers.publisher(front(device))
    publisher.send(b"a news")
    assert subscriber.recv() == [b"a news"]


def test_a_restarted_publisher_is_told_the_subscriptions_again(device, peers: Peers):
    subscriber = peers.subscriber(back(device), prefix=b"a")
    for round_number in range(3):
        publisher = peers.publisher(front(device))
        publisher.send(b"a %d" % round_number)
        assert subscriber.recv() == [b"a %d" % round_number]
        publisher.close()


def test_a_restarted_subscriber_gets_messages_again(device, peers: Peers):
    publisher = peers.connect(zmq.XPUB, front(device))
    for round_number in range(3):
        subscriber = peers.subscriber(back(device), prefix=b"a")
        assert publisher.recv() == [b"\x01a"]
        publisher.send(b"a %d" % round_number)
        assert subscriber.recv() == [b"a %d" % round_number]
        subscriber.close()
        assert publisher.recv() == [b"\x00a"]


@pytest.mark.slow
def test_a_relay_restarted_on_its_port_has_its_subscriptions_back_without_anybodys_help(run, peers: Peers):
    first = run(Forwarder(frontend=LOCAL, backend=LOCAL))
    settings = Forwarder(frontend=front(first), backend=back(first))
    # Verbose, for a publisher that connects keeps the subscriptions of a connection that it makes again.
    publisher = peers.connect(zmq.XPUB, front(first), reconnect_ivl=5, xpub_verbose=1)
    subscriber = peers.subscriber(back(first), prefix=b"a", reconnect_ivl=5)
    assert publisher.recv() == [b"\x01a"]
    first.stop(0)
    run(settings)
    assert publisher.recv() == [b"\x01a"]
    publisher.send(b"a again")
    assert subscriber.recv() == [b"a again"]


@pytest.mark.parametrize("by", ["subscribers", "prefixes"])
def test_more_subscriptions_than_the_high_water_mark_all_reach_a_late_publisher(run, peers: Peers, by):
    count = 50
    prefixes = [b"topic %d" % number for number in range(count)]
    subscribe = prefixes if by == "prefixes" else None
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, subscribe=subscribe, sndhwm=1, rcvhwm=1))
    if by == "subscribers":
        subscriber = peers.subscriber(back(device), prefix=prefixes[0], sndhwm=0)
        for prefix in prefixes[1:]:
            subscriber.socket.subscribe(prefix)
        eventually(lambda: pump(device, "backend").received == count, "every subscription to be read")
    publisher = peers.connect(zmq.XPUB, front(device))
    assert sorted(publisher.recv_all(count)) == sorted([b"\x01" + prefix] for prefix in prefixes)


@libzmq_only("engine zmtp passes on the latest of each topic")
def test_subscriptions_that_come_and_go_faster_than_they_travel_all_arrive(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, sndhwm=1, rcvhwm=1))
    publisher = peers.connect(zmq.XPUB, front(device))
    subscriber = peers.subscriber(back(device), prefix=b"first", sndhwm=0)
    assert publisher.recv() == [b"\x01first"]
    for number in range(200):
        subscriber.socket.subscribe(b"%d" % number)
        subscriber.socket.unsubscribe(b"%d" % number)
    expected = [[first + b"%d" % number] for number in range(200) for first in (b"\x01", b"\x00")]
    assert publisher.recv_all(400) == expected


@pytest.mark.parametrize("subscribe", [None, ""], ids=["XSUB to XPUB", "SUB to PUB"])
def test_a_slow_subscriber_loses_messages_and_nobody_waits_for_it(run, peers: Peers, subscribe):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, subscribe=subscribe, sndhwm=2, rcvhwm=0))
    slow = peers.subscriber(back(device), rcvhwm=1, rcvbuf=4096)
    publisher = peers.publisher(front(device), sndhwm=0)
    open_way(publisher, device, subscribers=[slow])
    before, count = pump(device, "frontend").received, 300
    for number in range(count):
        publisher.send(b"%d " % number + b"x" * 100_000)
    eventually(lambda: pump(device, "frontend").received == before + count, "everything to be read")
    # What was lost was lost when the last one was sent. A fence may be lost too, while the slow one is still full.
    got = []

    def a_fence_has_come():
        publisher.send(b"-1")
        got.extend(int(message[0].split()[0]) for message in slow.recv_now())
        return -1 in got

    eventually(a_fence_has_come, "a fence")
    numbers = got[: got.index(-1)]
    assert numbers == sorted(set(numbers))
    assert 0 < len(numbers) < count


@pytest.mark.parametrize("subscribe", [None, ""], ids=["XSUB to XPUB", "SUB to PUB"])
def test_with_block_everybody_waits_for_a_slow_subscriber_and_nothing_is_lost(run, peers: Peers, subscribe):
    device = run(
        Forwarder(frontend=LOCAL, backend=LOCAL, subscribe=subscribe, slow_subscriber="block", sndhwm=2, rcvhwm=2)
    )
    slow = peers.subscriber(back(device), rcvhwm=1, rcvbuf=4096)
    publisher = peers.publisher(front(device), sndhwm=2, xpub_nodrop=1)
    open_way(publisher, device, subscribers=[slow])
    before, count = pump(device, "frontend").received, 300

    def publish():
        for number in range(count):
            publisher.socket.send(b"%d " % number + b"x" * 100_000)

    writer = gevent.spawn(publish)
    eventually(lambda: is_held_back(device), "the forwarder to wait for the slow subscriber")
    assert pump(device, "frontend").received - before < count
    try:
        assert [int(one[0].split()[0]) for one in slow.recv_all(count)] == list(range(count))
        assert pump(device, "frontend").received - before == count
    finally:
        writer.kill()


@pytest.mark.slow
def test_while_it_waits_for_a_slow_subscriber_subscriptions_still_travel_and_nothing_spins(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, slow_subscriber="block", sndhwm=1, rcvhwm=1))
    slow = peers.subscriber(back(device), rcvhwm=1, rcvbuf=4096)
    publisher = peers.publisher(front(device), sndhwm=0)
    for _ in range(200):
        publisher.send(b"x" * 100_000)
    eventually(lambda: is_held_back(device), "the forwarder to wait")
    before = pump(device, "frontend")
    gevent.sleep(0.2)
    after = pump(device, "frontend")
    # What is under way may still arrive, each message in some bursts. One that spins has thousands in this time.
    assert after.bursts - before.bursts < 100 + 5 * (after.received - before.received), "the pump was to sleep"
    late = peers.subscriber(back(device), prefix=b"late")
    assert publisher.recv() == [b"\x01late"]
    late.close()
    assert publisher.recv() == [b"\x00late"]
    assert len(slow.recv_all(200)) == 200


def test_with_prefixes_it_takes_these_whoever_is_there(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, subscribe="a"))
    publisher = peers.publisher(front(device))
    subscriber = peers.subscriber(back(device))
    open_way(publisher, device, subscribers=[subscriber], topic=b"a")
    before = pump(device, "frontend").received
    for body in (b"b", b"a1", b"c", b"a2"):
        publisher.send(body)
    assert subscriber.recv_all(2) == [[b"a1"], [b"a2"]]
    assert pump(device, "frontend").received == before + 2
    subscriber.close()
    let_run()
    assert publisher.recv_now() == [], "subscribers were not to change what is taken"


def test_several_publishers_and_subscribers_each_get_what_they_asked_for(device, peers: Peers):
    wants = [b"a", b"b", b""]
    subscribers = [peers.subscriber(back(device), prefix=prefix) for prefix in wants]
    publishers = [peers.connect(zmq.XPUB, front(device)) for _ in range(3)]
    for publisher in publishers:
        assert sorted(publisher.recv()[0] for _ in wants) == [b"\x01", b"\x01a", b"\x01b"]
    for number in range(50):
        for name, publisher in enumerate(publishers):
            publisher.send(b"a %d %d" % (name, number))
            publisher.send(b"b %d %d" % (name, number))
    for subscriber, count in zip(subscribers, (150, 150, 300), strict=True):
        got = [one[0].split() for one in subscriber.recv_all(count)]
        for topic in {one[0] for one in got}:
            for name in range(3):
                mine = [int(one[2]) for one in got if one[0] == topic and int(one[1]) == name]
                assert mine == list(range(50))
