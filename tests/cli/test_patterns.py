"""Each pattern, started by its command, between peers of the patterns' types."""

from __future__ import annotations

import json
import os

import gevent
import pytest
import zmq
from support.patterns import EVERY
from support.process import balanced

from geventrelay.testing import connected, fence

EVENT = b'topic {"a": 1}'


@pytest.mark.parametrize("pattern", EVERY)
def test_each_pattern_starts_by_its_command_and_stops(start, pattern):
    server = start(*EVERY[pattern])
    assert all(server.endpoints.values())
    assert set(server.stop().values()) == {0}
    assert f"device={pattern} " in server.output


@pytest.mark.parametrize("name", [["relay"], []], ids=["named", "by default"])
def test_relay_gives_subscribers_the_message_and_a_puller_its_payload(start, peers, name):
    server = start(*name, "--sub-port", "0", "--pub-port", "0", "--push-port", "0")
    publisher = peers.connect(zmq.PUB, server["sub"])
    puller = peers.connect(zmq.PULL, server["push"])
    subscribers = [peers.subscriber(server["pub"]) for _ in range(2)]
    connected(publisher, *subscribers)
    fence(publisher, puller)
    publisher.send(EVENT)
    assert puller.recv() == [b'{"a": 1}']
    assert [one.recv() for one in subscribers] == [[EVENT]] * 2
    numbers = server.stop()
    assert numbers["sub.received"] == numbers["pub.sent"]
    assert "device=relay" in server.output


@pytest.mark.parametrize("side", ["pub", "push"])
def test_relay_works_with_one_side_alone(start, peers, side):
    server = start("--sub-port", "0", f"--{side}-port", "0")
    assert set(server.endpoints) == {"sub", side}
    publisher = peers.connect(zmq.PUB, server["sub"])
    receiver = peers("SUB" if side == "pub" else "PULL", server[side])
    fence(publisher, receiver)
    publisher.send(EVENT)
    assert receiver.recv() == [EVENT if side == "pub" else b'{"a": 1}']


def test_each_payload_goes_to_one_puller(start, peers):
    server = start("--sub-port", "0", "--push-port", "0")
    publisher = peers.connect(zmq.PUB, server["sub"])
    pullers = [peers.connect(zmq.PULL, server["push"]) for _ in range(2)]
    for puller in pullers:
        fence(publisher, puller)
    for number in range(10):
        publisher.send(b"topic %d" % number)
    # Taken in turn by two pullers that keep up: five each.
    got = [int(number) for one in pullers for (number,) in one.recv_all(5)]
    assert sorted(got) == list(range(10))


@pytest.mark.parametrize(
    ("choice", "message", "payload"),
    [
        ("auto", [b"topic", b"one", b"two"], [b"one", b"two"]),
        ("auto", [b"nospace"], [b"nospace"]),
        ("space", [b"topic one", b"two"], [b"one", b"two"]),
        ("parts", [b"topic one"], [b"topic one"]),
        ("whole", [b"topic one"], [b"topic one"]),
    ],
)
def test_push_payload_chooses_the_payload(start, peers, choice, message, payload):
    server = start("--sub-port", "0", "--push-port", "0", "--push-payload", choice)
    publisher = peers.connect(zmq.PUB, server["sub"])
    puller = peers.connect(zmq.PULL, server["push"])
    fence(publisher, puller)
    publisher.send(*message)
    assert puller.recv() == payload


def test_payloads_with_no_puller_are_dropped_and_counted(start, peers):
    server = start("--sub-port", "0", "--pub-port", "0", "--push-port", "0")
    connected(peers.publisher(server["sub"]), peers.subscriber(server["pub"]))
    numbers = server.stop()
    assert numbers["push.dropped.no_peer"] == numbers["sub.received"] == numbers["pub.sent"]


def test_subscribe_takes_only_what_begins_so(start, peers):
    prefixes = ["--subscribe", "a", "--subscribe", "b"]
    server = start("--sub-port", "0", "--push-port", "0", *prefixes, "--push-payload", "whole")
    publisher = peers.connect(zmq.XPUB, server["sub"])
    assert sorted(publisher.recv_all(2)) == [[b"\x01a"], [b"\x01b"]]
    puller = peers.connect(zmq.PULL, server["push"])
    fence(publisher, puller, prefix=b"a")
    for message in (b"a1", b"c1", b"b1"):
        publisher.send(message)
    assert puller.recv_all(2) == [[b"a1"], [b"b1"]]


def test_forwarder_sends_subscriptions_up_and_messages_down(start, peers):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    publisher = peers.connect(zmq.XPUB, server["frontend"])
    subscriber = peers.subscriber(server["backend"], prefix=b"news ")
    assert publisher.recv() == [b"\x01news "]
    publisher.send(b"weather rain")
    publisher.send(b"news one", b"", b"two")
    assert subscriber.recv() == [b"news one", b"", b"two"]
    subscriber.socket.unsubscribe(b"news ")
    assert publisher.recv() == [b"\x00news "]


