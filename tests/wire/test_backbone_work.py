"""Work that no own worker takes goes to devices of the same name that have some, over a real server of NATS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import gevent
import pytest
import zmq
from support.nats import nats_server

from geventrelay import Drop, Queue, Relay, Streamer
from geventrelay.testing import LOCAL, Peer, Peers, connected, eventually

PATTERNS: dict[str, tuple[type, str, str]] = {
    "streamer": (Streamer, "frontend", "backend"),
    "relay": (Relay, "sub", "push"),
    "queue": (Queue, "frontend", "backend"),
}
ENGINES = ("libzmq", "zmtp")
MIXED = [("libzmq", "zmtp"), ("zmtp", "libzmq")]


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


class Member:
    """One of several devices that act as one.

    :ivar done: what its workers have got.
    """

    def __init__(self, device: Any, peers: Peers, front: str, back: str) -> None:
        self.device, self._peers = device, peers
        self.front, self.back = device.endpoints[front][0], device.endpoints[back][0]
        self.done: list[bytes] = []
        self._working: list[gevent.Greenlet] = []

    @property
    def backbone(self):
        return self.device.snapshot().backbone

    def pusher(self) -> Peer:
        return self._peers.connect(zmq.PUSH, self.front, sndhwm=0)

    def publisher(self) -> Peer:
        publisher = self._peers.publisher(self.front, sndhwm=0)
        connected(publisher)
        return publisher

    def client(self, kind: int = zmq.DEALER) -> Peer:
        return self._peers.connect(kind, self.front, sndhwm=0, rcvhwm=0)

    def worker(self, each_s: float = 0, **options: Any) -> gevent.Greenlet:
        """One that takes work, and needs so long for each message."""
        puller = self._peers.connect(zmq.PULL, self.back, **options)

        def work() -> None:
            while True:
                self.done.append(b"\0".join(puller.recv(within_s=600)))
                gevent.sleep(each_s)

        self._working.append(gevent.spawn(work))
        return self._working[-1]

    def answering(self, each_s: float = 0) -> gevent.Greenlet:
        """One that answers requests, one at a time."""
        worker = self._peers.connect(zmq.REP, self.back)

        def work() -> None:
            while True:
                request = worker.recv(within_s=600)
                gevent.sleep(each_s)
                self.done.append(request[0])
                worker.send(b"re " + request[0], *request[1:])

        self._working.append(gevent.spawn(work))
        return self._working[-1]

    def close(self) -> None:
        gevent.killall(self._working)


@pytest.fixture
def join(run, peers, nats):
    """Makes one more of the devices called shop, and waits until all know each other."""
    made: list[Member] = []

    def join(pattern: str = "streamer", engine: str = "zmtp", **settings: Any) -> Member:
        cls, front, back = PATTERNS[pattern]
        device = run(cls(**{front: LOCAL, back: LOCAL}, engine=engine, name="shop", backbone=nats.url, **settings))
        made.append(Member(device, peers, front, back))
        know_each_other(*(one for one in made if one.device.started))
        return made[-1]

    yield join
    for one in made:
        one.close()


def know_each_other(*members: Member) -> None:
    def known() -> bool:
        return all(len(one.backbone.neighbours) == len(members) - 1 for one in members)

    eventually(known, lambda: f"all to know each other: {[one.backbone for one in members]}", within_s=20)


def numbered(count: int, begin: int = 0) -> list[list[bytes]]:
    return [[b"%d" % number, b"x" * (number % 300)] for number in range(begin, begin + count)]


def hashed(messages: list[bytes]) -> str:
    """What tells one collection of messages from another, whatever their order."""
    whole = hashlib.sha256()
    for one in sorted(hashlib.sha256(message).digest() for message in messages):
        whole.update(one)
    return whole.hexdigest()


def send_all(peer: Peer, messages: list[list[bytes]]) -> None:
    for number, message in enumerate(messages):
        peer.send(*message)
        if number % 50 == 49:
            # Others are to have a turn: all of them are in this process.
            gevent.sleep(0)


def all_done(*members: Member, count: int, within_s: float = 30) -> list[bytes]:
    """What the workers of all have got, once it is so many."""

    def is_done() -> bool:
        return sum(len(one.done) for one in members) >= count

    eventually(is_done, lambda: f"{count} messages: {[(len(one.done), one.backbone) for one in members]}", within_s)
    return [message for one in members for message in one.done]


def is_quiet(*members: Member) -> Callable[[], bool]:
    """Whether nothing is on its way, and no credit is left."""

    def quiet() -> bool:
        seen = [one.backbone for one in members]
        return not any(one.credit or one.promised or one.waiting or one.incoming or one.hungry for one in seen)

    return quiet


def sender_of(pattern: str, member: Member) -> Peer:
    return member.publisher() if pattern == "relay" else member.pusher()


def worked(*members: Member) -> list[int]:
    return [len(one.done) for one in members]


@pytest.mark.parametrize(("here", "there"), MIXED)
@pytest.mark.parametrize("pattern", ["streamer", "relay"])
def test_work_that_has_no_worker_here_goes_to_those_elsewhere(join, pattern, here, there):
    settings = {"push_payload": "whole", "push_when_full": "block"} if pattern == "relay" else {}
    one, two = join(pattern, here, **settings), join(pattern, there, **settings)
    two.worker()
    sent = numbered(3000)
    send_all(sender_of(pattern, one), sent)
    done = all_done(two, count=3000)
    assert hashed(done) == hashed([b"\0".join(message) for message in sent])
    eventually(is_quiet(one, two), lambda: f"nothing to be left: {one.backbone} {two.backbone}")
    assert (one.backbone.work_sent, two.backbone.work_received, two.backbone.work_delivered) == (3000, 3000, 3000)
    assert (one.backbone.work_received, two.backbone.lost, one.backbone.dropped) == (0, 0, {})
    (known,) = one.backbone.neighbours
    assert known.work_sent == 3000


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_with_its_own_worker_a_device_sends_no_work_away(join, here, there):
    one, two = join(engine=here), join(engine=there)
    one.worker()
    two.worker()
    pusher = one.pusher()
    for message in numbered(500):
        pusher.send(*message)
        gevent.sleep(0)
    all_done(one, two, count=500)
    assert worked(one, two) == [500, 0]
    assert one.backbone.work_sent == 0


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_payloads_of_a_relay_are_cut_before_they_go_to_others(join, here, there):
    settings = {"push_payload": "parts", "push_when_full": "block"}
    one, two = (join("relay", engine, **settings) for engine in (here, there))
    two.worker()
    publisher = one.publisher()
    for number in range(300):
        publisher.send(b"topic", b"%d" % number)
    assert sorted(all_done(two, count=300)) == sorted(b"%d" % number for number in range(300))


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_three_with_work_and_workers_everywhere_do_each_message_once(join, here, there):
    members = [join(engine=engine) for engine in (here, there, here)]
    for one in members[1:]:
        one.worker()
    sent = []
    for index, one in enumerate(members):
        messages = numbered(1500, 10_000 * index)
        sent += messages
        gevent.spawn(send_all, one.pusher(), messages)
    done = all_done(*members, count=4500)
    assert hashed(done) == hashed([b"\0".join(message) for message in sent])
    assert worked(members[0]) == [0] and all(worked(*members[1:]))
    eventually(is_quiet(*members), lambda: f"nothing to be left: {[one.backbone for one in members]}")
    assert sum(one.backbone.work_sent for one in members) == sum(one.backbone.work_received for one in members)
    assert not any(one.backbone.lost or one.backbone.dropped for one in members)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_worker_that_is_three_times_as_fast_gets_more_wherever_it_is(join, here, there):
    # Little is to lie before a worker, in the kernel neither: else a slow one has it all before it has begun.
    one, slow, fast = (
        join(engine=engine, sndhwm=4, socket_options={"backend": {zmq.SNDBUF: 8192}}) for engine in (here, there, here)
    )
    slow.worker(0.03, rcvhwm=1, rcvbuf=8192)
    fast.worker(0.01, rcvhwm=1, rcvbuf=8192)
    gevent.spawn(send_all, one.pusher(), [[b"%d" % number, b"x" * 10_000] for number in range(400)])
    all_done(slow, fast, count=400)
    assert 1.5 < len(fast.done) / len(slow.done) < 5, worked(slow, fast)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_worker_that_comes_later_elsewhere_gets_what_waits(join, here, there):
    one, two = join(engine=here), join(engine=there)
    send_all(one.pusher(), numbered(200))
    eventually(lambda: one.backbone.hungry, "the first to say that work waits")
    eventually(lambda: two.backbone.neighbours[0].hungry, "the other to know")
    assert one.backbone.credit == two.backbone.promised == 0
    two.worker()
    all_done(two, count=200)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_device_that_comes_later_with_a_worker_gets_what_waits(join, here, there):
    one = join(engine=here)
    send_all(one.pusher(), numbered(200))
    eventually(lambda: one.backbone.hungry, "it to say that work waits")
    two = join(engine=there)
    two.worker()
    all_done(two, count=200)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_requests_are_answered_by_workers_elsewhere(join, here, there):
    one, two = join("queue", here), join("queue", there)
    two.answering()
    clients = [one.client(zmq.REQ) for _ in range(5)]

    def ask(index: int, client: Peer) -> None:
        for number in range(50):
            client.send(b"%d of %d" % (number, index), b"more")
            assert client.recv(within_s=20) == [b"re %d of %d" % (number, index), b"more"]

    gevent.joinall([gevent.spawn(ask, *each) for each in enumerate(clients)], raise_error=True)
    assert len(two.done) == len(set(two.done)) == 250
    eventually(is_quiet(one, two), lambda: f"nothing to be left: {one.backbone} {two.backbone}")
    seen = one.backbone, two.backbone
    assert (seen[0].work_sent, seen[1].work_received) == (250, 250)
    assert (seen[1].replies_sent, seen[0].replies_received) == (250, 250)
    assert (seen[0].unanswered, seen[0].lost, seen[1].lost) == (0, 0, 0)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_no_request_waits_while_a_worker_is_free_somewhere(join, here, there):
    members = [join("queue", engine) for engine in (here, there, here)]
    for one in members:
        for _ in range(2):
            one.answering(0.3)
    client = members[0].client()
    for number in range(6):
        client.send(b"", b"%d" % number)
    got = [client.recv(within_s=20)[1] for _ in range(6)]
    assert sorted(got) == [b"re %d" % number for number in range(6)]
    # Two at each: a third one at any of them would have waited.
    assert worked(*members) == [2, 2, 2]


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_clients_that_vanish_leave_their_replies_to_be_counted_and_no_other_client_waits(join, here, there):
    one, two = join("queue", here), join("queue", there)
    two.answering(0.02)
    passing, staying = one.client(), one.client()
    for number in range(40):
        passing.send(b"", b"passing %d" % number)
    eventually(lambda: two.done, "the first to be with the worker")
    passing.close()
    staying.send(b"", b"staying")
    assert staying.recv(within_s=20) == [b"", b"re staying"]

    def replies() -> int:
        outlets = [outlet for pump in one.device.snapshot().pumps for outlet in pump.outlets]
        at_clients = [outlet for outlet in outlets if outlet.socket == "frontend"]
        dropped = sum(outlet.dropped.get(Drop.UNROUTABLE, 0) for outlet in at_clients)
        return sum(outlet.sent for outlet in at_clients) + dropped

    # What has not been read of a client that goes, goes with it.
    eventually(lambda: replies() == len(two.done), lambda: f"all replies to be counted: {replies()} {two.done}")
    assert one.backbone.replies_received == len(two.done) and one.backbone.unanswered == 0
    eventually(is_quiet(one, two), lambda: f"nothing to be left: {one.backbone} {two.backbone}")


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_device_that_stops_has_its_work_elsewhere_done_and_gets_the_replies(join, here, there):
    one, two = join("queue", here), join("queue", there)
    two.answering(0.02)
    client = one.client()
    for number in range(5):
        client.send(b"", b"%d" % number)
    eventually(lambda: one.backbone.work_sent, "the first to be sent")
    stopping = gevent.spawn(one.device.stop, 10)
    got = [client.recv(within_s=20)[1] for _ in range(len(two.done) + 1)]
    stopping.get()
    assert len(got) == len(set(got))
    assert one.device.failure is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_stops_with_work_of_others_in_hand_has_it_done(join, engine):
    one, two = join(engine=engine), join(engine=engine)
    two.worker(0.001)
    send_all(one.pusher(), numbered(1000))
    eventually(lambda: len(two.done) > 100, "some to be done")
    two.device.stop(10)
    gevent.sleep(0.05)
    taken = two.backbone.work_received
    # All that has left the first one has been done; the rest still waits there.
    eventually(lambda: len(two.done) == taken, lambda: f"{taken} to be done, not {len(two.done)}")
    assert one.backbone.work_sent == taken
    three = join(engine=engine)
    three.worker()
    all_done(two, three, count=1000)
    assert len({*two.done, *three.done}) == 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_work_that_the_server_does_not_take_stays_here_and_is_counted(join, engine):
    one, two = join(engine=engine), join(engine=engine)
    two.worker()
    pusher = one.pusher()
    for message in (b"1", b"x" * 2_000_000, b"2"):
        pusher.send(message)
    assert sorted(all_done(two, count=2)) == [b"1", b"2"]
    assert {reason.value: count for reason, count in one.backbone.dropped.items()} == {"too_large": 1}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_relay_that_drops_asks_for_credit_once_it_has_dropped_and_accounts_for_each_payload(join, engine):
    # It has subscribers too: what is for them and what is for workers has ways of its own.
    one, two = (join("relay", each, pub=LOCAL, push_payload="whole") for each in (engine, "zmtp"))
    two.worker()
    publisher = one.publisher()
    sent = 0

    def some_are_done() -> bool:
        nonlocal sent
        publisher.send(b"topic", b"%d" % sent)
        sent += 1
        return len(two.done) >= 50

    eventually(some_are_done, lambda: f"payloads at the other one: {one.backbone} {two.backbone}", within_s=20)

    def outlet() -> Any:
        (found,) = (
            each for pump in one.device.snapshot().pumps for each in pump.outlets
            if pump.source == "sub" and each.socket == "push"
        )  # fmt: skip
        return found

    eventually(lambda: outlet().elsewhere + sum(outlet().dropped.values()) == sent, lambda: f"{sent}: {outlet()}")
    eventually(lambda: len(two.done) == outlet().elsewhere, lambda: f"{len(two.done)}: {outlet()}")
    assert outlet().dropped.keys() == {Drop.NO_PEER}
    assert outlet().sent == 0 and one.backbone.work_sent == len(two.done)
    eventually(is_quiet(one, two), lambda: f"nothing to be left: {one.backbone} {two.backbone}")


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_the_way_back_of_a_request_does_not_count_among_its_parts(join, here, there):
    # With libzmq, the client's routing id counts as one, and a queue's envelope has an empty part.
    one, two = (join("queue", engine, max_parts=10) for engine in (here, there))
    two.answering()
    client = one.client()
    for number in range(3):
        client.send(b"", b"%d" % number, *[b"x"] * 7)
        assert client.recv()[:2] == [b"", b"re %d" % number]
    assert two.done == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("pattern", "settings", "has"),
    [
        ("queue", {}, "one-way; that of this device is requests"),
        ("streamer", {"durable": True}, "one-way; that of this device is kept by NATS"),
    ],
)
def test_devices_whose_work_differs_share_none_and_the_log_says_so(join, caplog, pattern, settings, has):
    here, other = join("streamer"), join(pattern, **settings)
    (other.answering if pattern == "queue" else other.worker)()
    pusher = here.pusher()
    send_all(pusher, numbered(3))
    eventually(lambda: any("backbone-differs" in one.getMessage() for one in caplog.records), "the line of the log")
    (line,) = [one.getMessage() for one in caplog.records if "backbone-differs" in one.getMessage()]
    assert has in line
    assert here.backbone.credit == other.backbone.promised == 0
    # They are there for a worker of their own.
    here.worker()
    eventually(lambda: len(here.done) == 3, lambda: f"the work: {here.done}")
    assert other.done == []
