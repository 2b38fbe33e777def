"""start, stop, drain, fail: what a device promises about its life."""

from __future__ import annotations

import contextlib
import logging
import socket
import time

import gevent
import pytest
import zmq
from support.engines import break_down, is_held_back, libzmq_only
from support.traffic import pump

from geventrelay import Device, DeviceFailed, Forwarder, Queue, Relay, State, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, let_run, within

# What a stop waits for, if it waits for it at all.
PATIENT = {"drain_s": 60, "linger_ms": 60_000}


@pytest.fixture
def device():
    made = Device(Streamer(frontend=LOCAL, backend=LOCAL))
    yield made
    made.stop(0)


@pytest.fixture
def spawn():
    """Spawns greenlets that end with the test."""
    greenlets = []

    def start(function, *arguments):
        greenlets.append(gevent.spawn(function, *arguments))
        return greenlets[-1]

    yield start
    gevent.killall(greenlets)


def pusher(peers, device, **options):
    return peers.connect(zmq.PUSH, *device.endpoints["frontend"], **options)


def puller(peers, device, **options):
    return peers.connect(zmq.PULL, *device.endpoints["backend"], **options)


def seconds(function, *arguments) -> float:
    began = time.monotonic()
    with within(f"{function}"):
        function(*arguments)
    return time.monotonic() - began


def test_making_a_device_does_no_io(device):
    assert (device.state, device.started, device.endpoints) == (State.STOPPED, False, {})
    assert device.snapshot().pumps == ()
    assert repr(device) == "<Device streamer stopped>"


def test_a_started_device_has_bound_everything_when_start_returns(device, peers: Peers):
    device.start()
    assert (device.state, device.started) == (State.RUNNING, True)
    pusher(peers, device).send(b"one")
    assert puller(peers, device).recv() == [b"one"]


def test_starting_twice_is_starting_once(device):
    device.start()
    endpoints = device.endpoints
    device.start()
    assert device.endpoints == endpoints


def test_stopping_before_a_start_and_stopping_twice_do_nothing(device):
    device.stop()
    device.start()
    device.stop()
    device.stop()
    assert (device.state, device.started) == (State.STOPPED, False)


def test_a_stop_before_a_start_does_not_cut_the_next_drain_short(device, peers: Peers):
    device.stop(0)
    device.start()
    one, other = pusher(peers, device), puller(peers, device)
    for number in range(1000):
        one.send(b"%d" % number)
    assert other.recv() == [b"0"]
    eventually(lambda: pump(device, "frontend").received == 1000, "all tasks to be read")
    device.stop()
    assert len(other.recv_all(999)) == 999


def test_a_stopped_device_can_be_started_again_and_counts_from_nothing(device, peers: Peers):
    for _ in range(3):
        device.start()
        pusher(peers, device).send(b"one")
        assert puller(peers, device).recv() == [b"one"]
        device.stop()
        assert pump(device, "frontend").received == 1, "the counts were to be there after a stop"


def test_pause_and_resume_of_a_device_that_is_not_up_do_nothing(device):
    device.pause()
    device.resume()
    assert device.state is State.STOPPED


def test_a_device_is_up_within_its_with_block():
    with Device(Streamer(frontend=LOCAL, backend=LOCAL)) as device:
        assert device.started
    assert device.state is State.STOPPED


def test_a_device_is_stopped_when_its_with_block_raises():
    device = Device(Streamer(frontend=LOCAL, backend=LOCAL))
    with pytest.raises(KeyError), device:
        raise KeyError
    assert device.state is State.STOPPED


def test_serve_forever_starts_and_returns_when_another_greenlet_stops_the_device(device, spawn):
    serving = spawn(device.serve_forever)
    eventually(lambda: device.started, "the device to be up")
    device.stop()
    with within("serve_forever to return"):
        serving.get()


def test_a_killed_serve_forever_stops_its_device(device, spawn):
    serving = spawn(device.serve_forever, 0)
    eventually(lambda: device.started, "the device to be up")
    serving.kill()
    assert device.state is State.STOPPED


