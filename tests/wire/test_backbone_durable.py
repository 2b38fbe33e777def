"""Devices whose work NATS keeps, over a real server of it: all that is stored comes to one worker, wherever that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import zmq
from support.durable import ask_for_consumer
from support.nats import LONG_S, NatsServer, asked, nats_server

from geventrelay import Relay, Streamer
from geventrelay.backbone.store import jetstream, storing
from geventrelay.backbone.values import StoreState
from geventrelay.testing import LOCAL, Peers, eventually
from geventrelay.web import report

ENGINES = ["zmtp", "libzmq"]
INFO = "$JS.API.STREAM.INFO.geventrelay+work+d"


@pytest.fixture
def nats(tmp_path) -> Iterator[NatsServer]:
    with nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as server:
        yield server


class Member:
    """One of several devices that act as one."""

    def __init__(self, device: Any, peers: Peers) -> None:
        self.device, self._peers = device, peers

    @property
    def backbone(self):
        return self.device.snapshot().backbone

    def source(self, **options: Any):
        key = "sub" if isinstance(self.device.settings, Relay) else "frontend"
        kind = zmq.PUB if key == "sub" else zmq.PUSH
        return self._peers.connect(kind, self.device.endpoints[key][0], sndhwm=0, **options)

    def worker(self, **options: Any):
        key = "push" if isinstance(self.device.settings, Relay) else "backend"
        return self._peers.connect(zmq.PULL, self.device.endpoints[key][0], **{"rcvhwm": 0} | options)

    def until(self, condition: Any, what: str) -> None:
        eventually(lambda: condition(self.backbone), lambda: f"{what}: {self.backbone}", LONG_S)


@pytest.fixture
def join(run, peers, nats):
    """Makes one more of the devices called work, and waits until it can store."""

    def join(engine: str = "zmtp", cls: Any = Streamer, **settings: Any) -> Member:
        ends = {"frontend": LOCAL, "backend": LOCAL} if cls is Streamer else {"sub": LOCAL, "push": LOCAL}
        device = run(cls(**ends, engine=engine, name="work", durable=True, **{"backbone": nats.url} | settings))
        member = Member(device, peers)
        member.until(lambda now: now.store is not None and now.store is not StoreState.WAITING, "an answer")
        return member

    return join


def numbered(count: int, size: int = 20) -> list[list[bytes]]:
    return [[b"%d" % number, b"x" * size] for number in range(count)]


def send(source: Any, messages: list[list[bytes]]) -> None:
    for number, message in enumerate(messages):
        source.send(*message)
        if number % 50 == 49:
            # Others are to have a turn: all of them are in this process.
            gevent.sleep(0)


@pytest.mark.parametrize(("here", "there"), [("zmtp", "libzmq"), ("libzmq", "zmtp")])
def test_what_comes_to_a_streamer_without_workers_is_taken_elsewhere(join, nats, here, there, monkeypatch):
    # However long NATS takes to answer, nothing is sent again; and however long the worker takes, there is room for it.
    monkeypatch.setattr(storing, "_ANSWER_S", 600.0)
    one, idle, other = join(here), join(there), join(there, sndhwm=0)
    messages = numbered(3000)
    send(one.source(), messages)
    one.until(lambda now: now.stored == 3000, "to be stored")
    assert asked(nats.url, INFO)["state"]["messages"] > 0
    worker = other.worker()
    assert worker.recv_all(3000, LONG_S) == messages
    other.until(lambda now: now.fetched == 3000, "to be counted")
    eventually(lambda: asked(nats.url, INFO)["state"]["messages"] == 0, "all to be acknowledged", LONG_S)
    assert (idle.backbone.fetched, one.backbone.fetched, other.backbone.redelivered) == (0, 0, 0)
    assert (one.backbone.store_retries, one.backbone.dropped) == (0, {})


@pytest.mark.parametrize("engine", ENGINES)
def test_local_workers_come_first(join, engine):
    one, other = join(engine), join(engine)
    near, source = one.worker(), one.source()
    source.send(b"first")
    assert near.recv() == [b"first"]
    # The first one may have come before the worker, and NATS may hand it on before it says that it has it.
    one.until(lambda now: not now.waiting, "nothing to wait")
    stored = one.backbone.stored
    far = other.worker()
    send(source, numbered(500))
    assert near.recv_all(500) == numbered(500)
    assert (one.backbone.stored, other.backbone.fetched, far.recv_now()) == (stored, 0, [])


@pytest.mark.parametrize("engine", ENGINES)
def test_payloads_of_a_relay_are_kept_for_pullers_elsewhere(join, engine):
    one, other = (join(engine, Relay, push_when_full="block", sndhwm=0) for _ in range(2))
    source = one.source()
    eventually(lambda: source.send(b"topic", b"0") or one.backbone.stored, "a publisher that is heard", LONG_S)
    send(source, [[b"topic", b"%d" % number] for number in range(1, 1000)])
    one.until(lambda now: not now.waiting and now.stored >= 1000, "to be stored")
    worker, got = other.worker(), [b"0"]
    while got[-1] != b"999":
        (message,) = worker.recv()
        got.append(message)
    assert [message for message in got if message != b"0"] == [b"%d" % number for number in range(1, 1000)]
    assert (one.backbone.dropped, one.device.snapshot().pumps[0].outlets[-1].socket) == ({}, "push")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_stopped_device_had_in_hand_comes_to_another(join, nats, engine):
    one, stopped, other = join(engine), join(engine, sndhwm=1), join(engine)
    messages = numbered(300, 2000)
    send(one.source(), messages)
    one.until(lambda now: now.stored == 300, "to be stored")
    slow = stopped.worker(rcvhwm=1)
    got = slow.recv_all(3)
    stopped.until(lambda now: now.fetched >= 3, "work in hand")
    stopped.device.stop()
    worker = other.worker()
    wanted = set(map(tuple, messages))

    def came() -> bool:
        got.extend(slow.recv_now() + worker.recv_now())
        return set(map(tuple, got)) == wanted

    # Before a server would deliver again what a device has and does not say.
    eventually(came, lambda: f"all messages, not {len(got)}", jetstream._ACK_WAIT_S - 5)
    eventually(lambda: asked(nats.url, INFO)["state"]["messages"] == 0, "all to be acknowledged", LONG_S)
    assert len(got) - 300 <= 64


@pytest.mark.parametrize("engine", ENGINES)
def test_work_goes_on_while_nats_is_killed_and_started(join, nats, engine):
    # So long after it was delivered over a connection that has ended, what did not come is delivered again.
    ask_for_consumer(nats.url, ack_wait_s=1.0)
    one, other = join(engine), join(engine)
    worker, source = other.worker(), one.source()
    messages = numbered(20_000)
    for begin in range(0, 20_000, 5000):
        send(source, messages[begin : begin + 5000])
        nats.kill()
        gevent.sleep(0.05)
        nats.start()
    got = worker.recv_all(20_000, LONG_S)
    assert Counter(map(tuple, got)) == Counter(map(tuple, messages))
    one.until(lambda now: now.waiting == 0, "nothing to wait")
    assert one.backbone.dropped == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_slow_workers_at_two_devices_get_all_of_it(join, engine):
    one, two, three = join(engine), join(engine, sndhwm=1), join(engine, sndhwm=1)
    messages = numbered(400, 100)
    send(one.source(), messages)
    workers = [one.worker(rcvhwm=1) for one in (two, three)]
    got: list[list[list[bytes]]] = [[], []]

    def work(index: int) -> None:
        while True:
            got[index].append(workers[index].recv())
            gevent.sleep(0.002)

    greenlets = [gevent.spawn(work, index) for index in range(2)]
    eventually(lambda: sum(map(len, got)) >= 400, lambda: f"400, not {list(map(len, got))}", LONG_S)
    gevent.killall(greenlets)
    assert Counter(map(tuple, got[0] + got[1])) == Counter(map(tuple, messages))
    assert min(map(len, got)) > 50


def test_a_server_without_jetstream_is_told_and_work_waits(run, peers, tmp_path, caplog):
    with nats_server(tmp_path) as server:
        device = run(Streamer(frontend=LOCAL, backend=LOCAL, name="work", backbone=server.url, durable=True))
        member = Member(device, peers)
        source = member.source()
        send(source, numbered(10))
        member.until(lambda now: now.store_refused >= 2, "to be refused")
        told = report.backbone(member.backbone)
        refused = {"state": "refused", "reason": "the server has no JetStream", "replicas": 0}
        assert told["store"] == {**refused, "waiting": 0, "packs": None, "bytes": None}
        assert {state.value: number for state, number in member.backbone.store_states.items()} == {
            "waiting": 0, "refused": 1, "storing": 0,
        }  # fmt: skip
        assert told["store_refused"] >= 2
        assert member.worker().recv_all(10) == numbered(10)
    assert caplog.text.count("the server has no JetStream") == 1
