"""Devices of one name that act as one, over a real server of NATS."""

from __future__ import annotations

import contextlib
import itertools

import gevent
import pytest
import zmq
from support.backbone import LIMIT_S
from support.nats import nats_server

from geventrelay import Device, Drop, Forwarder, Relay
from geventrelay.backbone.values import BackboneDrop
from geventrelay.testing import LOCAL, Peers, connected, eventually, let_run
from geventrelay.web import report

pytestmark = pytest.mark.usefixtures("no_device_expires")

PATTERNS = {
    "relay": (Relay, "sub", "pub"),
    "forwarder": (Forwarder, "frontend", "backend"),
}


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


class Member:
    """One of several devices that act as one."""

    def __init__(self, device, peers: Peers, front: str, back: str) -> None:
        self.device, self._peers = device, peers
        self._front, self._back = device.endpoints[front][0], device.endpoints[back][0]

    @property
    def backbone(self):
        return self.device.snapshot().backbone

    @property
    def received(self):
        """How many messages came in from its own publishers."""
        return self.device.snapshot().pumps[0].received

    def publisher(self, **options):
        return self._peers.publisher(self._front, sndhwm=0, **options)

    def subscriber(self, prefix: bytes = b"", **options):
        return self._peers.subscriber(self._back, prefix=prefix, rcvhwm=0, **options)


@pytest.fixture
def join(run, peers, nats):
    """Makes one more of the devices called shop, and waits until all know each other."""
    made: list[Member] = []

    def join(pattern: str = "relay", engine: str = "zmtp", **settings) -> Member:
        cls, front, back = PATTERNS[pattern]
        ends = {front: LOCAL, back: LOCAL}
        device = run(cls(**ends, engine=engine, name="shop", **{"backbone": nats.url} | settings))
        made.append(Member(device, peers, front, back))
        know_each_other(*(one for one in made if one.device.started))
        return made[-1]

    return join


def know_each_other(*members: Member) -> None:
    def known() -> bool:
        return all(len(one.backbone.neighbours) == len(members) - 1 for one in members)

    eventually(known, lambda: f"all to know each other: {[one.backbone for one in members]}", within_s=20)


def numbered(topic: bytes, count: int, begin: int = 0) -> list[list[bytes]]:
    return [[topic, b"%d" % number, b"x" * (number % 300)] for number in range(begin, begin + count)]


def numbers(messages, topic: bytes) -> list[int]:
    return [int(message[1]) for message in messages if message[0] == topic]


def publish(publisher, messages) -> None:
    for number, message in enumerate(messages):
        publisher.send(*message)
        if number % 50 == 49:
            # Others are to have a turn: all of them are in this process.
            gevent.sleep(0)


ENGINES = [("libzmq", "zmtp"), ("zmtp", "libzmq")]


