"""Messages that go elsewhere where a device's own workers have no room, and those of others: both engines."""

from __future__ import annotations

import contextlib

import gevent
import pytest
import zmq
from support.work import CORES_AND_BURSTS, got, working

from geventrelay import Device, Drop, Queue, Relay, State, Streamer
from geventrelay.components.plan import BACKBONE_WORK_IN, BACKBONE_WORK_OUT
from geventrelay.testing import LOCAL, Peers, eventually, let_run, within

STREAMER = Streamer(frontend=LOCAL, backend=LOCAL)
QUEUE = Queue(frontend=LOCAL, backend=LOCAL)
LIBZMQ = CORES_AND_BURSTS[:2]


@pytest.fixture(params=CORES_AND_BURSTS)
def engine(request):
    return request.param


@pytest.fixture
def start(peers: Peers, monkeypatch):
    """Starts a device that gives work to others, and stops it at the end."""
    with contextlib.ExitStack() as stack:

        def make(settings, engine):
            return stack.enter_context(working(settings, engine, peers, monkeypatch.setattr))

        yield make


@pytest.fixture
def made(start, engine):
    return start(STREAMER, engine)


def task_source(peers, made):
    return peers.connect(zmq.PUSH, *made.device.endpoints["frontend"])


def worker(peers, made, kind=zmq.PULL, **options):
    one = peers.connect(kind, *made.device.endpoints["backend"], **options)
    eventually(lambda: made.device.peers()["backend"].peers, "the worker")
    return one


def numbers(count, first=0):
    return [b"%d" % number for number in range(first, first + count)]


def send(peer, messages):
    for one in messages:
        peer.send(one)


def test_what_has_no_room_here_goes_elsewhere_with_a_permit_and_here_once_there_is_a_worker(peers, made):
    source = task_source(peers, made)
    send(source, numbers(10))
    made.becomes_hungry()
    made.work.gate.add(3)
    assert got(made.out, 3) == numbers(3)
    made.becomes_hungry()
    own = worker(peers, made)
    assert got(own, 7) == numbers(7, first=3)
    made.becomes_hungry(False)
    assert made.said == [True, False] * (len(made.said) // 2)
    backend = made.outlet("frontend")
    assert (backend.sent, backend.elsewhere, backend.held, dict(backend.dropped)) == (7, 3, 0, {})
    assert made.work.gate.permits == 0


def test_permits_that_are_there_before_are_used_and_the_rest_is_given_back(peers, made):
    made.work.gate.add(5)
    send(task_source(peers, made), numbers(3))
    assert got(made.out, 3) == numbers(3)
    assert made.work.gate.take_all() == 2
    assert not made.said


def test_own_workers_come_first_also_with_permits(peers, made):
    own = worker(peers, made)
    made.work.gate.add(100)
    send(task_source(peers, made), numbers(50))
    assert got(own, 50) == numbers(50)
    assert made.work.gate.permits == 100


def test_waiting_costs_no_time_while_a_socket_could_be_written_and_its_gate_is_shut(peers, made):
    send(task_source(peers, made), numbers(2))
    made.becomes_hungry()
    let_run()
    before = made.bursts()
    let_run(200)
    assert made.bursts() == before


def test_what_others_sent_is_for_own_workers_and_is_counted_when_it_is_handed_on(peers, made):
    own = worker(peers, made)
    send(made.into, numbers(20))
    assert got(own, 20) == numbers(20)
    eventually(lambda: made.work.taken == 20, "all to be handed on")
    assert made.outlet(BACKBONE_WORK_IN).sent == 20
    assert BACKBONE_WORK_OUT not in made.device.endpoints


def test_what_others_sent_goes_on_to_others_where_there_is_no_worker_any_more(peers, made):
    send(made.into, numbers(3))
    made.becomes_hungry()
    assert made.work.taken <= 1
    made.work.gate.add(3)
    assert got(made.out, 3) == numbers(3)
    made.becomes_hungry(False)
    eventually(lambda: made.work.taken == 3, "all to be handed on")


@pytest.mark.parametrize("engine", LIBZMQ)
def test_two_that_wait_for_permits_take_turns_and_use_each_once(peers, made):
    send(task_source(peers, made), [b"own %d" % number for number in range(20)])
    send(made.into, [b"others %d" % number for number in range(20)])
    eventually(lambda: made.outlet("frontend").held == made.outlet(BACKBONE_WORK_IN).held == 1, "both to wait")
    came = []
    for _ in range(40):
        made.becomes_hungry()
        made.work.gate.add(1)
        came += got(made.out, 1)
    assert made.work.gate.permits == 0
    assert sorted(came) == sorted([b"own %d" % one for one in range(20)] + [b"others %d" % one for one in range(20)])
    # Neither has had to wait until the other had nothing more.
    assert {one.split()[0] for one in came[:10]} == {b"own", b"others"}


def test_where_payloads_are_dropped_permits_come_first_and_each_burst_of_drops_is_told(peers, start, engine):
    made = start(Relay(sub=LOCAL, push=LOCAL, push_payload="parts"), engine)
    source = peers.publisher(*made.device.endpoints["sub"])
    made.work.gate.add(2)
    for number in range(5):
        source.send(b"topic", b"%d" % number)
    assert got(made.out, 2) == numbers(2)
    eventually(lambda: made.outlet("sub").dropped.get(Drop.NO_PEER) == 3, "the others to be dropped")
    assert made.outlet("sub").elsewhere == 2
    assert set(made.said) == {True}


def test_where_payloads_wait_one_that_is_cut_goes_elsewhere_as_it_was_cut(peers, start, engine):
    settings = Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, push_payload="auto", push_when_full="block")
    made = start(settings, engine)
    subscriber = peers.subscriber(*made.device.endpoints["pub"])
    source = peers.publisher(*made.device.endpoints["sub"])
    source.send(b"topic body")
    made.becomes_hungry()
    made.work.gate.add(1)
    assert made.out.recv() == [b"body"]
    source.send(b"topic", b"in", b"parts")
    made.becomes_hungry()
    made.work.gate.add(1)
    assert made.out.recv() == [b"in", b"parts"]
    assert subscriber is not None


