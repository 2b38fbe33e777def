"""Who is connected to a device's sockets, and what topics a forwarder is subscribed to."""

import os
import resource
import socket
import threading
import time

import gevent
import pytest
import zmq
from support.engines import connections_of, is_held_back, libzmq_only
from support.strangers import GREETING, frame, greet, ready, stranger

from geventrelay import Custom, Device, Drop, Forwarder, Queue, Relay, Streamer
from geventrelay.testing import LOCAL, Peers, eventually


@pytest.fixture
def watch():
    devices = []

    def watch(settings):
        device = Device(settings, watch_peers=True)
        devices.append(device)
        device.start()
        return device

    yield watch
    for device in devices:
        device.stop(0)


def host_and_port(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def until_peers(device: Device, key: str, count: int) -> None:
    eventually(lambda: len(device.peers()[key].peers) == count, lambda: f"{count} peers, not {device.peers()[key]}")


def test_peers_are_told_with_address_time_and_mechanism(watch, peers: Peers):
    device = watch(Queue(frontend=LOCAL, backend=LOCAL))
    before = time.time()
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    until_peers(device, "frontend", 1)
    (one,) = device.peers()["frontend"].peers
    host, _, port = one.address.rpartition(":")
    assert (host, one.mechanism) == ("127.0.0.1", "NULL")
    assert int(port) != host_and_port(device.endpoints["frontend"][0])[1]
    assert before <= one.since <= time.time()
    client.close()
    until_peers(device, "frontend", 0)
    snapshot = device.peers()["frontend"]
    assert (snapshot.connected_total, snapshot.disconnected_total, snapshot.handshake_failures) == (1, 1, {})
    assert device.peers()["backend"].connected_total == 0


def test_a_peer_that_we_connect_to_is_told_by_its_address(watch, peers: Peers):
    worker = peers.bind(zmq.PULL)
    device = watch(Streamer(frontend=LOCAL, backend=">" + worker.endpoint))
    until_peers(device, "backend", 1)
    (one,) = device.peers()["backend"].peers
    assert "tcp://" + one.address == worker.endpoint


def test_a_peer_over_ipc_is_told_by_its_process(watch, peers: Peers, tmp_path):
    device = watch(Streamer(frontend=f"ipc://{tmp_path}/s", backend=LOCAL))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    until_peers(device, "frontend", 1)
    assert [one.address for one in device.peers()["frontend"].peers] == [f"pid {os.getpid()}"]


def test_a_peer_over_ipv6_has_its_address_in_brackets(watch, peers: Peers):
    device = watch(Streamer(frontend="tcp://[::1]:0", backend=LOCAL))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], ipv6=True)
    until_peers(device, "frontend", 1)
    assert device.peers()["frontend"].peers[0].address.startswith("[::1]:")


def test_ipv4_at_a_socket_for_both_is_told_as_ipv4(watch, peers: Peers):
    device = watch(Streamer(frontend="tcp://[::]:0", backend=LOCAL))
    _, port = host_and_port(device.endpoints["frontend"][0])
    peers.connect(zmq.PUSH, f"tcp://127.0.0.1:{port}")
    until_peers(device, "frontend", 1)
    assert device.peers()["frontend"].peers[0].address.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("sends", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not_zmtp3"),
        (b"\xff\0\0\0\0\0\0\0\1\x7f\3\0PLAIN" + b"\0" * 47, "zmtp_mechanism_mismatch"),
        (b"\xff\0\0\0\0\0\0\0\1\x7f\1\5", "not_zmtp3"),
        (None, "EPIPE"),
    ],
)
def test_a_handshake_that_fails_is_counted_by_its_reason(watch, sends, reason, caplog):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))
    with socket.create_connection(host_and_port(device.endpoints["frontend"][0])) as stranger:
        if sends is None:
            stranger.shutdown(socket.SHUT_WR)
        else:
            stranger.sendall(sends)
        eventually(lambda: device.peers()["frontend"].handshake_failures, "the failed handshake")
    snapshot = device.peers()["frontend"]
    assert (snapshot.handshake_failures, snapshot.peers) == ({reason: 1}, ())
    eventually(lambda: reason in caplog.text, "the failed handshake in the log")


