"""queue: ROUTER <-> DEALER."""

from __future__ import annotations

import contextlib

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.traffic import pump

from geventrelay import Device, Drop, Queue
from geventrelay.testing import LOCAL, Peers, eventually, let_run, within


@pytest.fixture
def device(run):
    return run(Queue(frontend=LOCAL, backend=LOCAL))


@pytest.fixture
def spawn():
    """Spawns greenlets that end with the test."""
    greenlets = []

    def start(function, *arguments):
        greenlets.append(gevent.spawn(function, *arguments))
        return greenlets[-1]

    yield start
    gevent.killall(greenlets)


def client(peers, device, kind=zmq.DEALER, **options):
    return peers.connect(kind, *device.endpoints["frontend"], **options)


def worker(peers, device, kind=zmq.DEALER, **options):
    return peers.connect(kind, *device.endpoints["backend"], **options)


def echo(one):
    """Answers every request with itself, for ever."""
    with contextlib.suppress(zmq.ZMQError):
        while True:
            one.socket.send_multipart(one.socket.recv_multipart())


def replies(device):
    return pump(device, "backend").outlets[0]


def test_requests_wait_for_a_worker_that_is_away_where_the_backend_connects(peers: Peers, tmp_path):
    away = f"ipc://{tmp_path}/away"
    with Device(Queue(frontend=LOCAL, backend=[LOCAL, f">{away}"]), watch_peers=True) as device:
        there, one = worker(peers, device), client(peers, device)
        eventually(lambda: device.peers()["backend"].peers, "the worker that is there")
        for number in (b"1", b"2"):
            one.send(number)
        first, late = there.recv(), peers.bind(zmq.DEALER, away)
        assert sorted([first[-1], late.recv()[-1]]) == [b"1", b"2"]


def test_ten_hello_worlds(device, peers: Peers, spawn):
    rep, req = worker(peers, device, zmq.REP), client(peers, device, zmq.REQ)

    def serve():
        for _ in range(10):
            assert rep.recv() == [b"Hello"]
            rep.send(b"World")

    serving = spawn(serve)
    for _ in range(10):
        req.send(b"Hello")
        assert req.recv() == [b"World"]
    with within("the worker to end"):
        serving.get()
    assert (pump(device, "frontend").received, replies(device).sent) == (10, 10)


def test_a_conversation_is_spread_over_the_workers(device, peers: Peers):
    """Message by message: docs/messages.rst says what that means for zerorpc and its like."""
    workers = [worker(peers, device) for _ in range(2)]
    talker = client(peers, device)
    for number in range(4):
        talker.send(b"%d" % number)
    assert [sorted(one.recv()[-1] for _ in range(2)) for one in workers] in (
        [[b"0", b"2"], [b"1", b"3"]],
        [[b"1", b"3"], [b"0", b"2"]],
    )


def test_a_client_may_send_many_requests_before_it_reads_the_replies(device, peers: Peers, spawn):
    one = client(peers, device)
    spawn(echo, worker(peers, device))
    for number in range(500):
        one.send(b"", b"%d" % number)
    assert one.recv_all(500) == [[b"", b"%d" % number] for number in range(500)]


@pytest.mark.slow
def test_many_clients_and_many_workers_each_client_gets_its_own_replies_once(device, peers: Peers, spawn):
    for _ in range(5):
        spawn(echo, worker(peers, device))
    clients = [client(peers, device) for _ in range(20)]

    def ask(name, one):
        wanted = {b"%d %d" % (name, number) for number in range(50)}
        for request in sorted(wanted):
            one.send(request)
        got = [message[0] for message in one.recv_all(50)]
        # Workers run side by side, so replies may overtake each other.
        assert sorted(got) == sorted(wanted)

    asking = [spawn(ask, name, one) for name, one in enumerate(clients)]
    for one in asking:
        one.get()
    assert (pump(device, "frontend").received, replies(device).sent) == (1000, 1000)


def test_req_clients_and_rep_workers_of_any_number_work_together(device, peers: Peers, spawn):
    for _ in range(3):
        spawn(echo, worker(peers, device, zmq.REP))

    def ask(one):
        for number in range(20):
            one.send(b"%d" % number)
            assert one.recv() == [b"%d" % number]

    for one in [spawn(ask, client(peers, device, zmq.REQ)) for _ in range(10)]:
        one.get()


def test_requests_are_shared_among_the_workers(device, peers: Peers):
    workers = [worker(peers, device) for _ in range(2)]
    one = client(peers, device)
    eventually(
        lambda: one.send(b"request") or all(each.socket.readable for each in workers), "each worker to get a request"
    )


