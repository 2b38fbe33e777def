"""Devices whose work NATS keeps: one is killed, with work stored, or with work in hand."""

from __future__ import annotations

import base64
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.durable import STREAM, ask_for_consumer
from support.nats import LONG_S, NatsServer, asked, nats_server

from geventrelay.backbone.pack import head_of
from geventrelay.testing import eventually

# Servers and devices are started, killed and missed: more than one of these may take long.
pytestmark = pytest.mark.timeout(4 * LONG_S)

ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as server:
        # Until then it waits for a device that was killed.
        ask_for_consumer(server.url, ack_wait_s=1.0)
        yield server


def numbered(count: int, size: int) -> list[list[bytes]]:
    return [[b"%d" % number, b"x" * size] for number in range(count)]


def state(nats: NatsServer) -> dict[str, int]:
    found = asked(nats.url, f"$JS.API.STREAM.INFO.{STREAM}")["state"]
    assert isinstance(found, dict)
    return found


def stored(nats: NatsServer) -> int:
    """How many messages there are in all packs of the stream, of which none was fetched."""
    packs = (
        asked(nats.url, f"$JS.API.STREAM.MSG.GET.{STREAM}", {"seq": 1 + number})["message"]["data"]
        for number in range(state(nats)["messages"])
    )
    return sum(head_of(base64.b64decode(pack)).count for pack in packs)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_stored_outlives_the_device_that_stored_it_and_the_server(start, peers, nats, engine):
    ports = ("streamer", "--frontend", "0", "--backend", "0", "--name", "work")
    command = (*ports, "--backbone", nats.url, "--durable", "--engine", engine)
    here = start(*command)
    here.until_logged("backbone-stores")
    source = peers.connect(zmq.PUSH, here["frontend"], sndhwm=0)
    messages = numbered(500, 1000)
    for message in messages:
        source.send(*message)
    eventually(lambda: stored(nats) == 500, lambda: f"all to be stored: {state(nats)}", LONG_S)
    here.signal(signal.SIGKILL)
    here.wait()
    nats.kill()
    nats.start()
    there = start(*command)
    worker = peers.connect(zmq.PULL, there["backend"], rcvhwm=0)
    assert worker.recv_all(500, LONG_S) == messages
    eventually(lambda: state(nats)["messages"] == 0, "all to be acknowledged", LONG_S)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_killed_device_had_in_hand_comes_to_another(start, peers, nats, engine):
    ports = ("streamer", "--frontend", "0", "--backend", "0", "--name", "work", "--sndhwm", "1", "--rcvhwm", "1")
    command = (*ports, "--backbone", nats.url, "--durable", "--engine", engine)
    here = start(*command)
    source = peers.connect(zmq.PUSH, here["frontend"], sndhwm=0)
    messages = numbered(1500, 10_000)
    for message in messages:
        source.send(*message)
    eventually(lambda: state(nats)["bytes"] > 10_000_000, lambda: f"work to be stored: {state(nats)}", LONG_S)
    # Its worker reads nothing: this is more than all sockets on the way hold. When these are full, it has work in hand
    # for a second, and gives it back then.
    killed = start(*command)
    stalled = peers.connect(zmq.PULL, killed["backend"], rcvhwm=1)
    eventually(lambda: in_hand(nats), lambda: f"work in hand: {state(nats)}", LONG_S)
    killed.signal(signal.SIGKILL)
    killed.wait()
    there = start(*command)
    worker = peers.connect(zmq.PULL, there["backend"], rcvhwm=0)
    got: list[list[bytes]] = []

    def came() -> bool:
        got.extend(stalled.recv_now() + worker.recv_now())
        return len({one[0] for one in got}) >= 1500 - 4 and state(nats)["messages"] == 0

    eventually(came, lambda: f"all of it, not {len(got)}: {state(nats)}", 2 * LONG_S)
    numbers = Counter(int(one[0]) for one in got)
    # What was handed to the stalled worker's socket and was in its queue has gone with the process.
    assert len(set(range(1500)) - numbers.keys()) <= 4
    assert sum(numbers.values()) - len(numbers) <= 64


def in_hand(nats: NatsServer) -> bool:
    """Whether some work was taken and acknowledged, some is in hand, and more waits."""
    found = asked(nats.url, f"$JS.API.CONSUMER.INFO.{STREAM}.geventrelay")
    return all((found["ack_floor"]["consumer_seq"], found["num_ack_pending"], found["num_pending"]))