def test_a_second_and_hastier_stop_shortens_the_first(run, peers: Peers, spawn):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, linger_ms=0))
    pusher(peers, device).send(b"for nobody")
    eventually(lambda: is_held_back(device), "the task to wait for a worker")
    slow = spawn(device.stop, 60)
    eventually(lambda: device.state is State.STOPPING, "the first stop to drain")
    with within("both stops to return"):
        device.stop(0)
        slow.get()
    assert device.state is State.STOPPED


@pytest.mark.parametrize("pattern", [Streamer, Queue, Forwarder])
def test_with_no_peers_a_stop_is_prompt(run, pattern):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, **PATIENT))
    with within("the stop"):
        device.stop()


def test_a_relay_with_no_peers_stops_promptly(run):
    device = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, **PATIENT))
    with within("the stop"):
        device.stop()


@pytest.mark.slow
def test_with_a_full_backend_a_stop_takes_the_drain_and_the_linger_and_no_more(run, peers: Peers):
    settings = Streamer(frontend="inproc://flood", backend=LOCAL, sndhwm=1, drain_s=0.1, linger_ms=100)
    device = run(settings, context=peers.context)
    one, stalled = peers.connect(zmq.PUSH, "inproc://flood"), puller(peers, device, rcvhwm=1, rcvbuf=4096)
    for _ in range(50):
        one.send(bytes(1_000_000))
    eventually(lambda: is_held_back(device), "the backend to be full")
    assert seconds(device.stop) >= 0.1
    assert pump(device, "frontend").balanced
    assert stalled.recv()


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [Streamer, Queue, Forwarder])
def test_in_the_middle_of_a_flood_a_stop_is_bounded(run, peers: Peers, spawn, pattern):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, drain_s=0.2, linger_ms=100))
    kinds = {Streamer: (zmq.PUSH, zmq.PULL), Queue: (zmq.DEALER, zmq.DEALER), Forwarder: (zmq.XPUB, zmq.SUB)}
    sender_kind, receiver_kind = kinds[pattern]
    receiver = peers.connect(receiver_kind, *device.endpoints["backend"])
    if pattern is Forwarder:
        receiver.socket.subscribe(b"")
    senders = [peers.connect(sender_kind, *device.endpoints["frontend"]) for _ in range(2)]

    def flood(one):
        while True:
            for _ in range(50):
                one.socket.send(b"task")
            gevent.sleep(0)

    def consume():
        while True:
            for _ in range(50):
                receiver.socket.recv_multipart()
            gevent.sleep(0)

    for one in senders:
        spawn(flood, one)
    spawn(consume)
    eventually(lambda: pump(device, "frontend").received > 1000, "the flood")
    with within("the stop"):
        device.stop()
    assert all(one.balanced for one in device.snapshot().pumps)


def test_a_drain_moves_what_has_come_in(run, peers: Peers, spawn):
    # Through inproc what has been sent has come in.
    settings = Streamer(frontend="inproc://drained", backend=LOCAL, drain_s=10)
    device = run(settings, context=peers.context)
    one = peers.connect(zmq.PUSH, "inproc://drained")
    for number in range(500):
        one.send(b"%d" % number)
    eventually(lambda: is_held_back(device), "the first task to wait for a worker")
    endpoints = device.endpoints["backend"]
    stopping = spawn(device.stop)
    eventually(lambda: device.state is State.STOPPING, "the drain")
    assert peers.connect(zmq.PULL, *endpoints).recv_all(500) == [[b"%d" % number] for number in range(500)]
    with within("the stop"):
        stopping.get()
    assert device.snapshot().held == 0


def test_a_reply_that_is_in_flight_reaches_its_client_during_the_drain(run, peers: Peers, spawn):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, drain_s=10))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    client.send(b"request")
    assert worker.recv() == [b"request"]
    stopping = spawn(device.stop)
    eventually(lambda: device.state is State.STOPPING, "the drain")
    let_run(20)
    assert not stopping.ready(), "the drain was to wait for the reply"
    worker.send(b"reply")
    assert client.recv() == [b"reply"]
    with within("the stop"):
        stopping.get()


@pytest.mark.slow
def test_a_worker_that_never_answers_does_not_hold_up_a_stop_beyond_the_drain(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, drain_s=0.2))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    client.send(b"request")
    assert worker.recv() == [b"request"]
    assert seconds(device.stop) >= 0.2