def test_the_tap_sees_a_message_once_wherever_it_goes(peers, start, engine):
    made = start(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL), engine)
    tap = peers.subscriber(*made.device.endpoints["tap"])
    let_run()
    source = task_source(peers, made)
    eventually(lambda: made.device.peers()["tap"].peers, "the watcher")
    made.work.gate.add(1)
    with within("the tap"):
        number = 0
        while True:
            source.send(b"%d" % number)
            number += 1
            made.work.gate.add(1)
            if record := tap.recv_now():
                break
            gevent.sleep(0.001)
    first = int(record[0][-1])
    made.work.gate.add(3)
    send(source, numbers(3, first=number))
    got(made.out, number + 3)
    records = [int(one[-1]) for one in record]
    while records[-1] < number + 2:
        records.append(int(tap.recv()[-1]))
    assert records == list(range(first, number + 3))


def test_a_rate_is_for_what_comes_in_at_this_device_alone(peers, start, engine):
    made = start(Streamer(frontend=LOCAL, backend=LOCAL, max_rate=1), engine)
    made.work.gate.add(100)
    send(made.into, numbers(50))
    assert got(made.out, 50) == numbers(50)


@pytest.mark.parametrize("engine", LIBZMQ)
def test_a_pause_keeps_what_is_in_hand_and_wants_nothing(peers, made):
    send(task_source(peers, made), numbers(4))
    made.becomes_hungry()
    made.device.pause()
    made.becomes_hungry(False)
    made.work.gate.add(2)
    let_run(50)
    assert made.work.room() == 0
    made.device.resume()
    assert got(made.out, 2) == numbers(2)
    made.becomes_hungry()


def test_room_is_what_own_workers_take_and_is_told_when_there_is_some(peers, made):
    calls = []
    assert made.work.room() == 0
    made.work.when_room(lambda: calls.append("first"))
    made.work.when_room(lambda: calls.append("second"))
    let_run(20)
    assert not calls
    worker(peers, made)
    eventually(lambda: calls, "the call")
    assert calls == ["second"]
    assert made.work.room() > 0
    made.work.when_room(lambda: calls.append("again"))
    assert len(calls) == 1
    eventually(lambda: len(calls) == 2, "the call")
    made.device.pause()
    assert made.work.room() == 0
    made.work.when_room(lambda: calls.append("after the pause"))
    let_run(20)
    assert len(calls) == 2
    made.device.resume()
    eventually(lambda: len(calls) == 3, "the call")


def test_a_drain_hands_out_what_waits_elsewhere_too(peers, made):
    send(task_source(peers, made), numbers(3))
    made.becomes_hungry()
    stopping = gevent.spawn(made.device.stop, 5)
    eventually(lambda: made.device.state is State.STOPPING, "the drain")
    let_run()
    assert made.work.room() == 0
    made.work.gate.add(3)
    assert got(made.out, 3) == numbers(3)
    with within("the end of the drain"):
        stopping.join()
    assert made.outlet("frontend").elsewhere == 3