def test_reply_to_a_vanished_client_is_counted_unroutable(device, peers: Peers):
    gone, staying = client(peers, device), client(peers, device)
    serving = worker(peers, device)
    gone.send(b"request")
    request = serving.recv()
    gone.close()
    # The device sees the client go a little later; until then its replies count as sent.
    eventually(
        lambda: serving.send(*request) or replies(device).dropped,
        "a reply to be found unroutable",
    )
    assert set(replies(device).dropped) == {Drop.UNROUTABLE}
    staying.send(b"hello")
    serving.send(*serving.recv())
    assert staying.recv() == [b"hello"]


def test_reply_to_nobody_is_counted_unroutable_and_one_without_address_malformed(device, peers: Peers):
    one, serving = client(peers, device), worker(peers, device)
    one.send(b"hello")
    request = serving.recv()
    serving.send(b"nobody", b"", b"reply")
    serving.send(b"no address")
    serving.send(*request)
    assert one.recv() == [b"hello"]
    assert replies(device).dropped == {Drop.UNROUTABLE: 1, Drop.MALFORMED: 1}
    assert replies(device).sent == 1


@pytest.mark.slow
def test_reply_to_a_client_whose_pipe_is_full_is_counted_full_while_others_are_answered(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, sndhwm=2, rcvhwm=100))
    stuck = client(peers, device, rcvhwm=1, rcvbuf=4096)
    lively, serving = client(peers, device), worker(peers, device)
    stuck.send(b"request")
    address = serving.recv()[0]
    body = b"x" * 100_000
    number = 0

    def one_more_is_full():
        nonlocal number
        serving.send(address, b"%d " % number + body)
        number += 1
        eventually(lambda: pump(device, "backend").received == number, "the reply to be read")
        return replies(device).dropped

    eventually(one_more_is_full, "a reply to find the client full")
    assert replies(device).dropped == {Drop.FULL: 1}
    lively.send(b"hello")
    serving.send(*serving.recv())
    assert lively.recv() == [b"hello"]
    # What was counted as sent is what the stuck client finds; the last one was dropped.
    sent = replies(device).sent - 1
    assert [int(one[0].split()[0]) for one in stuck.recv_all(sent)] == list(range(sent))


def test_with_no_worker_requests_wait_and_the_first_worker_gets_them_all(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL))
    one = client(peers, device)
    for number in range(300):
        one.send(b"%d" % number)
    eventually(lambda: is_held_back(device), "the first request to wait for a worker")
    let_run(20)
    assert pump(device, "frontend").received <= 1, "the others were to stay in the frontend's queue"
    serving = worker(peers, device)
    assert [int(message[1]) for message in serving.recv_all(300)] == list(range(300))


@pytest.mark.slow
def test_with_no_worker_clients_are_stopped_at_the_high_water_marks(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, sndhwm=1, rcvhwm=1))
    one = client(peers, device, sndhwm=1)
    taken, body = 0, b"x" * 1_000_000
    full = False
    while taken < 100 and not full:
        try:
            one.send(b"%d" % taken, body, within_s=0.3)
            taken += 1
        except AssertionError:
            # A busy machine takes its time too.
            full = is_held_back(device)
    assert 0 < taken < 60, f"{taken} requests of 1 MB were taken with nobody to serve them"
    serving = worker(peers, device)
    assert [int(message[1]) for message in serving.recv_all(taken)] == list(range(taken))


def test_requests_wait_when_the_last_worker_has_gone_and_go_to_the_next_one(device, peers: Peers):
    one, first = client(peers, device), worker(peers, device)
    one.send(b"before")
    assert first.recv()[1:] == [b"before"]
    first.close()
    # The device sees it go a little later; requests until then went to the dead.
    sent = 0

    def another_waits():
        nonlocal sent
        one.send(b"%d" % sent)
        sent += 1
        return is_held_back(device)

    eventually(another_waits, "a request to wait")
    lost = pump(device, "frontend").outlets[0].sent - 1
    second = worker(peers, device)
    assert [int(message[1]) for message in second.recv_all(sent - lost)] == list(range(lost, sent))


def test_an_inproc_client_and_worker_are_served_in_a_shared_context(run, peers: Peers, spawn):
    settings = Queue(frontend="inproc://clients", backend="inproc://workers")
    run(settings, context=peers.context)
    serving, one = peers.connect(zmq.REP, "inproc://workers"), peers.connect(zmq.REQ, "inproc://clients")
    spawn(echo, serving)
    one.send(b"hello")
    assert one.recv() == [b"hello"]