def test_a_paused_device_drains_too(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    one, other = pusher(peers, device), puller(peers, device)
    one.send(b"first")
    assert other.recv() == [b"first"]
    device.pause()
    device.stop()
    assert device.state is State.STOPPED


def test_ports_are_free_again_after_a_stop(run):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    settings = Streamer(frontend=device.endpoints["frontend"], backend=device.endpoints["backend"])
    device.stop()
    run(settings).stop()


@pytest.mark.parametrize("key", ["frontend", "backend"])
@pytest.mark.parametrize("pattern", [Streamer, Queue])
def test_a_socket_closed_under_a_device_fails_it_and_is_logged(run, peers: Peers, spawn, caplog, pattern, key):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, name="unlucky"))
    serving = spawn(device.serve_forever)
    if key == "backend":
        kind = zmq.PUSH if pattern is Streamer else zmq.DEALER
        peers.connect(kind, *device.endpoints["frontend"]).send(b"task")
        eventually(lambda: is_held_back(device), "the pump to wait for the backend")
    else:
        let_run()
    with caplog.at_level(logging.ERROR, "geventrelay"):
        # Nobody outside may do this; it stands for whatever kills a pump.
        break_down(device, key)
        with within("the device to end"), pytest.raises(DeviceFailed, match="unlucky: ") as failed:
            serving.get()
    assert isinstance(failed.value.__cause__, zmq.ZMQError)
    assert failed.value.__cause__ is device.failure
    assert device.state is State.FAILED
    assert not device.started
    assert "device=unlucky" in caplog.text
    assert "Socket operation on non-socket" in caplog.text


def test_a_failed_device_can_be_started_again(run, peers: Peers, caplog):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    break_down(device, "frontend")
    eventually(lambda: device.state is State.FAILED, "the device to fail")
    device.start()
    assert device.failure is None
    pusher(peers, device).send(b"one")
    assert puller(peers, device).recv() == [b"one"]


def test_other_devices_of_the_process_do_not_notice_one_that_fails(run, peers: Peers, caplog):
    unlucky, lucky = (run(Streamer(frontend=LOCAL, backend=LOCAL)) for _ in range(2))
    break_down(unlucky, "frontend")
    eventually(lambda: unlucky.state is State.FAILED, "the device to fail")
    pusher(peers, lucky).send(b"one")
    assert puller(peers, lucky).recv() == [b"one"]


@libzmq_only("it closes a socket of libzmq")
def test_a_socket_closed_under_a_device_leaves_the_threads_of_the_context_to_the_others(run, peers: Peers, caplog):
    """libzmq's io thread waits for ever to tell of an event whose monitor nobody hears any more."""
    for _ in range(5):
        unlucky, lucky = (Device(Streamer(frontend=LOCAL, backend=LOCAL, linger_ms=0), watch_peers=True) for _ in "ab")
        with unlucky, lucky, contextlib.ExitStack() as clients:
            port = int(unlucky.endpoints["frontend"][0].rpartition(":")[2])
            # The io thread is still busy with these when the socket is closed, and tells of each.
            for _ in range(200):
                clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            unlucky._assembly.sockets["frontend"].close()
            eventually(lambda device=unlucky: device.state is State.FAILED, "the device to fail")
            pusher(peers, lucky).send(b"one")
            assert puller(peers, lucky).recv() == [b"one"]


def test_the_hub_runs_while_a_device_stops(run, peers: Peers, spawn):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, **PATIENT))
    one, stalled = pusher(peers, device), puller(peers, device, rcvhwm=1)
    for _ in range(30):
        one.send(bytes(1_000_000))
    eventually(lambda: pump(device, "frontend").outlets[0].sent == 30, "all to wait for the worker")
    stopping = spawn(device.stop)
    eventually(lambda: device.state is State.STOPPING, "the stop to begin")
    let_run(20)
    assert not stopping.ready(), "the stop was to wait for what lingers"
    # A hub that stood still until then would not let this go on.
    stalled.recv_all(30)
    with within("the stop"):
        stopping.get()
