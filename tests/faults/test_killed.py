"""Peers that are killed in the middle of their work."""

from __future__ import annotations

import os
import signal
import sys

import pytest
import zmq

# Says what it got, answers where a REP must, and waits to be killed.
PEER = """
import signal, sys, zmq
kind, endpoint, *message = sys.argv[1:]
socket = zmq.Context().socket(getattr(zmq, kind))
socket.rcvhwm = 1
socket.connect(endpoint)
for part in message:
    socket.send(part.encode())
    print("sent", flush=True)
while True:
    if kind == "PUSH":
        signal.pause()
    got = socket.recv()
    print(got.decode(), flush=True)
    if got == b"keep":
        signal.pause()
    if kind == "REP":
        socket.send(got)
"""

QUEUE = ["queue", "--frontend", "0", "--backend", "0"]
STREAMER = ["streamer", "--frontend", "0", "--backend", "0"]


@pytest.fixture
def doomed_peer(run):
    """``doomed_peer("REP", endpoint)`` is a worker or client in a process of its own."""
    return lambda kind, endpoint, *message: run([sys.executable, "-c", PEER, kind, endpoint, *message])


def kill(program):
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL


def test_requests_go_on_to_another_worker_when_one_is_killed(start, peers, doomed_peer):
    server = start(*QUEUE)
    client, unlucky = peers.connect(zmq.REQ, server["frontend"]), peers.connect(zmq.REQ, server["frontend"])
    worker = doomed_peer("REP", server["backend"])
    client.send(b"hello")
    assert client.recv() == [b"hello"]
    unlucky.send(b"keep")
    worker.until_said("keep")
    kill(worker)
    server.until_connections("backend", 0)
    doomed_peer("REP", server["backend"])
    for _ in range(10):
        client.send(b"again")
        assert client.recv() == [b"again"]
    # What the dead one had in hand is lost; a REQ that waits for it is for its client to give up.
    assert not unlucky.recv_now()
    numbers = server.stop()
    assert (numbers["frontend.received"], numbers["backend.sent"], numbers["frontend.sent"]) == (12, 12, 11)


def test_with_the_last_worker_killed_requests_wait_for_the_next(start, peers, doomed_peer):
    server = start(*QUEUE)
    worker = doomed_peer("REP", server["backend"])
    server.until_connections("backend", 1)
    kill(worker)
    server.until_connections("backend", 0)
    clients = [peers.connect(zmq.REQ, server["frontend"]) for _ in range(5)]
    for client in clients:
        client.send(b"hello")
    doomed_peer("REP", server["backend"])
    assert [client.recv() for client in clients] == [[b"hello"]] * 5


def test_tasks_go_to_the_workers_that_are_left(start, peers, doomed_peer):
    server = start(*STREAMER)
    doomed = doomed_peer("PULL", server["backend"])
    client = peers.connect(zmq.PUSH, server["frontend"])
    client.send(b"first")
    doomed.until_said("first")
    survivor = peers.connect(zmq.PULL, server["backend"])
    server.until_connections("backend", 2)
    kill(doomed)
    server.until_connections("backend", 1)
    for number in range(1000):
        client.send(b"%d" % number)
    assert survivor.recv_all(1000) == [[b"%d" % number] for number in range(1000)]


def test_a_reply_to_a_killed_client_is_counted_and_holds_up_nobody(start, peers, doomed_peer):
    server = start(*QUEUE)
    worker = peers.connect(zmq.REP, server["backend"])
    client = doomed_peer("REQ", server["frontend"], "question")
    assert worker.recv() == [b"question"]
    kill(client)
    server.until_connections("frontend", 0)
    worker.send(b"answer to nobody")
    other = peers.connect(zmq.REQ, server["frontend"])
    for _ in range(10):
        other.send(b"hello")
        worker.send(*worker.recv())
        assert other.recv() == [b"hello"]
    numbers = server.stop()
    assert numbers["frontend.dropped.unroutable"] == 1
    assert numbers["frontend.sent"] == 10


def test_what_a_killed_client_had_sent_is_still_delivered(start, peers, doomed_peer):
    server = start(*STREAMER)
    client = doomed_peer("PUSH", server["frontend"], *map(str, range(100)))
    # The frontend has read all of it once the worker gets the last; then the client dies.
    worker = peers.connect(zmq.PULL, server["backend"])
    assert worker.recv_all(50) == [[b"%d" % number] for number in range(50)]
    client.until(lambda: client.output.count("sent") == 100, "client to have sent all")
    server.until(lambda: worker.socket.readable, "more to have come")
    assert worker.recv_all(50) == [[b"%d" % number] for number in range(50, 100)]
    kill(client)
    server.until_connections("frontend", 0)
    peers.connect(zmq.PUSH, server["frontend"]).send(b"next")
    assert worker.recv() == [b"next"]


def test_killed_subscribers_are_noticed_by_no_other(start, peers, doomed_peer):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    publisher = peers.connect(zmq.XPUB, server["frontend"])
    doomed = [peers.connect(zmq.SUB, server["backend"], subscribe=b"a")]
    assert publisher.recv() == [b"\x01a"]
    programs = [doomed_peer("SUB", server["backend"]) for _ in range(3)]
    subscriber = peers.connect(zmq.SUB, server["backend"], subscribe=b"b")
    assert publisher.recv() == [b"\x01b"]
    server.until_connections("backend", 5)
    for program in programs:
        kill(program)
    for number in range(100):
        publisher.send(b"b%d" % number)
    assert subscriber.recv_all(100) == [[b"b%d" % number] for number in range(100)]
    assert not doomed[0].recv_now()


def test_a_killed_publisher_is_replaced_by_the_next_which_hears_the_subscriptions(start, peers, doomed_peer):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    subscriber = peers.connect(zmq.SUB, server["backend"], subscribe=b"news")
    first = doomed_peer("XPUB", server["frontend"])
    first.until_said("\x01news")
    kill(first)
    second = peers.connect(zmq.XPUB, server["frontend"])
    assert second.recv() == [b"\x01news"]
    second.send(b"news two")
    assert subscriber.recv() == [b"news two"]


def test_a_killed_server_is_replaced_by_the_next_at_the_same_place(start, peers, folder):
    ends = ["--frontend", f"ipc://{folder}/in", "--backend", f"ipc://{folder}/out"]
    first = start("streamer", *ends)
    client = peers.connect(zmq.PUSH, first["frontend"], reconnect_ivl=10)
    worker = peers.connect(zmq.PULL, first["backend"], reconnect_ivl=10)
    client.send(b"one")
    assert worker.recv() == [b"one"]
    kill(first)
    # What it left behind, two socket files and a ready file, is in nobody's way.
    assert os.path.exists(folder / "in")
    start("streamer", *ends)
    while not worker.socket.poll(100):
        client.send(b"two")
    assert worker.recv() == [b"two"]
