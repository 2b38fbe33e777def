"""streamer: PULL -> PUSH."""

from __future__ import annotations

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.traffic import pump

from geventrelay import Streamer
from geventrelay.testing import LOCAL, Peers, eventually, let_run


def pusher(peers, device, **options):
    return peers.connect(zmq.PUSH, *device.endpoints["frontend"], **options)


def worker(peers, device, **options):
    return peers.connect(zmq.PULL, *device.endpoints["backend"], **options)


def test_it_waits_for_a_worker_rather_than_dropping(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    one = pusher(peers, device)
    for number in range(500):
        one.send(b"%d" % number)
    eventually(lambda: is_held_back(device), "the first task to wait")
    let_run(20)
    assert pump(device, "frontend").received <= 1
    assert worker(peers, device).recv_all(500) == [[b"%d" % number] for number in range(500)]
    assert pump(device, "frontend").outlets[0].dropped == {}


@pytest.mark.slow
@pytest.mark.parametrize("stalled", [True, False], ids=["stalled worker", "no worker"])
def test_pushers_are_stopped_at_the_high_water_marks_and_nothing_is_lost(run, peers: Peers, stalled):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=1, rcvhwm=1))
    one = pusher(peers, device, sndhwm=1)
    puller = worker(peers, device, rcvhwm=1) if stalled else None
    taken, body = 0, b"x" * 1_000_000
    full = False
    while taken < 100 and not full:
        try:
            one.send(b"%d" % taken, body, within_s=0.3)
            taken += 1
        except AssertionError:
            # A busy machine takes its time too.
            full = is_held_back(device)
    # Four queues of one task each, one in hand, and what the kernel buffers of two connections take.
    assert 0 < taken < 60, f"{taken} tasks of 1 MB were taken with nobody to do them"
    puller = puller or worker(peers, device)
    assert [int(message[0]) for message in puller.recv_all(taken)] == list(range(taken))


def test_workers_share_the_tasks_and_each_task_is_done_once(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    one, workers = pusher(peers, device), [worker(peers, device) for _ in range(3)]
    eventually(lambda: one.send(b"-1") or all(each.socket.readable for each in workers), "each worker to get a task")
    for number in range(300):
        one.send(b"%d" % number)
    got = [[], [], []]
    eventually(lambda: _collect(workers, got) == 300, "300 tasks at the workers")
    assert sorted(number for each in got for number in each) == list(range(300))
    assert all(each == sorted(each) for each in got)
    assert all(got)


def _collect(workers, got):
    for each, numbers in zip(workers, got, strict=True):
        numbers += [number for message in each.recv_now() if (number := int(message[0])) >= 0]
    return sum(map(len, got))


def test_tasks_of_many_pushers_keep_their_order_per_pusher(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    puller, pushers = worker(peers, device), [pusher(peers, device) for _ in range(5)]
    for number in range(100):
        for name, one in enumerate(pushers):
            one.send(b"%d" % name, b"%d" % number)
    got = puller.recv_all(500)
    for name in range(5):
        assert [int(number) for who, number in got if int(who) == name] == list(range(100))


def test_a_slow_worker_does_not_keep_the_others_from_the_rest(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=1))
    stalled, lively = worker(peers, device, rcvhwm=1, rcvbuf=4096), worker(peers, device, rcvhwm=1)
    one = pusher(peers, device, sndhwm=0)
    body, got = b"x" * 100_000, []
    for number in range(200):
        one.send(b"%d" % number, body)

    def take():
        got.extend(int(message[0]) for message in lively.recv_now())
        return pump(device, "frontend").outlets[0].sent == 200

    eventually(take, "all tasks to be handed out although one worker takes none")

    def take_from_both():
        got.extend(int(message[0]) for each in (lively, stalled) for message in each.recv_now())
        return len(got) >= 200

    eventually(take_from_both, "the tasks that lay at the stalled worker")
    assert sorted(got) == list(range(200))


def test_a_task_handed_to_libzmq_before_a_stop_is_delivered(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    one, puller = pusher(peers, device), worker(peers, device)
    for number in range(100):
        one.send(b"%d" % number)
    # Until then some may still be at the pusher, which keeps what the device does not take.
    eventually(lambda: pump(device, "frontend").outlets[0].sent == 100, "all to be handed to libzmq")
    assert puller.recv() == [b"0"]
    stopping = gevent.spawn(device.stop)
    try:
        assert len(puller.recv_all(99)) == 99
        stopping.get()
    finally:
        stopping.kill()