def test_a_stop_with_a_message_in_hand_counts_it(peers, made):
    send(task_source(peers, made), numbers(3))
    made.becomes_hungry()
    made.device.stop(0)
    (frontend, _), backend = made.device.snapshot().pumps, made.outlet("frontend")
    assert backend.sent == backend.elsewhere == 0
    assert frontend.received == backend.held + backend.dropped.get(Drop.STOPPED, 0)
    assert made.said[0] is True


# Queues


def test_a_request_goes_elsewhere_and_its_reply_comes_back_and_replies_for_others_go_to_them(peers, start, engine):
    made = start(QUEUE, engine)
    client = peers.connect(zmq.DEALER, *made.device.endpoints["frontend"], routing_id=b"client")
    client.send(b"", b"request")
    made.becomes_hungry()
    made.work.gate.add(1)
    assert made.out.recv() == [b"client", b"", b"request"]
    made.out.send(b"client", b"", b"reply")
    assert client.recv() == [b"", b"reply"]
    own = worker(peers, made, zmq.DEALER)
    made.into.send(b"relay", b"its client", b"", b"request")
    assert own.recv() == [b"bb", b"relay", b"its client", b"", b"request"]
    own.send(b"bb", b"relay", b"its client", b"", b"reply")
    assert made.into.recv() == [b"relay", b"its client", b"", b"reply"]
    own.send(b"nobody", b"", b"reply")
    eventually(lambda: made.outlet("backend").dropped, "the drop")
    replies = made.outlet("backend")
    assert (replies.sent, replies.elsewhere, dict(replies.dropped)) == (0, 1, {Drop.UNROUTABLE: 1})
    assert made.outlet(BACKBONE_WORK_OUT).sent == 1


def test_a_queue_drains_until_what_went_elsewhere_is_answered_too(peers, start, engine):
    made = start(QUEUE, engine)
    client = peers.connect(zmq.DEALER, *made.device.endpoints["frontend"], routing_id=b"client")
    made.work.gate.add(1)
    client.send(b"", b"request")
    assert made.out.recv() == [b"client", b"", b"request"]
    stopping = gevent.spawn(made.device.stop, 5)
    eventually(lambda: made.device.state is State.STOPPING, "the drain")
    let_run(50)
    assert not stopping.ready()
    made.out.send(b"client", b"", b"reply")
    assert client.recv() == [b"", b"reply"]
    with within("the end of the drain"):
        stopping.join()


@pytest.fixture(params=["libzmq", "zmtp"])
def limited(request, peers: Peers):
    with Device(
        Queue(frontend=LOCAL, backend=LOCAL, requests_per_worker=1, engine=request.param), watch_peers=True
    ) as device:
        yield device


def test_a_worker_is_given_so_many_requests_and_more_as_it_answers(peers, limited):
    workers = [peers.connect(zmq.DEALER, *limited.endpoints["backend"]) for _ in range(2)]
    eventually(lambda: len(limited.peers()["backend"].peers) == 2, "the workers")
    client = peers.connect(zmq.DEALER, *limited.endpoints["frontend"])
    for number in range(4):
        client.send(b"", b"%d" % number)
    first = [one.recv() for one in workers]
    assert sorted(one[-1] for one in first) == [b"0", b"1"]
    let_run(50)
    assert not any(one.recv_now() for one in workers)
    for one, request in zip(workers, first, strict=True):
        one.send(*request)
    assert sorted(client.recv()[-1] for _ in range(2)) == [b"0", b"1"]
    rest = [one.recv()[-1] for one in workers]
    assert sorted(rest) == [b"2", b"3"]


def test_requests_that_a_rep_drops_keep_no_worker_from_others(peers, limited):
    worker = peers.connect(zmq.REP, *limited.endpoints["backend"])
    eventually(lambda: limited.peers()["backend"].peers, "the worker")
    client = peers.connect(zmq.DEALER, *limited.endpoints["frontend"])
    for bad in ([b"no", b"empty part"], [b"alone"], [b"empty at the end", b""]):
        client.send(*bad)
    client.send(b"", b"request")
    assert worker.recv() == [b"request"]
    worker.send(b"reply")
    assert client.recv() == [b"", b"reply"]


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_workers_that_the_queue_connects_to_have_a_limit_too(peers, engine):
    workers = [peers.bind(zmq.DEALER) for _ in range(2)]
    backend = [f">{one.endpoint}" for one in workers]
    with Device(Queue(frontend=LOCAL, backend=backend, requests_per_worker=2, engine=engine)) as device:
        client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
        for number in range(6):
            client.send(b"", b"%d" % number)
        first = [one.recv() for one in workers for _ in range(2)]
        let_run(50)
        assert not any(one.recv_now() for one in workers)
        workers[0].send(*first[0])
        workers[1].send(*first[2])
        assert sorted(one.recv()[-1] for one in workers) == [b"4", b"5"]