def test_forwarder_with_subscribe_takes_them_whoever_is_there(start, peers):
    server = start("forwarder", "--frontend", "0", "--backend", "0", "--subscribe", "news ")
    publisher = peers.connect(zmq.XPUB, server["frontend"])
    assert publisher.recv() == [b"\x01news "]
    subscriber = peers.subscriber(server["backend"])
    fence(publisher, subscriber, prefix=b"news ")
    publisher.send(b"news one")
    assert subscriber.recv() == [b"news one"]


def test_queue_answers_hello_world_ten_times(start, peers):
    server = start("queue", "--frontend", "0", "--backend", "0")
    client = peers.connect(zmq.REQ, server["frontend"])
    worker = peers.connect(zmq.REP, server["backend"])

    def work():
        for _ in range(10):
            assert worker.recv() == [b"Hello"]
            worker.send(b"World")

    working = gevent.spawn(work)
    answers = []
    for _ in range(10):
        client.send(b"Hello")
        answers.append(client.recv())
    working.get()
    assert answers == [[b"World"]] * 10
    moved = {"frontend.received": 10, "backend.sent": 10, "backend.received": 10, "frontend.sent": 10, "held": 0}
    assert server.stop().items() >= moved.items()


def test_queue_keeps_clients_apart(start, peers):
    server = start("queue", "--frontend", "0", "--backend", "0")
    clients = [peers.connect(zmq.REQ, server["frontend"]) for _ in range(5)]
    worker = peers.connect(zmq.REP, server["backend"])
    for number, client in enumerate(clients):
        client.send(b"%d" % number, b"", b"x")
    for _ in clients:
        worker.send(*worker.recv(), b"answered")
    assert [client.recv() for client in clients] == [[b"%d" % number, b"", b"x", b"answered"] for number in range(5)]


def test_streamer_keeps_the_order(start, peers):
    server = start("streamer", "--frontend", "0", "--backend", "0")
    client = peers.connect(zmq.PUSH, server["frontend"])
    worker = peers.connect(zmq.PULL, server["backend"])
    for number in range(1000):
        client.send(b"%d" % number, b"")
    assert worker.recv_all(1000) == [[b"%d" % number, b""] for number in range(1000)]
    moved = {"frontend.received": 1000, "backend.sent": 1000, "held": 0}
    assert server.stop().items() >= moved.items()


def test_custom_joins_a_pull_to_a_pub(start, peers):
    server = start(
        "custom", "--frontend-type", "PULL", "--frontend", "0", "--backend-type", "PUB", "--backend", "0"
    )  # fmt: skip
    client = peers.connect(zmq.PUSH, server["frontend"])
    subscriber = peers.subscriber(server["backend"])
    fence(client, subscriber)
    client.send(b"to all")
    assert subscriber.recv() == [b"to all"]


def test_custom_joins_two_pairs_in_both_directions(start, peers):
    server = start(
        "custom", "--frontend-type", "pair", "--frontend", "0", "--backend-type", "pair", "--backend", "0"
    )  # fmt: skip
    left, right = peers.connect(zmq.PAIR, server["frontend"]), peers.connect(zmq.PAIR, server["backend"])
    left.send(b"there")
    assert right.recv() == [b"there"]
    right.send(b"back")
    assert left.recv() == [b"back"]


def test_a_side_has_several_endpoints_bound_and_connected(start, peers, folder):
    worker = peers("PULL")
    server = start(
        "streamer", "--frontend", "0", "--frontend", f"@ipc://{folder}/tasks", "--backend", f">{worker.endpoint}"
    )  # fmt: skip
    assert len(server.endpoints["frontend"]) == 2
    assert server.endpoints["backend"] == []
    for endpoint in server.endpoints["frontend"]:
        peers.connect(zmq.PUSH, endpoint).send(endpoint.encode())
    assert {place.decode() for (place,) in worker.recv_all(2)} == set(server.endpoints["frontend"])


def test_a_bare_environment_is_enough(start, peers):
    # PYTHONPATH is how a source tree that is not installed is found.
    env = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    server = start("streamer", "--frontend", "0", "--backend", "0", env=env)
    peers.connect(zmq.PUSH, server["frontend"]).send(b"task")
    assert peers.connect(zmq.PULL, server["backend"]).recv() == [b"task"]
    assert balanced_after_stop(server) == 1


def test_name_stands_in_log_ready_file_and_accounting(start):
    server = start("streamer", "--frontend", "0", "--backend", "0", "--name", "tasks-eu")
    assert json.loads(server.ready_file.read_text())["device"] == "tasks-eu"
    server.stop()
    assert server.output.startswith("accounting device=tasks-eu ")
    assert "bound device=tasks-eu socket=frontend" in server.errors


def balanced_after_stop(server):
    server.stop()
    return balanced(server.output)["backend.sent"]
