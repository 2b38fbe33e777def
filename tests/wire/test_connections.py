"""Connections that are silent, or die in the middle of a message."""

from __future__ import annotations

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.traffic import pump

from geventrelay import Queue, Streamer
from geventrelay.testing import LOCAL, Peers, eventually

HEARTBEAT_MS = 20


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [Streamer, Queue])
def test_heartbeats_do_not_cut_off_a_worker_that_is_busy(run, peers: Peers, pattern):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, heartbeat_ms=HEARTBEAT_MS, sndhwm=5))
    push, pull = (zmq.PUSH, zmq.PULL) if pattern is Streamer else (zmq.DEALER, zmq.DEALER)
    # With its queue full a socket of libzmq reads nothing more, not even a PING.
    worker = peers.connect(pull, *device.endpoints["backend"], rcvhwm=1, rcvbuf=4096)
    pusher = peers.connect(push, *device.endpoints["frontend"], sndhwm=0)
    for number in range(100):
        pusher.send(b"%d" % number, bytes(100_000))
    eventually(lambda: is_held_back(device), "the worker to be full")
    gevent.sleep(10 * HEARTBEAT_MS / 1000)
    assert not worker.saw(zmq.EVENT_DISCONNECTED)
    assert [int(message[-2]) for message in worker.recv_all(100)] == list(range(100))
    assert not worker.saw(zmq.EVENT_DISCONNECTED)


@pytest.mark.slow
def test_heartbeats_do_not_cut_off_a_sender_that_is_held_back(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, heartbeat_ms=HEARTBEAT_MS, sndhwm=5, rcvhwm=5))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], sndhwm=0)
    for number in range(2000):
        pusher.send(b"%d" % number, bytes(5000))
    eventually(lambda: is_held_back(device), "the device to be full")
    gevent.sleep(10 * HEARTBEAT_MS / 1000)
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    assert [int(message[0]) for message in worker.recv_all(2000)] == list(range(2000))
    assert not pusher.saw(zmq.EVENT_DISCONNECTED)


@pytest.mark.slow
def test_heartbeats_keep_silent_senders(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, heartbeat_ms=HEARTBEAT_MS))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    gevent.sleep(10 * HEARTBEAT_MS / 1000)
    assert not pusher.saw(zmq.EVENT_DISCONNECTED)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [Streamer, Queue])
def test_workers_that_die_while_large_messages_go_to_them_never_break_one(run, peers: Peers, pattern):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, sndhwm=2))
    push, pull = (zmq.PUSH, zmq.PULL) if pattern is Streamer else (zmq.DEALER, zmq.DEALER)
    pusher = peers.connect(push, *device.endpoints["frontend"], sndhwm=5)
    survivor = peers.connect(pull, *device.endpoints["backend"], rcvhwm=1)
    count, parts = 400, 50

    def send():
        for number in range(count):
            pusher.socket.send_multipart([b"%d" % number] + [b"%d.%d" % (number, part) for part in range(parts)])

    got = []

    def receive(one):
        while True:
            message = one.socket.recv_multipart()[-parts - 1 :]
            number = message[0]
            assert message == [number] + [b"%s.%d" % (number, part) for part in range(parts)]
            got.append(int(number))

    greenlets = [gevent.spawn(send), gevent.spawn(receive, survivor)]
    try:
        for _ in range(30):
            victim = peers.connect(pull, *device.endpoints["backend"], rcvhwm=1, rcvbuf=4096)
            gevent.sleep(0.002)
            victim.close()
        eventually(greenlets[0].ready, "everything to be sent")
        # What went to the dead is lost with them; what came, came once, whole and in order.
        eventually(lambda: pump(device, "frontend").received == count, "everything to be read")
        # One fence may go to a dead worker that the device takes for alive.
        fence = [b"-1", *[b"-1.%d" % part for part in range(parts)]]
        eventually(lambda: greenlets[1].ready() or -1 in got or pusher.send(*fence), "a fence")
    finally:
        gevent.killall(greenlets)
    assert not greenlets[1].exception, greenlets[1].exception
    tasks = [number for number in got if number >= 0]
    assert tasks
    assert tasks == sorted(set(tasks))
