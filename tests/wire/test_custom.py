"""custom: pairs that nobody ships."""

from __future__ import annotations

import pytest
import zmq
from support.traffic import open_way, pump

from geventrelay import Custom, Drop
from geventrelay.testing import LOCAL, Peers, eventually


@pytest.fixture
def join(run):
    """Starts a custom device of two types; returns it and its two endpoints."""

    def start(frontend_type, backend_type, **settings):
        device = run(
            Custom(frontend_type=frontend_type, frontend=LOCAL, backend_type=backend_type, backend=LOCAL, **settings)
        )
        return device, device.endpoints["frontend"][0], device.endpoints["backend"][0]

    return start


@pytest.mark.parametrize("frontend", ["PULL", "SUB", "PAIR", "DEALER"])
@pytest.mark.parametrize("backend", ["PUSH", "PUB", "PAIR", "DEALER"])
def test_messages_go_from_any_frontend_to_any_backend_whole(join, peers: Peers, frontend, backend):
    device, front, back = join(frontend, backend)
    sender = (
        peers.publisher(front)
        if frontend == "SUB"
        else peers.connect({"PULL": zmq.PUSH, "PAIR": zmq.PAIR, "DEALER": zmq.DEALER}[frontend], front)
    )
    if backend == "PUB":
        receiver = peers.subscriber(back)
        open_way(sender, device, subscribers=[receiver])
    else:
        receiver = peers.connect({"PUSH": zmq.PULL, "PAIR": zmq.PAIR, "DEALER": zmq.DEALER}[backend], back)
    messages = [[b"%d" % number, b"", b"tail"] for number in range(50)]
    for message in messages:
        sender.send(*message)
    assert receiver.recv_all(50) == messages
    if frontend in ("PAIR", "DEALER") and backend in ("PAIR", "DEALER"):
        for message in messages:
            receiver.send(*message)
        assert sender.recv_all(50) == messages
    else:
        assert len(device.snapshot().pumps) == 1


def test_two_routers_swap_addresses_so_that_anybody_reaches_anybody(join, peers: Peers):
    _, front, back = join("ROUTER", "ROUTER")
    left, right = (
        [peers.connect(zmq.DEALER, end, routing_id=b"%s%d" % (name, number)) for number in range(2)]
        for end, name in ((front, b"left"), (back, b"right"))
    )
    # A ROUTER knows of a peer a little before it can be seen here, so the right ones speak first.
    for one in right:
        one.send(b"left0", b"hello")
    assert sorted(left[0].recv_all(2)) == [[b"right0", b"hello"], [b"right1", b"hello"]]
    left[1].send(b"right0", b"", b"request")
    assert right[0].recv() == [b"left1", b"", b"request"]
    right[0].send(b"left1", b"", b"reply")
    assert left[1].recv() == [b"right0", b"", b"reply"]


def test_between_two_routers_a_message_for_nobody_is_unroutable_and_an_empty_one_malformed(join, peers: Peers):
    device, front, back = join("ROUTER", "ROUTER")
    one = peers.connect(zmq.DEALER, front, routing_id=b"one")
    other = peers.connect(zmq.DEALER, back, routing_id=b"other")
    one.send(b"nobody", b"hello")
    one.send(b"other")
    eventually(lambda: pump(device, "frontend").received == 2, "both messages to be read")
    dropped = pump(device, "frontend").outlets[0].dropped
    assert sum(dropped.values()) + pump(device, "frontend").outlets[0].sent == 2
    assert dropped[Drop.UNROUTABLE] >= 1
    other.send(b"one", b"fence")
    assert one.recv() == [b"other", b"fence"]


def test_an_xpub_frontend_and_an_xsub_backend_are_a_forwarder_the_other_way_round(join, peers: Peers):
    _, front, back = join("XPUB", "XSUB")
    subscriber = peers.subscriber(front, prefix=b"a")
    publisher = peers.publisher(back)
    publisher.send(b"a news")
    assert subscriber.recv() == [b"a news"]
    subscriber.close()
    assert publisher.recv() == [b"\x00a"]


def test_a_router_in_front_of_a_push_hands_on_who_sent_what(join, peers: Peers):
    _, front, back = join("ROUTER", "PUSH")
    one, puller = peers.connect(zmq.DEALER, front, routing_id=b"one"), peers.connect(zmq.PULL, back)
    one.send(b"task")
    assert puller.recv() == [b"one", b"task"]


def test_tasks_that_name_their_worker_reach_it_through_a_router(join, peers: Peers):
    _, front, back = join("PULL", "ROUTER")
    pusher = peers.connect(zmq.PUSH, front)
    workers = [peers.connect(zmq.DEALER, back, routing_id=b"%d" % number) for number in range(3)]
    for number, worker in enumerate(workers):
        eventually(
            lambda number=number, worker=worker: pusher.send(b"%d" % number, b"probe") or worker.socket.readable,
            "the worker to be known",
        )
    pusher.send(b"1", b"task")
    while (message := workers[1].recv()) == [b"probe"]:
        pass
    assert message == [b"task"]


def test_a_sub_takes_only_its_prefixes_and_everything_by_default(join, peers: Peers):
    device, front, back = join("SUB", "PUSH", subscribe="a")
    publisher, puller = peers.publisher(front), peers.connect(zmq.PULL, back)
    for body in (b"b", b"a"):
        publisher.send(body)
    assert puller.recv() == [b"a"]
    assert pump(device, "frontend").received == 1
