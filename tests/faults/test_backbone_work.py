"""Work over a backbone while things break: servers of NATS are killed, devices are killed, words and packs are lost."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from functools import partial

import gevent
import pytest
import zmq
from support.nats import LONG_S, nats_cluster, nats_server

from geventrelay import Device, Queue, Streamer
from geventrelay.backbone.nats.link import Link
from geventrelay.backbone.values import LinkState
from geventrelay.testing import LOCAL, eventually

# Servers and devices are started, killed and missed: more than one of these may take long.
pytestmark = pytest.mark.timeout(4 * LONG_S)

ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def members(relay_device, peers):
    """Makes streamers of one name, which know each other, and pushes and pulls at them."""
    working: list[gevent.Greenlet] = []

    class Members:
        def __init__(self) -> None:
            self.made = []
            self.done: list[list[int]] = []

        def join(self, url: str, engine: str, cls=Streamer, **settings):
            ends = {"frontend": LOCAL, "backend": LOCAL}
            self.made.append(relay_device(cls(**ends, engine=engine, name="shop", backbone=url, **settings)))
            self.done.append([])
            count = len(self.made) - 1
            eventually(
                lambda: all(len(one.snapshot().backbone.neighbours) == count for one in self.made),
                lambda: f"all to know each other: {[one.snapshot().backbone for one in self.made]}",
                LONG_S,
            )
            return self.made[-1]

        def push(self, device, count: int, each_s: float = 0, begin: int = 0) -> gevent.Greenlet:
            pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], sndhwm=0)

            def push() -> None:
                for number in range(begin, begin + count):
                    pusher.send(b"%d" % number)
                    gevent.sleep(each_s)

            working.append(gevent.spawn(push))
            return working[-1]

        def work(self, device, each_s: float = 0, **options) -> gevent.Greenlet:
            puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **options)
            done = self.done[self.made.index(device)]

            def work() -> None:
                with contextlib.closing(puller):
                    while True:
                        done.append(int(puller.recv(within_s=600)[0]))
                        gevent.sleep(each_s)

            working.append(gevent.spawn(work))
            return working[-1]

        def told(self) -> str:
            return f"{[len(one) for one in self.done]} {[one.snapshot().backbone for one in self.made]}"

        def all_done(self) -> list[int]:
            return [number for one in self.done for number in one]

    yield Members()
    gevent.killall(working)


def lost(*devices) -> int:
    return sum(one.snapshot().backbone.lost for one in devices)


@pytest.mark.parametrize("engine", ENGINES)
def test_while_nats_is_away_own_workers_get_all_and_afterwards_those_elsewhere_too(members, nats, engine, monkeypatch):
    monkeypatch.setattr("geventrelay.testing.devices.Device", partial(Device, watch_peers=True))
    here, there = members.join(nats.url, engine), members.join(nats.url, engine)
    members.work(there)
    members.push(here, 1000).get()
    eventually(lambda: len(members.all_done()) == 1000, members.told, LONG_S)
    nats.kill()
    both = (here, there)
    eventually(
        lambda: all(one.snapshot().backbone.state is LinkState.CONNECTING for one in both),
        "both to see that NATS is away",
        LONG_S,
    )
    assert here.snapshot().backbone.credit == 0
    members.push(here, 500, begin=1000).get()
    own = members.work(here)
    eventually(lambda: len(members.done[0]) == 500, members.told, LONG_S)
    own.kill()
    # What comes before the device knows would go with that worker.
    eventually(lambda: not here.peers()["backend"].connected, "the worker to be gone", LONG_S)
    nats.start()
    members.push(here, 500, begin=1500)
    eventually(lambda: sorted(members.all_done()) == list(range(2000)), members.told, LONG_S)
    assert lost(*both) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_when_nats_is_killed_with_work_under_way_each_message_comes_once_or_counts_as_lost(members, nats, engine):
    devices = [members.join(nats.url, engine) for _ in range(3)]
    for device in devices[1:]:
        members.work(device)
    pushing = members.push(devices[0], 8000, each_s=0.0002)
    for _ in range(3):
        done = len(members.all_done())
        eventually(lambda done=done: len(members.all_done()) > done + 500, members.told, LONG_S)
        nats.kill()
        nats.start()
    pushing.get()
    eventually(
        lambda: len(members.all_done()) + lost(*devices) == 8000,
        members.told,
        LONG_S,
    )
    assert max(Counter(members.all_done()).values()) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_is_killed_with_work_in_hand_takes_no_more_with_it_than_it_was_sent(
    members, start, peers, nats, engine
):
    here, steady = members.join(nats.url, engine, sndhwm=10), members.join(nats.url, engine, sndhwm=10)
    ends = ("--frontend", "0", "--backend", "0", "--sndhwm", "10")
    killed = start("streamer", *ends, "--name", "shop", "--backbone", nats.url, "--engine", engine)
    puller = peers.connect(zmq.PULL, killed["backend"], rcvhwm=1)
    eventually(lambda: len(here.snapshot().backbone.neighbours) == 2, "all to know each other", LONG_S)
    pushing = members.push(here, 2000)
    seen = [int(puller.recv()[0]) for _ in range(50)]
    victim = next(one for one in here.snapshot().backbone.neighbours if one.relay != steady.snapshot().backbone.relay)
    killed.signal(signal.SIGKILL)
    killed.wait()
    members.work(steady)
    pushing.get()
    eventually(lambda: len(here.snapshot().backbone.neighbours) == 1, "it to be gone", LONG_S)

    def is_all_done() -> bool:
        # All has gone, not only what there was credit for up to now.
        sent = here.snapshot().backbone.work_sent
        return sent == 2000 and len(members.all_done()) == sent - sent_to_the_dead(here, steady)

    # What is for the one that is left, and what waits, comes all the same.
    eventually(is_all_done, members.told, LONG_S)
    assert not here.snapshot().backbone.hungry
    gone = set(range(2000)) - set(members.all_done()) - set(seen)
    assert len(members.all_done()) == len(set(members.all_done()))
    assert victim.work_sent <= sent_to_the_dead(here, steady)
    assert len(gone) <= sent_to_the_dead(here, steady) - len(set(seen) - set(members.all_done()))


def sent_to_the_dead(here, steady) -> int:
    """How many messages went to devices that are not there any more."""
    (left,) = here.snapshot().backbone.neighbours
    assert left.relay == steady.snapshot().backbone.relay
    return here.snapshot().backbone.work_sent - left.work_sent


@pytest.mark.parametrize("engine", ENGINES)
def test_with_a_server_of_a_cluster_killed_work_goes_on_over_the_others(members, tmp_path, engine):
    with nats_cluster(tmp_path, 3) as servers:
        urls = [server.url for server in servers]
        devices = [members.join(",".join([*urls[index:], *urls[:index]]), engine) for index in range(3)]
        assert len({one.snapshot().backbone.server for one in devices}) == 3
        members.work(devices[1])
        members.work(devices[2])
        pushing = members.push(devices[0], 4000, each_s=0.0005)
        eventually(lambda: len(members.all_done()) > 1000, members.told, LONG_S)
        servers[1].kill()
        pushing.get()
        eventually(lambda: len(members.all_done()) + lost(*devices) == 4000, members.told, LONG_S)
        assert max(Counter(members.all_done()).values()) == 1
        eventually(
            lambda: devices[1].snapshot().backbone.state is LinkState.CONNECTED, "a connection to another one", LONG_S
        )
        before = len(members.done[1])
        # More than enough: the other one may take any number of them first.
        members.push(devices[0], 100_000, each_s=0.0005, begin=4000)
        eventually(lambda: len(members.done[1]) > before, "the one that was cut off to work again", LONG_S)


@pytest.mark.parametrize("engine", ENGINES)
def test_words_and_packs_that_do_not_come_are_made_up_for(members, nats, engine, monkeypatch):
    devices = [members.join(nats.url, engine) for _ in range(3)]
    members.work(devices[1])
    members.work(devices[2])
    publish, number = Link.publish, 0

    async def lossy(self, subject, data):
        nonlocal number
        number += 1
        # Each seventh does not come, be it a word or a pack.
        return True if number % 7 == 0 else await publish(self, subject, data)

    monkeypatch.setattr(Link, "publish", lossy)
    members.push(devices[0], 2000, each_s=0.001).get()
    eventually(lambda: len(members.all_done()) + lost(*devices) == 2000, members.told, LONG_S)
    assert max(Counter(members.all_done()).values()) == 1 and lost(*devices) > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_of_a_queue_whose_worker_is_killed_with_its_device_count_as_unanswered(
    members, start, peers, nats, engine
):
    here = members.join(nats.url, engine, Queue)
    ends = ("--frontend", "0", "--backend", "0")
    killed = start("queue", *ends, "--name", "shop", "--backbone", nats.url, "--engine", engine)
    worker = peers.connect(zmq.REP, killed["backend"])
    eventually(lambda: len(here.snapshot().backbone.neighbours) == 1, "both to know each other", LONG_S)
    client = peers.connect(zmq.DEALER, *here.endpoints["frontend"])
    client.send(b"", b"1")
    client.send(b"", b"2")
    assert worker.recv() == [b"1"]
    worker.send(b"re 1")
    assert client.recv() == [b"", b"re 1"]
    assert worker.recv() == [b"2"]
    killed.signal(signal.SIGKILL)
    killed.wait()
    eventually(lambda: not here.snapshot().backbone.neighbours, "it to be gone", LONG_S)
    assert here.snapshot().backbone.unanswered == 1
    near = peers.connect(zmq.REP, *here.endpoints["backend"])
    client.send(b"", b"3")
    assert near.recv() == [b"3"]
    near.send(b"re 3")
    assert client.recv() == [b"", b"re 3"]
