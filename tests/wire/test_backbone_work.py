"""Work that no own worker takes goes to devices of the same name that have some, over a real server of NATS."""

from __future__ import annotations

import hashlib
from typing import Any

import gevent
import pytest
import zmq
from gevent.lock import Semaphore
from support.backbone import LIMIT_S
from support.nats import nats_server

from geventrelay import Drop, Forwarder, Queue, Relay, Streamer
from geventrelay.testing import LOCAL, Peer, Peers, connected, eventually

pytestmark = pytest.mark.usefixtures("no_device_expires")

PATTERNS: dict[str, tuple[type, str, str]] = {
    "streamer": (Streamer, "frontend", "backend"),
    "relay": (Relay, "sub", "push"),
    "queue": (Queue, "frontend", "backend"),
}
ENGINES = ("libzmq", "zmtp")
MIXED = [("libzmq", "zmtp"), ("zmtp", "libzmq")]
# So little is to lie before a worker, in the kernel neither, that it takes no more than it can do soon.
LITTLE: dict[str, Any] = {"sndhwm": 4, "socket_options": {"backend": {zmq.SNDBUF: 8192}}}
LITTLE_THERE: dict[str, Any] = {"rcvhwm": 1, "rcvbuf": 8192}


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


class Member:
    """One of several devices that act as one.

    :ivar done: what its workers have done: payloads that they have got, and requests that they have answered.
    :ivar taken: the requests that they have got.
    """

    def __init__(self, device: Any, peers: Peers, front: str, back: str) -> None:
        self.device, self._peers = device, peers
        self.front, self.back = device.endpoints[front][0], device.endpoints[back][0]
        self.done: list[bytes] = []
        self.taken: list[bytes] = []
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

    def worker(self, turns: Semaphore | None = None, **options: Any) -> None:
        """Have one that takes work, which the device knows; with `turns`, it takes one message for each of them."""
        puller = self._connect(zmq.PULL, **options)

        def work() -> None:
            while True:
                if turns is not None:
                    turns.acquire()
                self.done.append(b"\0".join(puller.recv(within_s=600)))

        self._working.append(gevent.spawn(work))

    def answering(self, turns: Semaphore | None = None) -> None:
        """Have one that answers requests, one at a time, which the device knows; with `turns`, one for each of them."""
        worker = self._connect(zmq.REP)

        def work() -> None:
            while True:
                request = worker.recv(within_s=600)
                self.taken.append(request[0])
                if turns is not None:
                    turns.acquire()
                self.done.append(request[0])
                worker.send(b"re " + request[0], *request[1:])

        self._working.append(gevent.spawn(work))

    def _connect(self, kind: int, **options: Any) -> Peer:
        """A worker that the device knows: its handshake may be over at one end, and at the other one still to come."""
        work = self.device._assembly._work()
        places = work.room()
        worker = self._peers.connect(kind, self.back, **options)
        eventually(lambda: work.room() > places or worker.socket.readable, "the device to know the worker", LIMIT_S)
        return worker

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


def until_quiet(*members: Member) -> None:
    """Wait until nothing is on its way, and no credit is left."""

    def is_quiet() -> bool:
        seen = [one.backbone for one in members]
        return not any(one.credit or one.promised or one.waiting or one.incoming or one.hungry for one in seen)

    eventually(is_quiet, lambda: f"nothing to be left: {[one.backbone for one in members]}", LIMIT_S)


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
    until_quiet(one, two)
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
    until_quiet(*members)
    assert sum(one.backbone.work_sent for one in members) == sum(one.backbone.work_received for one in members)
    assert not any(one.backbone.lost or one.backbone.dropped for one in members)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_worker_that_is_three_times_as_fast_gets_three_times_as_much_wherever_it_is(join, here, there):
    one, slow, fast = (join(engine=engine, **LITTLE) for engine in (here, there, here))
    turns = {member: Semaphore(0) for member in (slow, fast)}
    for member in turns:
        member.worker(turns[member], **LITTLE_THERE)
    gevent.spawn(send_all, one.pusher(), [[b"%d" % number, b"x" * 10_000] for number in range(400)])
    # However long it waits for a turn of its own, a slow one leaves enough for each turn of the fast one.
    for _ in range(75):
        for member in (fast, fast, fast, slow):
            count = len(member.done) + 1
            turns[member].release()
            eventually(
                lambda member=member, count=count: len(member.done) == count,
                lambda: f"work for a worker that is free: {worked(slow, fast)} {one.backbone}",
                LIMIT_S,
            )
    assert worked(slow, fast) == [75, 225]
    for each in turns.values():
        for _ in range(100):
            each.release()
    assert len(set(all_done(slow, fast, count=400))) == 400


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
    until_quiet(one, two)
    seen = one.backbone, two.backbone
    assert (seen[0].work_sent, seen[1].work_received) == (250, 250)
    assert (seen[1].replies_sent, seen[0].replies_received) == (250, 250)
    assert (seen[0].unanswered, seen[0].lost, seen[1].lost) == (0, 0, 0)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_no_request_waits_while_a_worker_is_free_somewhere(join, here, there):
    members = [join("queue", engine) for engine in (here, there, here)]
    turns = Semaphore(0)
    for one in members:
        for _ in range(2):
            one.answering(turns)
    client = members[0].client()
    for number in range(6):
        client.send(b"", b"%d" % number)
    # Two at each, and no worker has answered yet: a third one at any of them would wait.
    eventually(
        lambda: [len(one.taken) for one in members] == [2, 2, 2],
        lambda: f"all to be with workers: {[one.taken for one in members]}",
        LIMIT_S,
    )
    for _ in range(6):
        turns.release()
    got = [client.recv(within_s=20)[1] for _ in range(6)]
    assert sorted(got) == [b"re %d" % number for number in range(6)]


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_clients_that_vanish_leave_their_replies_to_be_counted_and_no_other_client_waits(join, here, there):
    one, two = join("queue", here), join("queue", there)
    turns = Semaphore(0)
    two.answering(turns)
    passing, staying = one.client(), one.client()
    for number in range(40):
        passing.send(b"", b"passing %d" % number)
    eventually(lambda: two.taken, "the first to be with the worker", LIMIT_S)
    passing.close()
    staying.send(b"", b"staying")
    for _ in range(41):
        turns.release()
    assert staying.recv(within_s=20) == [b"", b"re staying"]

    def replies() -> int:
        outlets = [outlet for pump in one.device.snapshot().pumps for outlet in pump.outlets]
        at_clients = [outlet for outlet in outlets if outlet.socket == "frontend"]
        dropped = sum(outlet.dropped.get(Drop.UNROUTABLE, 0) for outlet in at_clients)
        return sum(outlet.sent for outlet in at_clients) + dropped

    # What has not been read of a client that goes, goes with it.
    what = "all replies to be counted"
    eventually(lambda: replies() == len(two.done), lambda: f"{what}: {replies()} {two.done}", LIMIT_S)
    assert one.backbone.replies_received == len(two.done) and one.backbone.unanswered == 0
    until_quiet(one, two)