@pytest.mark.parametrize(("here", "there"), ENGINES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_published_at_one_arrives_at_the_subscribers_of_both(join, pattern, here, there):
    one, two = join(pattern, here), join(pattern, there)
    near, far = one.subscriber(b"a"), two.subscriber(b"a")
    publisher = one.publisher()
    connected(publisher, near, far, within_s=LIMIT_S)
    before = one.backbone.sent
    sent = numbered(b"a", 3000)
    for message in sent:
        publisher.send(*message)
        publisher.send(b"b")
    assert near.recv_all(len(sent), within_s=LIMIT_S) == sent
    assert far.recv_all(len(sent), within_s=LIMIT_S) == sent
    counted = one.backbone.sent
    assert counted == before + 3000
    eventually(lambda: two.backbone.delivered == counted, "all to be counted", LIMIT_S)
    assert (two.backbone.received, two.backbone.lost) == (counted, 0)


@pytest.mark.parametrize(("here", "there"), ENGINES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_three_of_them_are_one(join, pattern, here, there):
    members = [join(pattern, engine) for engine in (here, there, here)]
    subscribers = [one.subscriber(prefix) for one, prefix in zip(members, (b"", b"a", b"a"), strict=True)]
    subscribers += [members[1].subscriber(b"b")]
    publishers = [one.publisher() for one in members]
    connected(*publishers, *subscribers, within_s=LIMIT_S)
    sent = {
        topic + bytes([index]): numbered(topic + bytes([index]), 700) for index in range(3) for topic in (b"a", b"b")
    }
    for number in range(700):
        for index, publisher in enumerate(publishers):
            for topic in (b"a", b"b"):
                publisher.send(*sent[topic + bytes([index])][number])
    for subscriber, prefix in zip(subscribers, (b"", b"a", b"a", b"b"), strict=True):
        wanted = {topic: messages for topic, messages in sent.items() if topic.startswith(prefix)}
        got = subscriber.recv_all(700 * len(wanted), within_s=LIMIT_S)
        for topic, messages in wanted.items():
            assert [one for one in got if one[0] == topic] == messages
    # No message has come a second time.
    for publisher in publishers:
        publisher.send(b"ab fence")
    for subscriber in subscribers[:3]:
        assert subscriber.recv_all(3) == [[b"ab fence"]] * 3


@pytest.mark.parametrize(("here", "there"), ENGINES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_others_that_come_and_go_disturb_no_subscriber(join, pattern, here, there):
    one, two, three = join(pattern, here), join(pattern, there), join(pattern, there)
    steady, also = two.subscriber(b"a"), three.subscriber(b"a")
    publisher, sent, enough = one.publisher(), 0, False
    came: dict[str, list[list[bytes]]] = {"two": [], "three": []}
    connected(publisher, steady, also, within_s=LIMIT_S)

    def publish_all():
        nonlocal sent
        while not enough:
            # No more is on its way than each queue has room for.
            if sent - min(map(len, came.values())) < 1000:
                for message in numbered(b"a", 10, sent):
                    publisher.send(*message)
                    publisher.send(b"b", message[1])
                sent += 10
            # Others are to have a turn: all of them are in this process.
            gevent.sleep(0.0005)

    def read_all(subscriber, into):
        while True:
            into.append(subscriber.recv(within_s=600))

    reading = [gevent.spawn(read_all, steady, came["two"]), gevent.spawn(read_all, also, came["three"])]
    publishing = gevent.spawn(publish_all)
    for prefix in (b"", b"b", b"ab", b"a", b"") * 4:
        with contextlib.closing(two.subscriber(prefix)) as other:
            count = len(came["two"]) + 100
            eventually(lambda count=count: len(came["two"]) >= count, "a hundred more to come", LIMIT_S)
            if prefix == b"":
                seen = other.recv_all(200, within_s=LIMIT_S)
                for topic in (b"a", b"b"):
                    steps = {later - earlier for earlier, later in itertools.pairwise(numbers(seen, topic))}
                    # Of b, the end of an earlier wish may come first, and then a gap.
                    assert steps <= {1} if topic == b"a" else all(step > 0 for step in steps)
    enough = True
    publishing.get()
    eventually(lambda: min(map(len, came.values())) >= sent, "all to come", LIMIT_S)
    gevent.killall(reading)
    assert came["two"] == numbered(b"a", sent) == came["three"]
    assert two.backbone.lost == three.backbone.lost == 0


@pytest.mark.parametrize(("here", "there"), ENGINES)
def test_pullers_get_what_was_published_at_their_own_relay_alone(join, peers, here, there):
    one = join(engine=here, push=LOCAL, push_payload="whole")
    two = join(engine=there, push=LOCAL, push_payload="whole")
    pullers = [peers.connect(zmq.PULL, *each.device.endpoints["push"]) for each in (one, two)]
    subscriber = two.subscriber()
    publishers = [each.publisher() for each in (one, two)]
    connected(*publishers, subscriber, within_s=LIMIT_S)
    for publisher, puller in zip(publishers, pullers, strict=True):
        publisher.send(publisher.endpoint.encode())
        assert subscriber.recv() == puller.recv() == [publisher.endpoint.encode()]


def test_each_keeps_the_last_values_of_all(join):
    one, two = join(last_value=True, topic_until=" "), join(last_value=True, topic_until=" ")
    publisher, early = one.publisher(), two.subscriber(b"b")
    connected(publisher, early, within_s=LIMIT_S)
    for number in range(10):
        publisher.send(b"a %d" % number)
    publisher.send(b"b")
    assert early.recv() == [b"b"]
    assert two.subscriber(b"a").recv() == [b"a 9"]


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_what_a_peer_may_not_publish_leaves_no_relay(join, engine, tmp_path):
    rights = tmp_path / "rights.toml"
    rights.write_text('[others]\npublish = ["a"]\nsubscribe = [""]\n')
    one, two = join(engine=engine, rights=rights), join(engine=engine)
    subscriber, near = two.subscriber(b"a"), one.subscriber(b"a")
    for each in (subscriber, near):
        each.subscribe(b"b")
    publisher = one.publisher()
    connected(publisher, subscriber, near, within_s=LIMIT_S)
    for topic in (b"b1", b"a1", b"b2", b"a2"):
        publisher.send(topic)
    assert subscriber.recv_all(2) == [[b"a1"], [b"a2"]] == near.recv_all(2)
    pump = one.device.snapshot().pumps[0]
    assert [outlet.dropped.get(Drop.FORBIDDEN) for outlet in pump.outlets] == [2, 2]


def test_what_a_peer_may_not_subscribe_to_does_not_come_to_it_from_elsewhere(join, tmp_path):
    rights = tmp_path / "rights.toml"
    rights.write_text('[others]\npublish = [""]\nsubscribe = ["a"]\n')
    one, two = join(), join(rights=rights, last_value=True)
    subscriber, publisher = two.subscriber(b"a"), one.publisher()
    subscriber.subscribe(b"b")
    connected(publisher, subscriber, within_s=LIMIT_S)
    before = one.backbone.sent
    for topic in (b"b1", b"a1", b"b2", b"a2"):
        publisher.send(topic)
    assert subscriber.recv_all(2) == [[b"a1"], [b"a2"]]
    assert one.backbone.sent == before + 4


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_a_rate_holds_for_peers_and_not_for_what_comes_from_others(join, engine):
    one, two = join(engine=engine), join(engine=engine, max_rate=1, max_peers=3)
    subscriber = two.subscriber()
    publisher, sent = one.publisher(), numbered(b"a", 500)
    connected(publisher, subscriber, within_s=LIMIT_S)
    publish(publisher, sent)
    assert subscriber.recv_all(500) == sent


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_a_message_that_the_server_does_not_take_stays_here(join, engine):
    one, two = join(engine=engine), join(engine=engine)
    near, far = one.subscriber(), two.subscriber()
    publisher = one.publisher()
    connected(publisher, near, far, within_s=LIMIT_S)
    sent = [[b"1"], [b"x" * 2_000_000], [b"2", b"y" * 500_000, b"z" * 500_000], [b"3" * 900_000]]
    for message in sent:
        publisher.send(*message)
    assert near.recv_all(4) == sent
    assert far.recv_all(3) == [sent[0], sent[2], sent[3]]
    assert one.backbone.dropped == {BackboneDrop.TOO_LARGE: 1}


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_a_relay_that_stops_sends_what_it_has(join, engine):
    # However long it takes to send all of it.
    one, two = (join(engine=engine, drain_s=30, linger_ms=30_000) for _ in range(2))
    subscriber = two.subscriber()
    publisher, sent = one.publisher(), numbered(b"a", 5000)
    connected(publisher, subscriber, within_s=LIMIT_S)
    before, sent_before = one.received, one.backbone.sent
    for message in sent:
        publisher.send(*message)
    eventually(lambda: one.received > before, "the first to be read")
    one.device.stop()
    received = one.received - before
    assert subscriber.recv_all(received, within_s=LIMIT_S) == sent[:received]
    assert one.backbone.sent == sent_before + received and not one.backbone.dropped
    # It has said so: there is no other way to know that it has gone.
    eventually(lambda: not two.backbone.neighbours, "the other to know that it has gone", LIMIT_S)


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_http_shows_how_they_are_joined(join, engine):
    one, two = join(engine=engine), join(engine=engine)
    connected(one.publisher(), two.subscriber(b"a"), within_s=LIMIT_S)
    # It says each second what it has been told.
    eventually(lambda: one.backbone.neighbours[0].served, "the other to say that it is served", LIMIT_S)
    shown = report.backbone(one.backbone)
    (other,) = shown["neighbours"]
    assert (shown["state"], shown["reason"], other["relay"]) == ("connected", "", two.backbone.relay)
    assert (other["wants"], other["served"]) == (1, True)


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_one_may_be_stopped_at_any_moment_of_its_start(engine, nats, capfd):
    settings = Relay(sub=LOCAL, pub=LOCAL, engine=engine, name="shop", backbone=nats.url)
    for turns in range(20):
        device = Device(settings)
        device.start()
        let_run(turns)
        device.stop(0)
        assert device.failure is None
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("here", "there"), ENGINES)
def test_each_says_what_the_others_have(join, here, there):
    one, two = join("relay", here), join("relay", there)
    far = two.subscriber(b"a")
    publisher = one.publisher()
    connected(publisher, far, within_s=LIMIT_S)
    publish(publisher, numbered(b"a", 500))
    assert len(far.recv_all(500)) == 500
    other = two.backbone.neighbours[0]
    (seen,) = one.backbone.neighbours
    assert seen.sent == other.received == one.backbone.sent
    # Private sockets are for no program. With libzmq, peers are followed in a server alone.
    there_are, here_are = ({"sub": 0, "pub": 1}, {"sub": 1, "pub": 0})
    there_are, here_are = (there_are if there == "zmtp" else {}), (here_are if here == "zmtp" else {})
    eventually(lambda: one.backbone.neighbours[0].about.peers == there_are, "the subscriber there", LIMIT_S)
    eventually(lambda: two.backbone.neighbours[0].about.peers == here_are, "the publisher there", LIMIT_S)
    eventually(lambda: one.backbone.others_round_trip_s is not None, "an answer", LIMIT_S)
    (about,) = report.backbone(one.backbone)["neighbours"]
    assert about["about"]["server"] == one.backbone.server and about["round_trip_s"] < 5
    assert one.backbone.others == 1 and one.backbone.host == seen.host
