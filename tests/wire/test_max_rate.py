"""How much may come in within a second: the same with both engines, and for each user and peer with engine zmtp.

No test expects the machine to be quick: each holds what has passed against the time that it really took.
"""

from __future__ import annotations

import logging
import time

import pytest
import zmq
from support.engines import station

from geventrelay import Forwarder, Relay, Streamer
from geventrelay.engine.counters import Drop
from geventrelay.switch.door import Entry
from geventrelay.testing import LOCAL, Peers, eventually

# What is over the rate is not waited for at the end.
ENDS = {"frontend": LOCAL, "backend": LOCAL, "drain_s": 0}
# So large that one takes the rate of a quarter of an hour.
LARGE, FEW_BYTES = b"x" * 10_000, {"max_rate_bytes": 10}


@pytest.fixture(params=["libzmq", "native core", "python core"])
def start(run, request, monkeypatch):
    """Starts a device with each engine, and with each core of engine zmtp."""
    if request.param == "python core":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    engine = "libzmq" if request.param == "libzmq" else "zmtp"
    return lambda cls, **settings: run(cls(engine=engine, **ENDS, **settings))


def joined(device, peers: Peers):
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    return peers.connect(zmq.PUSH, *device.endpoints["frontend"]), sink


def counted(device):
    """What was received, what was sent, what was dropped, and how often reading had to wait."""
    pump = device.snapshot().pumps[0]
    (outlet,) = pump.outlets
    return pump.received, outlet.sent, dict(outlet.dropped), pump.rate_waits


def test_more_is_dropped_and_counted(start, peers: Peers):
    device = start(Streamer, max_rate=5, when_over_rate="drop")
    source, sink = joined(device, peers)
    since, count = time.monotonic(), 1000
    for number in range(count):
        source.send(b"%d" % number)
    eventually(lambda: counted(device)[0] == count, "all to be read")
    took = time.monotonic() - since
    _, sent, dropped, waits = counted(device)
    assert dropped == {Drop.RATE: count - sent}
    assert 5 <= sent <= 5 + 5 * took + 1
    assert waits == 0
    got = [int(number) for (number,) in sink.recv_all(sent)]
    assert got[:5] == list(range(5))
    assert got == sorted(got)


def test_more_waits_and_comes_later(start, peers: Peers):
    device = start(Streamer, max_rate=100)
    source, sink = joined(device, peers)
    since, count = time.monotonic(), 115
    for number in range(count):
        source.send(b"%d" % number)
    assert [int(number) for (number,) in sink.recv_all(count)] == list(range(count))
    assert count <= 100 + 100 * (time.monotonic() - since) + 1
    assert counted(device)[2] == {}


def test_what_waits_is_not_looked_at_again_and_again(start, peers: Peers):
    device = start(Streamer, **FEW_BYTES)
    source, sink = joined(device, peers)
    for _ in range(5):
        source.send(LARGE)
    assert sink.recv() == [LARGE]
    eventually(lambda: counted(device)[3] == 1, "the next one to wait")
    before = device.snapshot().pumps[0].bursts
    other = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    other.send(b"of all peers of the socket")
    eventually(lambda: device.snapshot().pumps[0].received == 1, "no more")
    device.pause()
    device.resume()
    assert counted(device)[:3] == (1, 1, {})
    # A second look is a peer's own, or comes after the pause.
    assert device.snapshot().pumps[0].bursts <= before + 5


def test_a_message_may_have_more_bytes_than_a_second(start, peers: Peers):
    device = start(Streamer, **FEW_BYTES, when_over_rate="drop")
    source, sink = joined(device, peers)
    for number in range(3):
        source.send(LARGE, b"%d" % number)
    eventually(lambda: counted(device)[0] == 3, "all to be read")
    assert sink.recv() == [LARGE, b"0"]
    assert counted(device)[1:3] == (1, {Drop.RATE: 2})


def test_subscriptions_do_not_count(start, peers: Peers):
    device = start(Forwarder, **FEW_BYTES, when_over_rate="drop")
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    topics = [b"%d." % number + b"x" * 1000 for number in range(20)]
    subscriber = peers.make(zmq.SUB)
    for topic in topics:
        subscriber.socket.subscribe(topic)
    subscriber.connect(device.endpoints["backend"][0])
    assert sorted(publisher.recv()[0] for _ in topics) == sorted(b"\1" + topic for topic in topics)
    publisher.send(topics[7])
    assert subscriber.recv() == [topics[7]]