@pytest.mark.parametrize(("here", "there"), MIXED)
def test_a_device_that_stops_has_its_work_elsewhere_done_and_gets_the_replies(join, here, there):
    one, two = join("queue", here, linger_ms=30_000), join("queue", there)
    turns = Semaphore(0)
    two.answering(turns)
    client = one.client()
    for number in range(5):
        client.send(b"", b"%d" % number)
    eventually(lambda: two.taken, "the first to be with the worker", LIMIT_S)
    stopping = gevent.spawn(one.device.stop, 30)
    eventually(lambda: one.device.stop_requested, "it to stop")
    for _ in range(5):
        turns.release()
    stopping.get()
    got = [client.recv(within_s=20)[1] for _ in two.done]
    assert sorted(got) == sorted(b"re " + request for request in two.done)
    assert len(got) == len(set(got)) == one.backbone.work_sent > 0
    assert one.device.failure is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_stops_with_work_of_others_in_hand_has_it_done(join, engine):
    # However long its worker takes for what lies before it.
    one, two = join(engine=engine, **LITTLE), join(engine=engine, linger_ms=30_000, **LITTLE)
    turns = Semaphore(0)
    two.worker(turns, **LITTLE_THERE)
    gevent.spawn(send_all, one.pusher(), [[b"%d" % number, b"x" * 10_000] for number in range(400)])
    for _ in range(20):
        turns.release()
    all_done(two, count=20)
    eventually(lambda: two.backbone.work_received > 20, "more to be in its hand", LIMIT_S)
    stopping = gevent.spawn(two.device.stop, 30)
    eventually(lambda: two.device.stop_requested, "it to stop")
    for _ in range(400):
        turns.release()
    stopping.get()
    taken = two.backbone.work_received
    # All that has left the first one has been done; the rest still waits there.
    eventually(lambda: len(two.done) == taken, lambda: f"{taken} to be done, not {len(two.done)}", LIMIT_S)
    assert one.backbone.work_sent == taken < 400
    three = join(engine=engine)
    three.worker()
    assert len(set(all_done(two, three, count=400))) == 400


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

    def is_counted() -> bool:
        return outlet().elsewhere + sum(outlet().dropped.values()) == sent

    eventually(is_counted, lambda: f"{sent}: {outlet()}", LIMIT_S)
    eventually(lambda: len(two.done) == outlet().elsewhere, lambda: f"{len(two.done)}: {outlet()}", LIMIT_S)
    assert outlet().dropped.keys() == {Drop.NO_PEER}
    assert outlet().sent == 0 and one.backbone.work_sent == len(two.done)
    until_quiet(one, two)


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


def test_a_queue_and_a_forwarder_of_one_name_share_nothing_and_their_logs_say_so(join, run, peers, nats, caplog):
    queue = join("queue")
    forwarder = run(Forwarder(frontend=LOCAL, backend=LOCAL, name="shop", backbone=nats.url))

    def lines() -> list[str]:
        return [line for one in caplog.records if "backbone-differs" in (line := one.getMessage())]

    peers.subscriber(*forwarder.endpoints["backend"], prefix=b"a")
    eventually(lambda: len(lines()) == 1, "the line of the queue", within_s=20)
    relay = forwarder.snapshot().backbone.relay
    assert f"relay={relay} " in lines()[0] and "subscribers; this device has none, but requests" in lines()[0]
    queue.client().send(b"question")
    eventually(lambda: len(lines()) == 2, "the line of the forwarder", within_s=20)
    assert f"relay={queue.backbone.relay} " in lines()[1]
    assert "work that is requests; that of this device is none" in lines()[1]
