"""Devices of one context that are joined over inproc: the one that connects does so again when the other is back."""

from __future__ import annotations

import pytest
import zmq
from support.serving import serve
from support.traffic import pump

from geventrelay import Device, Forwarder, Queue, Streamer
from geventrelay.testing import LOCAL, Peer, Peers, connected, eventually

__all__ = ["serve"]

LINK = "inproc://link"


def _chain(pattern, peers, run, first):
    """Two devices of `pattern`, joined over inproc: the one that connects, and the one that binds."""
    sides = {
        "connects": pattern(name="connects", frontend=LOCAL, backend=">" + LINK),
        "binds": pattern(name="binds", frontend=LINK, backend=LOCAL),
    }
    other = {"connects": "binds", "binds": "connects"}[first]
    made = {name: run(sides[name]) for name in (first, other)}
    return made["connects"], made["binds"]


class _Tasks:
    """Sends tasks through chains, and reads them at the other end: one puller for each life of the device there."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._pullers: dict[str, Peer] = {}

    def __call__(self, one: Device, two: Device, tag: bytes) -> bytes:
        end = two.endpoints["backend"][0]
        if end not in self._pullers:
            self._pullers[end] = self._peers.connect(zmq.PULL, end)
        self._peers.connect(zmq.PUSH, *one.endpoints["frontend"]).send(tag)
        return self._pullers[end].recv()[0]


@pytest.mark.parametrize("first", ["connects", "binds"])
@pytest.mark.parametrize("restarted", ["connects", "binds"])
def test_tasks_pass_through_a_chain_whichever_device_restarts(run, peers: Peers, first, restarted):
    one, two = _chain(Streamer, peers, run, first)
    task = _Tasks(peers)
    assert task(one, two, b"before") == b"before"
    for number in range(3):
        changed = {"connects": one, "binds": two}[restarted]
        changed.stop(0)
        changed.start()
        assert task(one, two, b"%d" % number) == b"%d" % number


@pytest.mark.parametrize("first", ["connects", "binds"])
def test_requests_pass_through_a_chain_whose_binding_device_restarts(run, peers: Peers, first):
    one, two = _chain(Queue, peers, run, first)
    for number in range(3):
        worker = peers.connect(zmq.REP, *two.endpoints["backend"])
        client = peers.connect(zmq.REQ, *one.endpoints["frontend"])
        client.send(b"%d" % number)
        assert worker.recv() == [b"%d" % number]
        worker.send(b"answer")
        assert client.recv() == [b"answer"]
        worker.close()
        two.stop(0)
        two.start()


def test_subscriptions_pass_through_a_chain_whose_binding_device_restarts(run, peers: Peers):
    # Here the subscribers' device connects.
    two = run(Forwarder(name="binds", frontend=LOCAL, backend=LINK))
    one = run(Forwarder(name="connects", frontend=">" + LINK, backend=LOCAL))
    subscriber = peers.subscriber(*one.endpoints["backend"], prefix=b"topic")
    for number in range(3):
        publisher = peers.connect(zmq.PUB, *two.endpoints["frontend"])
        connected(publisher, subscriber)
        publisher.send(b"topic %d" % number)
        assert subscriber.recv() == [b"topic %d" % number]
        publisher.close()
        two.stop(0)
        two.start()


def test_what_comes_while_the_binding_device_is_down_waits_for_it(run, peers: Peers):
    one, two = _chain(Streamer, peers, run, "connects")
    task = _Tasks(peers)
    assert task(one, two, b"before") == b"before"
    two.stop()
    pusher = peers.connect(zmq.PUSH, *one.endpoints["frontend"])
    for number in range(100):
        pusher.send(b"%d" % number)
    eventually(lambda: one.snapshot().held, "the first to be in hand")
    assert pump(one, "frontend").outlets[0].sent == 1
    two.start()
    puller = peers.connect(zmq.PULL, *two.endpoints["backend"])
    assert [int(message[0]) for message in puller.recv_all(100)] == list(range(100))


def test_what_had_been_sent_before_the_binding_device_stops_goes_through(run, peers: Peers):
    one, two = _chain(Streamer, peers, run, "binds")
    puller = peers.connect(zmq.PULL, *two.endpoints["backend"])
    two.pause()
    pusher = peers.connect(zmq.PUSH, *one.endpoints["frontend"])
    for number in range(100):
        pusher.send(b"%d" % number)
    eventually(lambda: pump(one, "frontend").outlets[0].sent == 100, "all to be at the other device")
    two.stop(10)
    assert [int(message[0]) for message in puller.recv_all(100)] == list(range(100))


def test_several_devices_that_connect_all_do_so_again_and_one_that_has_stopped_does_not(run, peers: Peers):
    two = run(Streamer(name="binds", frontend=LINK, backend=LOCAL))
    ones = [run(Streamer(name=f"connects-{number}", frontend=LOCAL, backend=">" + LINK)) for number in range(3)]
    gone = ones.pop()
    gone.stop(0)
    two.stop(0)
    two.start()
    task = _Tasks(peers)
    assert [task(one, two, b"x") for one in ones] == [b"x", b"x"]


@pytest.mark.parametrize("changed", [("one",), ("two",), ("one", "two")])
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_chain_of_one_server_survives_failures_and_reloads(serve, peers: Peers, order, changed):
    def devices(**options):
        both = {"one": {"frontend": LOCAL, "backend": ">" + LINK}, "two": {"frontend": LINK, "backend": LOCAL}}
        return [Streamer(name=name, **both[name], **(options if name in changed else {})) for name in order]

    serving, task = serve(*devices()).until_ready(), _Tasks(peers)
    assert task(serving.device("one"), serving.device("two"), b"1") == b"1"
    for name in changed:
        serving.fail(name)
        serving.until_ready()
    assert task(serving.device("one"), serving.device("two"), b"2") == b"2"
    assert set(serving.reload(*devices(sndhwm=7)).changed) == set(changed)
    serving.until_ready()
    assert task(serving.device("one"), serving.device("two"), b"3") == b"3"