def test_every_outlet_drops_it(start, peers: Peers, run):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, max_rate_bytes=10, when_over_rate="drop", drain_s=0))
    publisher = peers.publisher(*device.endpoints["sub"])
    for _ in range(3):
        publisher.send(LARGE)
    pump = lambda: device.snapshot().pumps[0]  # noqa: E731
    eventually(lambda: pump().received == 3, "all to be read")
    assert [one.dropped[Drop.RATE] for one in pump().outlets] == [2, 2]


@pytest.mark.parametrize("policy", ["wait", "drop"])
def test_each_peer_has_its_own(either, peers: Peers, policy):
    device = either(Streamer(**ENDS, **FEW_BYTES, max_rate_per="peer", when_over_rate=policy))
    bad, sink = joined(device, peers)
    good = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for _ in range(3):
        bad.send(b"bad", LARGE)
    assert sink.recv() == [b"bad", LARGE]
    good.send(b"good", LARGE)
    assert sink.recv() == [b"good", LARGE]
    if policy == "wait":
        eventually(lambda: counted(device) == (2, 2, {}, 1), "the second of the bad one to wait")
        return
    eventually(lambda: counted(device) == (4, 2, {Drop.RATE: 2}, 0), "the others to be dropped")
    accounts = [one.account for one in device.peers(accounts=True)["frontend"].peers]
    assert sorted((one.received, one.over_rate) for one in accounts) == [(1, 0), (3, 2)]


def test_a_user_has_one_over_all_connections_and_after_they_have_ended(either, peers: Peers):
    device = either(Streamer(**ENDS, **FEW_BYTES, max_rate_per="user", when_over_rate="drop"))
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    users = iter(["alice", "bob", "alice", "alice"])
    front = station(device, "frontend")
    front.admit = lambda credentials, address: Entry(next(users))

    def send(count: int):
        source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
        source.send(LARGE)
        eventually(lambda: counted(device)[0] == count, "it to be read")
        return source

    made = [send(count) for count in (1, 2, 3)]
    assert counted(device)[1:3] == (2, {Drop.RATE: 1})
    for one in made:
        one.close()
    eventually(lambda: not front._links, "them to leave")
    send(4)
    assert counted(device)[1:3] == (2, {Drop.RATE: 2})
    assert [sink.recv() for _ in range(2)] == [[LARGE]] * 2


def test_connections_with_one_rate_have_their_turns(either, peers: Peers):
    device = either(Streamer(**ENDS, max_rate=100))
    first, sink = joined(device, peers)
    others = [peers.connect(zmq.PUSH, *device.endpoints["frontend"]) for _ in range(2)]
    for _ in range(110):
        first.send(b"first")
    eventually(lambda: counted(device)[3] or counted(device)[0] == 110, "it to be over the rate")
    for index, one in enumerate(others):
        one.send(b"%d" % index)
    assert sorted(sink.recv()[0] for _ in range(112)) == [b"0", b"1", *[b"first"] * 110]


def test_connections_that_end_while_they_wait_make_no_line(either, peers: Peers):
    device = either(Streamer(**ENDS, **FEW_BYTES))
    first, sink = joined(device, peers)
    for _ in range(2):
        first.send(LARGE)
    assert sink.recv() == [LARGE]
    eventually(lambda: counted(device)[3] == 1, "the second one to wait")
    front = station(device, "frontend")
    (waits,) = front.driver.over_rate._waiting.values()
    (before,) = waits
    for number in range(3):
        other = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
        other.send(LARGE)
        eventually(lambda number=number: counted(device)[3] == 2 + number, "it to wait behind the first")
        link = [*waits][-1]
        assert link is not before
        assert device.disconnect(link.id)
        assert [*waits] == [before]
        other.close()
    assert counted(device)[:3] == (1, 1, {})


def test_engine_auto_takes_zmtp_for_it(run, caplog):
    caplog.set_level(logging.INFO)
    device = run(Streamer(**ENDS, max_rate=100, max_rate_per="peer"))
    assert device.engine == "zmtp"
    assert "max-rate-per" in caplog.text