def test_a_worker_that_goes_with_a_request_makes_room_for_the_next(peers, limited):
    first = peers.connect(zmq.DEALER, *limited.endpoints["backend"])
    client = peers.connect(zmq.DEALER, *limited.endpoints["frontend"])
    for number in range(3):
        client.send(b"", b"%d" % number)
    assert first.recv()[-1] == b"0"
    first.close()
    eventually(lambda: not limited.peers()["backend"].peers, "the worker to go")
    second = peers.connect(zmq.DEALER, *limited.endpoints["backend"])
    request = second.recv()
    assert request[-1] == b"1"
    let_run(50)
    assert not second.recv_now()
    second.send(*request)
    assert second.recv()[-1] == b"2"


def test_a_worker_that_goes_with_all_requests_leaves_the_others_theirs(peers, limited):
    silent, busy = (peers.connect(zmq.DEALER, *limited.endpoints["backend"]) for _ in range(2))
    eventually(lambda: len(limited.peers()["backend"].peers) == 2, "the workers")
    client = peers.connect(zmq.DEALER, *limited.endpoints["frontend"])
    for number in range(2):
        client.send(b"", b"%d" % number)
    silent.recv()
    echo = gevent.spawn(_echo, busy)
    try:
        assert client.recv()[-1] in (b"0", b"1")
        # With libzmq, the next one goes to the one that has one already.
        client.send(b"", b"2")
        eventually(lambda: limited.snapshot().pumps[0].outlets[0].sent == 3, "the third to be given out")
        silent.close()
        client.send(b"", b"3")
        with within("the answer"):
            while client.recv()[-1] != b"3":
                pass
    finally:
        echo.kill()


def test_a_worker_that_never_answers_keeps_nothing_from_others_where_the_engine_is_not_chosen(peers):
    with Device(Queue(frontend=LOCAL, backend=LOCAL, requests_per_worker=1), watch_peers=True) as device:
        silent, busy = (peers.connect(zmq.DEALER, *device.endpoints["backend"]) for _ in range(2))
        eventually(lambda: len(device.peers()["backend"].peers) == 2, "the workers")
        client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
        for number in range(6):
            client.send(b"", b"%d" % number)
        kept = silent.recv()[-1]
        echo = gevent.spawn(_echo, busy)
        try:
            answered = {client.recv()[-1] for _ in range(5)}
        finally:
            echo.kill()
        assert answered | {kept} == {b"%d" % number for number in range(6)}
        assert not silent.recv_now()


def _echo(one):
    """Answer each request with itself."""
    with contextlib.suppress(zmq.ZMQError):
        while True:
            one.socket.send_multipart(one.socket.recv_multipart())


def test_waiting_for_a_worker_to_answer_costs_no_time(peers, limited):
    one = peers.connect(zmq.DEALER, *limited.endpoints["backend"])
    client = peers.connect(zmq.DEALER, *limited.endpoints["frontend"])
    for number in range(3):
        client.send(b"", b"%d" % number)
    assert one.recv()[-1] == b"0"
    let_run()
    before = [pump.bursts for pump in limited.snapshot().pumps]
    let_run(200)
    assert [pump.bursts for pump in limited.snapshot().pumps] == before


@pytest.mark.parametrize("engine", LIBZMQ)
def test_room_of_a_queue_with_libzmq_is_what_its_workers_may_get_all_together(peers, start, engine):
    made = start(Queue(frontend=LOCAL, backend=LOCAL, requests_per_worker=3), engine)
    workers = [worker(peers, made, zmq.DEALER) for _ in range(2)]
    eventually(lambda: made.work.room() == 6, "room at both")
    made.into.send(b"relay", b"", b"request")
    eventually(lambda: made.work.room() == 5, "one request less")
    workers[0].close()
    workers[1].close()
    eventually(lambda: made.work.room() == 0, "the workers to go")