@pytest.mark.parametrize(
    ("frontend", "theirs"),
    [("PULL", "SUB"), ("PULL", "DEALER"), ("SUB", "PUSH"), ("ROUTER", "PULL"), ("DEALER", "PUB"), ("PAIR", "REQ")],
)
def test_a_peer_whose_type_does_not_fit_is_counted_as_that(watch, frontend, theirs, caplog):
    backend = {"PULL": "PUSH", "SUB": "PUB", "ROUTER": "DEALER", "DEALER": "ROUTER", "PAIR": "PAIR"}[frontend]
    device = watch(Custom(frontend_type=frontend, frontend=LOCAL, backend_type=backend, backend=LOCAL))
    with stranger(device.endpoints["frontend"][0]) as wrong:
        greet(wrong)
        eventually(lambda: connections_of(device, "frontend"), "the connection to be seen")
        wrong.sendall(ready(theirs.encode()))
        eventually(lambda: device.peers()["frontend"].handshake_failures, "the failed handshake")
    assert device.peers()["frontend"].handshake_failures == {"wrong_type": 1}
    takes = {"PULL": "PUSH", "SUB": "PUB/XPUB", "ROUTER": "DEALER/REQ/ROUTER", "DEALER": "DEALER/REP/ROUTER"}
    told = f"reason=wrong_type type={frontend} fitting={takes.get(frontend, frontend)}"
    eventually(lambda: told in caplog.text, "the log")


def test_a_peer_of_libzmqs_whose_type_does_not_fit_is_counted_as_that(watch, peers: Peers):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))

    def is_found():
        # One whose end comes before the hub has seen its beginning is `not_zmtp3`.
        peers.connect(zmq.SUB, *device.endpoints["frontend"], wait=False)
        return gevent.sleep(0.02) or device.peers()["frontend"].handshake_failures.get("wrong_type")

    eventually(is_found, "the reason")


def test_a_connection_that_greets_and_says_no_more_hides_no_peer_that_leaves(watch, peers: Peers):
    device = watch(Relay(sub=LOCAL, push=LOCAL))
    with stranger(device.endpoints["push"][0]) as silent:
        silent.sendall(GREETING)
        eventually(lambda: connections_of(device, "push"), "the connection")
        puller = peers.connect(zmq.PULL, *device.endpoints["push"])
        until_peers(device, "push", 1)
        assert device.peers()["push"].certain
        puller.close()
        until_peers(device, "push", 0)
        assert device.peers()["push"].handshake_failures == {}
        assert device.peers()["push"].disconnected_total == 1


@libzmq_only("it cannot tell handshakes apart")
def test_a_drop_while_it_is_uncertain_whether_a_peer_is_there_is_no_peer(run, peers: Peers):
    relay = run(Relay(sub=LOCAL, push=LOCAL, push_payload="whole"))
    known = relay._assembly.sockets.peers_of("push")
    with stranger(relay.endpoints["push"][0]) as stalls:
        stalls.sendall(GREETING + ready(b"PULL")[:-1])
        eventually(lambda: known._table.connections, "the connection")
        puller = peers.connect(zmq.PULL, *relay.endpoints["push"])
        eventually(lambda: known._table.ready, "the handshake")
        assert not relay.peers()["push"].certain
        puller.close()
        eventually(lambda: len(known._table.connections) == 1, "the end of the peer")
        publisher = peers.publisher(*relay.endpoints["sub"])
        publisher.send(b"x")
        eventually(lambda: relay.snapshot().pumps[0].received == 1, "the message to be read")
        assert relay.snapshot().pumps[0].outlets[0].dropped == {Drop.NO_PEER: 1}


def test_a_dead_sender_of_a_pull_whose_queue_is_full_is_told_as_uncertain(watch, peers: Peers):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL, rcvhwm=1))
    with stranger(device.endpoints["frontend"][0], b"PUSH") as sender:
        until_peers(device, "frontend", 1)
        assert device.peers()["frontend"].certain
        sender.sendall(frame(b"x" * 1000) * 100)
        eventually(lambda: is_held_back(device), "the message in hand")
    eventually(lambda: not device.peers()["frontend"].certain, "the doubt")
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    until_peers(device, "frontend", 0)


