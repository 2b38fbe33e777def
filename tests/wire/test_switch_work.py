"""Engine zmtp alone: messages that go elsewhere where own workers have no room, hunger and room told exactly."""

from __future__ import annotations

import contextlib

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.strangers import stranger
from support.work import CORES_AND_BURSTS, working

from geventrelay import Queue, Relay, Streamer
from geventrelay.engine.counters import Drop
from geventrelay.testing import LOCAL, eventually
from geventrelay.zmtp import sodium

SERVER_KEY, SERVER_SECRET = sodium.new_pair()
CLIENT_KEY, CLIENT_SECRET = sodium.new_pair()
SERVER = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SERVER_SECRET}
PEER = {"curve_publickey": CLIENT_KEY, "curve_secretkey": CLIENT_SECRET, "curve_serverkey": SERVER_KEY}
SIDES = {"frontend": LOCAL, "backend": LOCAL}


@pytest.fixture(params=CORES_AND_BURSTS[2:])
def start(request, peers, monkeypatch):
    """Starts a device of a pattern that gives work to others, and stops it at the end."""
    with contextlib.ExitStack() as stack:

        def make(pattern, **settings):
            return stack.enter_context(working(pattern(**settings), request.param, peers, monkeypatch.setattr))

        yield make


@pytest.fixture
def streamer(start):
    return start(Streamer, **SIDES)


def front(work, key="frontend"):
    return work.device.endpoints[key][0]


def back(work, key="backend"):
    return work.device.endpoints[key][0]


def numbers(first, last):
    return [[b"%d" % number] for number in range(first, last)]


def send_all(sender, messages):
    for message in messages:
        sender.send(*message)


def counts(work, source="frontend", outlet=0):
    """Of an outlet: messages that were sent, that went elsewhere, and that were dropped."""
    one = work.outlet(source, outlet)
    return one.sent, one.elsewhere, sum(one.dropped.values())


# Streamer


def test_hunger_is_said_once_however_many_permits_come_one_by_one(streamer, peers):
    sender = peers.connect(zmq.PUSH, front(streamer))
    until = 200
    send_all(sender, numbers(0, until))
    streamer.becomes_hungry()
    for number in range(until):
        streamer.work.gate.add(1)
        assert streamer.out.recv() == [b"%d" % number]
    streamer.becomes_hungry(False)
    assert streamer.said == [True, False]


def test_permits_are_shared_by_what_comes_from_clients_and_from_others(streamer, peers):
    send_all(peers.connect(zmq.PUSH, front(streamer)), numbers(0, 50))
    send_all(streamer.into, numbers(50, 100))
    streamer.becomes_hungry()
    for _ in range(10):
        streamer.work.gate.add(7)
    eventually(lambda: streamer.work.gate.permits == 0, "the permits to be used")
    got = streamer.out.recv_all(70)
    assert counts(streamer)[1] + counts(streamer, "backbone_work_in")[1] == 70
    streamer.work.gate.add(30)
    assert sorted(got + streamer.out.recv_all(30)) == sorted(numbers(0, 100))


def test_room_comes_when_a_worker_reads(start, peers):
    work = start(Streamer, **SIDES, sndhwm=1)
    worker = stranger(back(work), b"PULL")
    eventually(work.work.room, "the worker")
    sender = peers.connect(zmq.PUSH, front(work))
    # More than the kernel keeps of a connection.
    send_all(sender, [[b"x" * (16 << 20)]] * 3)
    work.becomes_hungry()
    assert work.work.room() == 0
    told = []
    work.work.when_room(lambda: told.append(work.work.room()))
    reading = gevent.spawn(lambda: all(iter(lambda: worker.recv(1 << 20), b"")))
    eventually(lambda: told and told[0] > 0, "to be told of room")
    work.becomes_hungry(False)
    reading.kill()
    worker.close()


def test_what_waits_at_the_end_is_counted(start, peers):
    work = start(Streamer, **SIDES, drain_s=0)
    send_all(peers.connect(zmq.PUSH, front(work)), numbers(0, 5))
    send_all(work.into, numbers(5, 8))
    work.becomes_hungry()
    eventually(lambda: is_held_back(work.device, "backbone_work_in"), "both to wait")
    work.device.stop()
    for pump in work.device.snapshot().pumps:
        (outlet,) = pump.outlets
        assert (outlet.sent, outlet.elsewhere) == (0, 0)
        assert outlet.dropped.get(Drop.STOPPED, 0) == pump.received


def test_a_client_that_goes_while_its_message_waits_ends_the_hunger(streamer, peers):
    client = peers.connect(zmq.PUSH, front(streamer))
    client.send(b"x")
    streamer.becomes_hungry()
    client.close()
    streamer.work.gate.add(1)
    # What it has said is moved before its end is seen.
    assert streamer.out.recv() == [b"x"]
    streamer.becomes_hungry(False)


