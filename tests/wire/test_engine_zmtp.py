"""Engine zmtp: the same devices over connections of our own, with libzmq's sockets at both ends."""

from __future__ import annotations

import dataclasses
import os

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.traffic import open_way, pump

from geventrelay import Device, Drop, Forwarder, Queue, Relay, Streamer
from geventrelay.errors import StartError
from geventrelay.switch.contract import Progress
from geventrelay.switch.core_python.peer import Peer as CorePeer
from geventrelay.testing import LOCAL, Peers, eventually, let_run


@pytest.fixture(params=["native", "python"])
def streamer(request, run, monkeypatch):
    """Starts a streamer of engine zmtp with either core."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)

    def start(**settings):
        return run(Streamer(**{"frontend": LOCAL, "backend": LOCAL, "engine": "zmtp"} | settings))

    return start


def pusher(peers, device, **options):
    return peers.connect(zmq.PUSH, *device.endpoints["frontend"], **options)


def worker(peers, device, **options):
    return peers.connect(zmq.PULL, *device.endpoints["backend"], **options)


def tasks(count, first=0):
    return [[b"%d" % number, b"part"] for number in range(first, first + count)]


def test_tasks_go_from_pushers_to_workers_and_all_is_counted(streamer, peers: Peers):
    device = streamer()
    one, puller = pusher(peers, device), worker(peers, device)
    for task in tasks(500):
        one.send(*task)
    assert puller.recv_all(500) == tasks(500)
    moved = pump(device, "frontend")
    assert (moved.received, moved.received_parts, moved.outlets[0].sent) == (500, 1000, 500)
    assert device.engine == "zmtp"


ENDPOINTS = (
    "tcp://*:0", "tcp://localhost:*", "tcp://lo:0", "tcp://[::1]:0", "ipc://*", "ipc://@geventrelay-{pid}", "ipc://{path}"
)  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_kind_of_endpoint_is_bound_and_connected(run, peers: Peers, endpoint, tmp_path):
    endpoint = endpoint.format(pid=os.getpid(), path=tmp_path / "socket")
    first = run(Streamer(frontend=endpoint, backend=LOCAL, engine="zmtp"))
    there = first.endpoints["frontend"][0].replace("0.0.0.0", "127.0.0.1")
    second = run(Streamer(frontend=LOCAL, backend=">" + there, engine="zmtp"))
    one, puller = pusher(peers, second), worker(peers, first)
    for task in tasks(10):
        one.send(*task)
    assert puller.recv_all(10) == tasks(10)
    second.stop(0)
    first.stop(0)
    assert not (tmp_path / "socket").exists()


def test_an_address_that_is_taken_ends_the_start_with_one_line(streamer):
    first = streamer()
    there = first.endpoints["frontend"][0]
    with pytest.raises(StartError, match=rf"^cannot bind {there} \(streamer frontend\): Address already in use$"):
        Device(Streamer(frontend=there, backend=LOCAL, engine="zmtp")).start()


def test_senders_wait_while_no_worker_takes_more_and_keep_their_order(streamer, peers: Peers):
    device = streamer(sndhwm=5)
    pushers = [pusher(peers, device) for _ in range(4)]
    for number in range(50):
        for name, one in enumerate(pushers):
            one.send(b"%d" % name, b"%d" % number)
    let_run(20)
    assert pump(device, "frontend").received == 0
    got = worker(peers, device, rcvhwm=5).recv_all(200)
    for name in range(4):
        assert [int(number) for who, number in got if int(who) == name] == list(range(50))


def test_a_pause_reads_nothing_and_a_resume_loses_nothing(streamer, peers: Peers):
    device = streamer()
    one, puller = pusher(peers, device), worker(peers, device)
    device.pause()
    for task in tasks(20):
        one.send(*task)
    let_run(20)
    assert pump(device, "frontend").received == 0
    device.resume()
    assert puller.recv_all(20) == tasks(20)


def test_a_stop_moves_what_has_come_and_lets_workers_take_it(streamer, peers: Peers):
    device = streamer()
    one, puller = pusher(peers, device), worker(peers, device)
    body = b"x" * 10_000
    for number in range(300):
        one.send(b"%d" % number, body)
    eventually(lambda: pump(device, "frontend").received, "the first task")
    stopping = gevent.spawn(device.stop)
    got = []
    eventually(lambda: got.extend(puller.recv_now()) or stopping.ready(), "the stop")
    got += puller.recv_now()
    eventually(lambda: got.extend(puller.recv_now()) or len(got) == pump(device, "frontend").received, "all")
    assert [int(number) for number, _ in got] == list(range(len(got)))


@pytest.mark.parametrize("paused", [False, True])
def test_what_has_come_and_was_not_moved_by_a_stop_is_counted(streamer, peers: Peers, paused):
    device = streamer(drain_s=0)
    one = pusher(peers, device)
    if paused:
        device.pause()
    for task in tasks(5000):
        one.send(*task)
    # The end of the connection comes after all of them.
    one.close(linger_ms=-1)
    eventually(lambda: not device.peers()["frontend"].certain, "all to be in the device")
    device.stop()
    moved = pump(device, "frontend")
    assert (moved.received, moved.outlets[0].dropped) == (5000, {Drop.STOPPED: 5000})
    assert not moved.left_unread


def test_what_waits_for_an_endpoint_that_is_connected_goes_when_a_worker_comes(streamer, peers: Peers):
    puller = peers.bind(zmq.PULL, LOCAL)
    device = streamer(backend=">" + puller.endpoint)
    one = pusher(peers, device)
    for task in tasks(10):
        one.send(*task)
    assert puller.recv_all(10) == tasks(10)
    there = puller.endpoint
    puller.close()
    eventually(lambda: device.peers()["backend"].connected == 0, "the worker to be gone")
    for task in tasks(10, first=10):
        one.send(*task)
    eventually(lambda: pump(device, "frontend").received == 20, "the tasks to wait for it")
    assert device.peers()["backend"].retries
    assert peers.bind(zmq.PULL, there).recv_all(10) == tasks(10, first=10)


def test_a_watcher_sees_every_message(streamer, peers: Peers):
    device = streamer()
    one, puller = pusher(peers, device), worker(peers, device)
    with device.watch() as watcher:
        for task in tasks(10):
            one.send(*task)
        assert puller.recv_all(10) == tasks(10)
        seen = []
        eventually(lambda: seen.extend(watcher.receive(1)) or len(seen) == 10, "ten copies")
    assert [list(record.parts) for record in seen] == tasks(10)


def test_many_senders_leave_time_to_everything_else(streamer, peers: Peers):
    device = streamer(sndhwm=0)
    worker(peers, device, rcvhwm=0)
    pushers = [pusher(peers, device, sndhwm=0) for _ in range(5)]
    for one in pushers:
        for number in range(2000):
            one.send(b"%d" % number)
    # Other greenlets run between turns: with one turn for all of it, there would be a handful of these.
    rounds = 0
    while pump(device, "frontend").received < 10_000:
        gevent.sleep(0)
        rounds += 1
        assert rounds < 1_000_000
    assert rounds > 5


def test_a_live_change_of_a_bound_counts_from_then_on(streamer, peers: Peers):
    device = streamer(max_parts=3)
    device.adjust(dataclasses.replace(device.settings, max_parts=1))
    one = pusher(peers, device, reconnect_ivl=60_000)
    one.send(b"a", b"b")
    eventually(lambda: device.peers()["frontend"].cut_off == {"too_many_parts": 1}, "it to be cut off")
    assert device.peers()["frontend"].connected == 0


def test_an_error_that_nothing_expects_fails_the_device(run, peers: Peers, monkeypatch):
    monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"))

    def fail(*_: object) -> Progress:
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(CorePeer, "read", fail)
    pusher(peers, device, wait=False).send(b"x")
    assert device.join(5)
    assert isinstance(device.failure, ZeroDivisionError)


def test_a_relay_gives_subscribers_messages_and_pullers_payloads(either, peers: Peers):
    device = either(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    publisher = peers.publisher(*device.endpoints["sub"])
    subscriber, puller = peers.subscriber(*device.endpoints["pub"]), peers.connect(zmq.PULL, *device.endpoints["push"])
    open_way(publisher, device, subscribers=[subscriber], pullers=[puller])
    for number in range(100):
        publisher.send(b"topic %d" % number)
    assert subscriber.recv_all(100) == [[b"topic %d" % number] for number in range(100)]
    assert puller.recv_all(100) == [[b"%d" % number] for number in range(100)]


def test_a_live_change_of_subscriptions_reaches_publishers(either, peers: Peers):
    device = either(Relay(sub=LOCAL, push=LOCAL, subscribe=["a"], push_payload="whole"))
    puller = peers.connect(zmq.PULL, *device.endpoints["push"])
    publisher = peers.connect(zmq.XPUB, *device.endpoints["sub"])
    assert publisher.recv() == [b"\1a"]
    device.adjust(dataclasses.replace(device.settings, subscribe=["b"]))
    assert sorted(publisher.recv_all(2)) == [[b"\0a"], [b"\1b"]]
    publisher.send(b"b")
    assert puller.recv() == [b"b"]


def test_a_queue_brings_each_reply_to_the_client_that_asked(either, peers: Peers):
    device = either(Queue(frontend=LOCAL, backend=LOCAL))
    clients = [peers.connect(zmq.REQ, *device.endpoints["frontend"]) for _ in range(3)]
    workers = [peers.connect(zmq.REP, *device.endpoints["backend"]) for _ in range(2)]
    for number in range(10):
        for name, client in enumerate(clients):
            client.send(b"%d" % name, b"%d" % number)
        answered = 0
        while answered < len(clients):
            for worker_ in workers:
                for request in worker_.recv_now():
                    worker_.send(*request)
                    answered += 1
            let_run(1)
        assert [client.recv() for client in clients] == [[b"%d" % name, b"%d" % number] for name in range(3)]


def test_a_routing_id_is_one_of_the_parts_of_a_request(either, peers: Peers):
    device = either(Queue(frontend=LOCAL, backend=LOCAL, max_parts=3))
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
    answerer = peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client.send(b"", b"one")
    assert answerer.recv()[1:] == [b"", b"one"]
    client.send(b"", b"one", b"two")
    eventually(lambda: device.peers()["frontend"].cut_off == {"too_many_parts": 1}, "it to be cut off")


def test_a_stop_of_a_queue_waits_for_the_reply_of_each_request_that_was_handed_out(either, peers: Peers):
    device = either(Queue(frontend=LOCAL, backend=LOCAL, drain_s=10))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    answerer = peers.connect(zmq.REP, *device.endpoints["backend"])
    client.send(b"question")
    assert answerer.recv() == [b"question"]
    stopping = gevent.spawn(device.stop)
    let_run(20)
    assert not stopping.ready()
    answerer.send(b"answer")
    assert client.recv() == [b"answer"]
    stopping.get(timeout=5)


def test_a_forwarder_passes_subscriptions_up_and_messages_down(either, peers: Peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=["b", "a"])
    assert sorted(publisher.recv_all(2)) == [[b"\1a"], [b"\1b"]]
    assert device.subscriptions() == (b"a", b"b")
    for topic in (b"a", b"b", b"c"):
        publisher.send(topic, b"1")
    assert subscriber.recv_all(2) == [[b"a", b"1"], [b"b", b"1"]]
    subscriber.close()
    assert sorted(publisher.recv_all(2)) == [[b"\0a"], [b"\0b"]]
    eventually(lambda: device.subscriptions() == (), "no topic to be left")


def test_publishers_are_told_of_all_that_a_subscriber_leaves_also_when_nothing_else_happens(either, peers: Peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, engine="zmtp"))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], sndhwm=0)
    # More than are forgotten at once.
    topics = [b"%d" % number for number in range(2000)]
    for topic in topics:
        subscriber.subscribe(topic)
    assert sorted(publisher.recv_all(2000)) == sorted([b"\1" + topic] for topic in topics)
    subscriber.close()
    assert sorted(publisher.recv_all(2000)) == sorted([b"\0" + topic] for topic in topics)


def test_a_stop_connects_no_more_where_peers_only_send(either, peers: Peers):
    busy, idle = peers.bind(zmq.PUSH, LOCAL), peers.bind(zmq.PUSH, LOCAL)
    ends = [">" + busy.endpoint, ">" + idle.endpoint]
    at_once = {"frontend": {int(zmq.RECONNECT_IVL): 1}}
    device = either(Streamer(frontend=ends, backend=LOCAL, drain_s=10, socket_options=at_once))
    busy.send(b"task")
    counted = lambda: device.peers()["frontend"]  # noqa: E731
    eventually(
        lambda: counted().connected == 2 and is_held_back(device),
        "the task to wait for a worker",
    )
    stopping = gevent.spawn(device.stop)
    eventually(lambda: counted().disconnected_total == 1, "the idle connection to end")
    let_run(50)
    assert worker(peers, device).recv() == [b"task"]
    stopping.get(timeout=5)
    assert counted().connected_total == 2
