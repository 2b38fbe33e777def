"""The link of one device to NATS stalls: nothing comes over it, and no end is told."""

from __future__ import annotations

import pytest
import zmq
from support.nats import LONG_S, nats_server
from support.stalling import stalling_link

from geventrelay import Relay, Streamer
from geventrelay.backbone import mesh
from geventrelay.backbone.nats import client
from geventrelay.backbone.values import LinkState
from geventrelay.testing import LOCAL, connected, eventually, let_run

# A link is given up, and made again: both may take long.
pytestmark = pytest.mark.timeout(4 * LONG_S)

ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path, "-js", "-sd", str(tmp_path)) as server:
        yield server


@pytest.fixture
def link(nats):
    with stalling_link(nats.port) as link:
        yield link


@pytest.fixture(params=ENGINES)
def pair(request, relay_device, nats, link):
    """Makes two devices that know each other: the first one is joined over the link that stalls."""

    def make(cls, **ends):
        settings = {**ends, "name": "shop", "engine": request.param, "sndhwm": 0}
        made = [relay_device(cls(**settings, backbone=url)) for url in (f"nats://127.0.0.1:{link.port}", nats.url)]
        eventually(
            lambda: all(len(one.snapshot().backbone.neighbours) == 1 for one in made),
            lambda: f"both to know each other: {[one.snapshot().backbone for one in made]}",
            LONG_S,
        )
        return made

    return make


def numbered(begin: int, end: int) -> list[list[bytes]]:
    return [[b"%d" % number, b"x" * 200] for number in range(begin, end)]


def lost(*devices) -> int:
    return sum(one.snapshot().backbone.lost for one in devices)


def test_what_is_published_while_the_link_stalls_reaches_own_subscribers_at_once_and_the_others_then(
    pair, peers, link, monkeypatch
):
    # However long this machine takes meanwhile, the stall is a short one: neither link nor device is given up.
    monkeypatch.setattr(client, "PING_S", 600)
    monkeypatch.setattr(mesh, "EXPIRY_S", 600.0)
    here, there = pair(Relay, sub=LOCAL, pub=LOCAL)
    publisher = peers.publisher(*here.endpoints["sub"], sndhwm=0)
    near, far = (peers.subscriber(*one.endpoints["pub"], rcvhwm=0) for one in (here, there))
    connected(publisher, near, far, within_s=LONG_S)
    link.stall()
    for message in numbered(0, 3000):
        publisher.send(*message)
    assert near.recv_all(3000, LONG_S) == numbered(0, 3000)
    assert far.recv_now() == []
    link.go_on()
    assert far.recv_all(3000, LONG_S) == numbered(0, 3000)
    assert lost(here, there) == 0


@pytest.fixture
def over_a_stall(pair, peers, link, monkeypatch):
    """Has a device send 200 tasks to a worker elsewhere, and 200 over a link that stalls until it is given up.

    Returns both devices, the tasks that have come, and a call that adds those that have come since.
    """

    def over_a_stall(**settings):
        monkeypatch.setattr(client, "PING_S", 0.2)
        here, there = pair(Streamer, frontend=LOCAL, backend=LOCAL, **settings)
        pusher = peers.connect(zmq.PUSH, *here.endpoints["frontend"], sndhwm=0)
        worker = peers.connect(zmq.PULL, *there.endpoints["backend"], rcvhwm=0)
        for number in range(200):
            pusher.send(b"%d" % number)
        done = [int(worker.recv(LONG_S)[0])]
        link.stall()
        for number in range(200, 400):
            pusher.send(b"%d" % number)
        eventually(lambda: here.snapshot().backbone.state is LinkState.CONNECTING, "the link to be given up", LONG_S)
        link.go_on()
        return here, there, done, lambda: done.extend(int(message[0]) for message in worker.recv_now())

    return over_a_stall


def test_work_is_done_once_or_counted_when_the_link_has_stalled_until_it_was_given_up(over_a_stall):
    here, there, done, look = over_a_stall()

    def is_all_there() -> bool:
        look()
        return len(done) + lost(here, there) == 400

    eventually(is_all_there, lambda: f"{len(done)} and {lost(here, there)} lost", LONG_S)
    let_run(50)
    assert is_all_there()
    assert len(set(done)) == len(done)


def test_durable_work_is_all_done_when_the_link_has_stalled_until_it_was_given_up(over_a_stall):
    _, _, done, look = over_a_stall(durable=True)

    def is_all_there() -> bool:
        look()
        return set(done) == set(range(400))

    # What was not acknowledged in time is delivered again, up to a pack of it twice, but after half a minute only.
    eventually(is_all_there, lambda: f"{len(set(done))} of 400", 2 * LONG_S)