def test_permits_are_for_what_clients_may_send_also_with_curve_and_rates(start, peers, tmp_path):
    path = tmp_path / "rights.toml"
    path.write_text('[others]\npublish = ["a"]\nwork = true\n')
    work = start(
        Streamer,
        **SIDES,
        rights=path,
        socket_options={"frontend": SERVER, "backend": SERVER},
        curve_clients="any",
        max_rate=1000,
    )
    client = peers.connect(zmq.PUSH, front(work), **PEER)
    send_all(client, [[b"b1"], [b"a1"], [b"b2"], [b"a2"]])
    work.becomes_hungry()
    # What others hand in has been looked at where it came from.
    send_all(work.into, [[b"c%d" % number] for number in range(10)])
    work.work.gate.add(20)
    assert sorted(work.out.recv_all(12)) == sorted([[b"a1"], [b"a2"], *([b"c%d" % number] for number in range(10))])
    assert work.work.gate.permits == 8
    assert work.outlet("frontend").dropped == {Drop.FORBIDDEN: 2}
    worker = peers.connect(zmq.PULL, back(work), **PEER)
    eventually(work.work.room, "the worker")
    work.into.send(b"c")
    assert worker.recv() == [b"c"]


# Relay


@pytest.fixture
def relay(start):
    return start(Relay, sub=LOCAL, push=LOCAL, pub=LOCAL, push_when_full="drop", push_payload="parts")


def test_where_messages_are_dropped_each_that_might_have_gone_elsewhere_is_told(relay, peers):
    publisher = peers.publisher(front(relay, "sub"))
    publisher.send(b"a", b"1")
    eventually(lambda: relay.said, "hunger")
    assert counts(relay, "sub", 1) == (0, 0, 1)
    relay.work.gate.add(2)
    send_all(publisher, [[b"a", b"2"], [b"a", b"3"], [b"a", b"4"]])
    assert relay.out.recv_all(2) == [[b"2"], [b"3"]]
    eventually(lambda: counts(relay, "sub", 1) == (0, 2, 2), "the drop")
    eventually(lambda: len(relay.said) == 2, "hunger once more")
    assert all(relay.said)
    assert relay.outlet("sub", 1).dropped == {Drop.NO_PEER: 2}
    assert counts(relay, "sub") == (4, 0, 0)


def test_payloads_that_come_from_others_go_to_pullers_as_they_are(relay, peers):
    puller = peers.connect(zmq.PULL, back(relay, "push"))
    relay.into.send(b"no topic", b"2")
    assert puller.recv() == [b"no topic", b"2"]


def test_payloads_that_come_from_others_wait_for_a_puller_or_a_permit(relay, peers):
    relay.into.send(b"0")
    relay.becomes_hungry()
    relay.work.gate.add(1)
    assert relay.out.recv() == [b"0"]
    relay.into.send(b"1")
    puller = peers.connect(zmq.PULL, back(relay, "push"))
    assert puller.recv() == [b"1"]
    relay.becomes_hungry(False)


# Queue


@pytest.fixture
def queue(start):
    return start(Queue, **SIDES, requests_per_worker=1)


def test_a_request_of_others_goes_to_a_worker_and_its_reply_goes_back(queue, peers):
    worker = peers.connect(zmq.REP, back(queue))
    queue.into.send(b"relay A", b"client", b"", b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert queue.into.recv() == [b"relay A", b"client", b"", b"answer"]
    assert queue.work.taken == 1
    assert counts(queue, "backend") == (0, 1, 0)
    assert counts(queue, "backbone_work_in") == (1, 0, 0)


def test_a_request_of_others_may_go_on_and_its_reply_comes_back_the_same_way(queue):
    queue.into.send(b"relay A", b"client", b"", b"question")
    queue.becomes_hungry()
    queue.work.gate.add(1)
    assert queue.out.recv() == [b"bb", b"relay A", b"client", b"", b"question"]
    queue.out.send(b"bb", b"relay A", b"client", b"", b"answer")
    assert queue.into.recv() == [b"relay A", b"client", b"", b"answer"]
    assert counts(queue, "backbone_work_out") == (0, 1, 0)


def test_no_request_waits_while_a_worker_is_free(queue, peers):
    busy, free = (peers.connect(zmq.REP, back(queue)) for _ in range(2))
    eventually(lambda: queue.work.room() == 2, "both workers")
    clients = [peers.connect(zmq.REQ, front(queue)) for _ in range(20)]
    for client in clients:
        client.send(b"question")
    assert busy.recv() == [b"question"]
    for _ in range(19):
        assert free.recv() == [b"question"]
        free.send(b"answer")
    busy.send(b"answer")
    assert [client.recv() for client in clients] == [[b"answer"]] * 20
    eventually(lambda: queue.work.room() == 2, "both workers")


def test_room_for_requests_is_that_of_free_workers(queue, peers):
    worker = peers.connect(zmq.REP, back(queue))
    eventually(lambda: queue.work.room() == 1, "the worker")
    client = peers.connect(zmq.REQ, front(queue))
    client.send(b"question")
    assert worker.recv() == [b"question"]
    assert queue.work.room() == 0
    told = []
    queue.work.when_room(lambda: told.append(queue.work.room()))
    worker.send(b"answer")
    eventually(lambda: told, "to be told of room")
    assert told == [1]
    assert client.recv() == [b"answer"]


def test_a_stop_waits_for_replies_to_requests_of_others(start, peers):
    work = start(Queue, **SIDES, drain_s=20)
    worker = peers.connect(zmq.REP, back(work))
    work.into.send(b"relay A", b"client", b"", b"question")
    assert worker.recv() == [b"question"]
    stopping = gevent.spawn(work.device.stop)
    eventually(lambda: not work.device.started, "the stop to begin")
    worker.send(b"answer")
    assert work.into.recv() == [b"relay A", b"client", b"", b"answer"]
    stopping.get(timeout=5)