@libzmq_only("engine zmtp asks no ZAP handler")
def test_who_a_zap_handler_denies_is_counted_once(peers: Peers):
    context = peers.context
    handler = context.socket(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    device = Device(Streamer(frontend=LOCAL, backend=LOCAL), context=context, watch_peers=True)
    device.start()
    try:
        client = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False)
        request = handler.recv_multipart()
        handler.send_multipart([b"1.0", request[1], b"400", b"no", b"", b""])
        eventually(lambda: device.peers()["frontend"].handshake_failures, "the denial")
        client.close()
        table = device._assembly.sockets.peers_of("frontend")._table
        eventually(lambda: not table.connections, "the end of the connection")
        assert device.peers()["frontend"].handshake_failures == {"auth_400": 1}
        assert device.peers()["frontend"].connected_total == 0
    finally:
        device.stop(0)
        handler.close(0)


def test_retries_of_a_connect_are_counted(watch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        device = watch(Streamer(frontend=LOCAL, backend=f">tcp://127.0.0.1:{taken.getsockname()[1]}"))
        eventually(lambda: device.peers()["backend"].retries, "a retry")


def test_a_connection_in_its_handshake_is_nobody(run, peers: Peers):
    relay = run(Relay(sub=LOCAL, push=LOCAL, push_payload="whole"))
    publisher = peers.publisher(*relay.endpoints["sub"])
    with socket.create_connection(host_and_port(relay.endpoints["push"][0])):
        eventually(lambda: connections_of(relay, "push"), "the connection")
        publisher.send(b"x")
        eventually(lambda: relay.snapshot().pumps[0].received == 1, "the message to be read")
    (outlet,) = relay.snapshot().pumps[0].outlets
    assert outlet.dropped == {Drop.NO_PEER: 1}


def test_a_silent_connection_hides_no_peer_that_leaves(watch, peers: Peers):
    device = watch(Relay(sub=LOCAL, push=LOCAL))
    with socket.create_connection(host_and_port(device.endpoints["push"][0])):
        puller = peers.connect(zmq.PULL, *device.endpoints["push"])
        until_peers(device, "push", 1)
        puller.close()
        until_peers(device, "push", 0)
        assert device.peers()["push"].handshake_failures == {}
        assert device.peers()["push"].disconnected_total == 1


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [False, True])
def test_a_storm_of_a_thousand_connects_is_counted_whole(watch, blocked):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))
    endpoint = device.endpoints["frontend"][0]
    context = zmq.Context(2)
    context.set(zmq.MAX_SOCKETS, 2000)

    def storm(pushers):
        for _ in range(500):
            pusher = context.socket(zmq.PUSH)
            pusher.linger = 0
            pusher.connect(endpoint)
            pushers.append(pusher)

    pushers: tuple[list, list] = ([], [])
    threads = [threading.Thread(target=storm, args=(some,)) for some in pushers]
    try:
        for thread in threads:
            thread.start()
        if blocked:
            time.sleep(1)
        else:
            gevent.get_hub().threadpool.apply(threads[0].join)
        eventually(lambda: device.peers()["frontend"].connected_total == 1000, "1000 handshakes", within_s=20)
        snapshot = device.peers()["frontend"]
        assert len({one.address for one in snapshot.peers}) == len(snapshot.peers) == 1000
        assert "unknown" not in {one.address for one in snapshot.peers}
    finally:
        for thread in threads:
            thread.join()
        for pusher in (*pushers[0], *pushers[1]):
            pusher.close(0)
    eventually(lambda: device.peers()["frontend"].disconnected_total == 1000, "1000 ends", within_s=20)
    assert device.peers()["frontend"].peers == ()
    gevent.get_hub().threadpool.apply(context.term)


@libzmq_only("it reads events of libzmq")
def test_of_a_storm_a_piece_is_taken_in_at_a_time_and_all_of_it_in_the_end(watch, peers: Peers, monkeypatch):
    monkeypatch.setattr("geventrelay.engine.peers._AT_A_TIME", 1)
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))
    for _ in range(20):
        peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    eventually(lambda: device._assembly.sockets.peers_of("frontend")._table.ready == 20, "all of them")
    peers.close()
    eventually(lambda: device._assembly.sockets.peers_of("frontend")._table.ready == 0, "the end of all of them")


def test_a_process_without_descriptors_goes_on(watch):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))
    address = host_and_port(device.endpoints["frontend"][0])
    strangers = [socket.socket() for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest descriptor that is free is the first that cannot be had.
    with socket.socket() as free:
        lowest = free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for stranger in strangers:
            stranger.connect(address)
        # libzmq's io thread tries all the while, and the hub is to go on.
        gevent.sleep(0.2)
        device.pause()
        device.resume()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for stranger in strangers:
            stranger.close()
    eventually(
        lambda: sum(device.peers()["frontend"].handshake_failures.values()) == 3, "them to be accepted, and gone"
    )


@libzmq_only("engine zmtp knows its peers at no cost")
def test_without_watching_only_what_tells_drops_apart_is_followed(run):
    assert run(Queue(frontend=LOCAL, backend=LOCAL)).peers() == {}
    assert list(run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL)).peers()) == ["push"]


def test_inproc_is_not_watched(peers: Peers):
    device = Device(Streamer(frontend="inproc://in", backend=LOCAL), context=peers.context, watch_peers=True)
    with device:
        assert list(device.peers()) == ["backend"]


def test_counts_are_there_after_a_stop_and_gone_with_the_next_start(watch, peers: Peers):
    device = watch(Streamer(frontend=LOCAL, backend=LOCAL))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    until_peers(device, "frontend", 1)
    device.stop(0)
    assert (device.peers()["frontend"].connected_total, device.peers()["frontend"].peers) == (1, ())
    device.start()
    assert device.peers()["frontend"].connected_total == 0


def until_topics(device: Device, *topics: bytes) -> None:
    eventually(
        lambda: device.subscriptions() == tuple(sorted(topics)), lambda: f"{topics}, not {device.subscriptions()}"
    )


def test_topics_are_told_as_long_as_somebody_wants_them(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL))
    assert device.subscriptions() == ()
    three = [peers.subscriber(*device.endpoints["backend"], prefix=b"prices") for _ in range(3)]
    other = peers.subscriber(*device.endpoints["backend"], prefix=b"\xff\0")
    until_topics(device, b"prices", b"\xff\0")
    publisher = peers.publisher(*device.endpoints["frontend"])
    three[0].close()
    other.close()
    until_topics(device, b"prices")
    publisher.send(b"prices 1")
    assert three[1].recv() == [b"prices 1"]
    three[1].close()
    three[2].close()
    until_topics(device)


def test_asking_leaves_a_forwarders_traffic_and_accounts_alone(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, slow_subscriber="block"))
    subscriber = peers.subscriber(*device.endpoints["backend"])
    publisher = peers.publisher(*device.endpoints["frontend"], sndhwm=0)

    def ask():
        while True:
            device.subscriptions()
            gevent.sleep(0)

    asking = gevent.spawn(ask)
    for number in range(2000):
        publisher.send(b"%d" % number)
    assert subscriber.recv_all(2000) == [[b"%d" % number] for number in range(2000)]
    asking.kill()
    assert device.snapshot().pumps[0].received == 2000


def test_thousands_of_topics_are_all_told(run, peers: Peers):
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL))
    wanted = [b"%d" % number for number in range(12_000)]
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], sndhwm=0, subscribe=wanted)
    eventually(lambda: device.snapshot().pumps[1].received == len(wanted), "every subscription")
    assert set(device.subscriptions()) == set(wanted)
    subscriber.close()
    eventually(lambda: device.subscriptions() == (), "the end of every subscription")


def test_a_custom_pair_the_other_way_round_is_told_as_well(run, peers: Peers):
    device = run(Custom(frontend_type="XPUB", frontend=LOCAL, backend_type="XSUB", backend=LOCAL))
    peers.subscriber(*device.endpoints["frontend"], prefix=b"a")
    until_topics(device, b"a")


def test_who_forwards_no_subscriptions_has_none_to_tell(run):
    assert run(Queue(frontend=LOCAL, backend=LOCAL)).subscriptions() is None
    assert run(Forwarder(frontend=LOCAL, backend=LOCAL, subscribe="", name="sub")).subscriptions() is None
    assert Device(Forwarder(frontend=LOCAL, backend=LOCAL)).subscriptions() == ()
