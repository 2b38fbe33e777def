"""Which topics a device publishes most of, and what each subscriber got and lost: in Python, over HTTP, in metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from support.engines import libzmq_only
from support.http import Client, FakeServer
from support.serving import serve

from geventrelay import Device, Drop, Forwarder, Relay, Streamer
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, Peers, eventually
from geventrelay.web.hub_delay import HubDelay
from geventrelay.web.metrics import Metrics
from geventrelay.web.site import Site

__all__ = ["serve"]

SIDES = {"frontend": LOCAL, "backend": LOCAL}
ALL = {**SIDES, "subscribe": b""}
# The kernel takes little of what a slow subscriber does not read.
LITTLE = {**ALL, "socket_options": {"backend": {zmq.SNDBUF: 4096}}}


@pytest.fixture
def client_of():
    """Starts HTTP for devices."""
    sites = []

    def start(*devices: Device) -> Client:
        site = Site(FakeServer.of(*devices), HttpAddress("127.0.0.1", 0), None)
        sites.append(site)
        site.start()
        return Client(site.url)

    yield start
    for site in sites:
        site.stop()


def publisher_of(device: Device, peers: Peers, key: str = "frontend") -> Any:
    publisher = peers.connect(zmq.XPUB, *device.endpoints[key], sndhwm=0)
    assert publisher.recv() == [b"\1"]
    return publisher


def received(device: Device) -> int:
    return device.snapshot().pumps[0].received


def publish(device: Device, publisher: Any, *topics: bytes) -> None:
    """Publish a message of each of the `topics`, and wait until the device has all."""
    wanted = received(device) + len(topics)
    for topic in topics:
        publisher.send(topic, b"12345")
    eventually(lambda: received(device) == wanted, "all messages")


def subscribed(device: Device, number: int, key: str = "backend") -> None:
    """Wait until so many subscribers are there that have asked for something."""

    def look() -> bool:
        there = [one.account.subscriptions for one in device.peers(accounts=True)[key].peers]
        return len(there) == number and all(there)

    eventually(look, f"{number} subscribers")


def slow(device: Device, peers: Peers, key: str = "backend", **options: Any) -> Any:
    """A subscriber that reads nothing."""
    return peers.connect(zmq.SUB, *device.endpoints[key], rcvhwm=1, rcvbuf=4096, subscribe=b"", **options)


def flood(device: Device, publisher: Any, counts: dict[bytes, int]) -> None:
    """Publish large messages, so many of each topic."""
    wanted = received(device) + sum(counts.values())
    for topic, number in counts.items():
        for _ in range(number):
            publisher.send(topic, b"x" * 100_000)
    eventually(lambda: received(device) == wanted, "all messages", within_s=20)


def losses_add_up(told: dict[str, Any]) -> bool:
    """Whether what a socket has lost is what its subscribers have lost, those too that have left."""
    there = sum(sum(one["lost"].values()) for one in told["peers"])
    by_topic = [
        sum(one["lost"].values()) == sum(topic["lost"] for topic in one["lost_topics"])
        for one in (*told["peers"], *told["gone"])
    ]
    gone = sum(sum(one["lost"].values()) for one in told["gone"])
    return all(by_topic) and sum(told["lost"].values()) == there + told["gone_lost"] == there + gone


# Topics ------------------------------------------------------------------------------------------------------------


def test_topics_are_told_with_their_messages_bytes_rates_and_subscribers(either, client_of, peers):
    device = either(Forwarder(**SIDES, topics=10))
    subscribers = [peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=one) for one in (b"", b"a")]
    publisher = publisher_of(device, peers)
    subscribed(device, 2)
    publish(device, publisher, b"a", b"b", b"a", b"a\xff")
    assert [len(one.recv_all(number)) for one, number in zip(subscribers, (4, 3), strict=True)] == [4, 3]
    client = client_of(device)
    told = client.get("/api/devices/forwarder/topics").json
    assert (told["version"], told["device"], list(told["sockets"])) == (1, "forwarder", ["backend"])
    table = told["sockets"]["backend"]
    assert (table["messages"], table["lost"], table["counted"], table["most_error"]) == (4, 0, 3, 0)
    rows = [(one["topic"], one["hex"], one["messages"], one["bytes"], one["subscribers"]) for one in table["topics"]]
    assert rows == [("a", "61", 2, 12, 2), ("a\ufffd", "61ff", 1, 7, 2), ("b", "62", 1, 6, 1)]
    assert all(one["messages_per_s"] > 0 and one["last_seen"] > 1e9 for one in table["topics"])
    assert [one["error"] + one["lost"] + one["lost_error"] for one in table["topics"]] == [0, 0, 0]
    assert client.get("/api/devices/forwarder").json["device"]["topics"] == 10


def test_topics_are_sorted_limited_and_chosen_by_prefix(either, client_of, peers):
    device = either(Forwarder(**ALL, topics=10))
    publisher = publisher_of(device, peers)
    for topics in ((b"ab", b"b", b"b", b"b", b"ac"), (b"ab",), (b"\xffz",)):
        # Those of one turn have come at one time.
        publish(device, publisher, *topics)
    client = client_of(device)

    def told(query: str) -> list[str]:
        answer = client.get(f"/api/devices/forwarder/topics?{query}")
        assert answer.status == 200
        return [bytes.fromhex(one["hex"]) for one in answer.json["sockets"]["backend"]["topics"]]

    assert told("") == [b"b", b"ab", b"ac", b"\xffz"]
    assert told("sort=topic") == [b"ab", b"ac", b"b", b"\xffz"]
    assert told("sort=bytes") == [b"b", b"ab", b"ac", b"\xffz"]
    assert told("sort=last&limit=2") == [b"\xffz", b"ab"]
    assert told("prefix=a&sort=topic") == [b"ab", b"ac"]
    assert told("prefix=%FF") == [b"\xffz"]
    assert told("sort=rate&limit=1") == [b"b"]


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("sort=colour", "sort: expected one of messages, rate, bytes, lost, topic, last, got 'colour'"),
        ("limit=0", "limit: expected an integer from 1 to 10000, got '0'"),
        ("limit=10001", "limit: expected an integer from 1 to 10000, got '10001'"),
        ("what=1", "query: expected one of sort, limit, prefix, got 'what'"),
    ],
)
def test_a_wrong_query_is_refused_in_one_sentence(run, client_of, query, rule):
    answer = client_of(run(Forwarder(**SIDES, topics=1))).get(f"/api/devices/forwarder/topics?{query}")
    assert (answer.status, answer.json) == (400, {"error": rule})


def test_a_device_that_counts_none_says_which_option_does(run, client_of):
    client = client_of(run(Forwarder(**SIDES)), run(Streamer(**SIDES)))
    sentence = "device {} counts no topics: topics = N (--topics N) has it count the N busiest"
    for name in ("forwarder", "streamer"):
        answer = client.get(f"/api/devices/{name}/topics")
        assert (answer.status, answer.json) == (404, {"error": sentence.format(name)})
    assert [client.get(f"/api/devices/{name}").json["device"]["topics"] for name in ("forwarder", "streamer")] == [
        0, None,
    ]  # fmt: skip
    assert client.get("/api/devices/nobody/topics").status == 404


def test_a_device_that_is_down_has_no_topics_and_counts_from_0_when_it_is_up_again(either, client_of, peers):
    device = either(Forwarder(**ALL, topics=5))
    publish(device, publisher_of(device, peers), b"a")
    device.stop()
    client = client_of(device)
    assert client.get("/api/devices/forwarder/topics").json["sockets"] == {}
    assert device.topics() == {}
    device.start()
    assert device.topics()["backend"].messages == 0


def test_what_a_topic_is_follows_the_option_and_stamps_do_not_matter(either, peers):
    device = either(
        Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, topics=5, topic_until=":", replay_size=5, replay=LOCAL, stamp=True)
    )
    publisher = publisher_of(device, peers, "sub")
    publisher.send(b"a:1")
    publisher.send(b"a:2", b"x")
    eventually(lambda: received(device) == 2, "the messages")
    (found,) = device.topics().items()
    assert found[0] == "pub"
    assert [(one.topic, one.messages, one.nbytes) for one in found[1].topics] == [(b"a", 2, 7)]


def test_metrics_have_the_busiest_topics_each_with_a_label_of_its_own(either, peers):
    device = either(Forwarder(**ALL, topics=30))
    long = b"\n" + b"t" * 150
    names = [b"%02d" % number for number in range(25)]
    publish(
        device,
        publisher_of(device, peers),
        *(name for name in names for _ in range(2)),
        *[long + b"1"] * 3,
        *[long + b"2"] * 4,
    )
    supervised = FakeServer.of(device).devices
    server = SimpleNamespace(devices=supervised, ready=True, log_dropped=0)
    text = Metrics(server, HubDelay(), {}).scrape("")[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("geventrelay_topic")]
    where = 'device="forwarder",socket="backend"'
    assert f"geventrelay_topics_counted{{{where}}} 27.0" in lines
    label = "\\\\n" + "t" * 98
    assert f'geventrelay_topic_messages_total{{{where},topic="{label}"}} 7.0' in lines
    assert f'geventrelay_topic_bytes_total{{{where},topic="00"}} 14.0' in lines
    assert f'geventrelay_topic_lost_total{{{where},topic="17"}} 0.0' in lines
    assert sum(line.startswith("geventrelay_topic_messages_total") for line in lines) == 19


def test_topics_that_come_once_alone_have_no_metrics(either, peers):
    device = either(Forwarder(**ALL, topics=5))
    publisher = publisher_of(device, peers)
    publish(device, publisher, *[b"always"] * 40, *(b"once/%03d" % number for number in range(100)))
    assert [one.topic for one in device.topics()["backend"].topics if one.error] == [
        b"once/%03d" % number for number in (96, 97, 98, 99)
    ]
    server = SimpleNamespace(devices=FakeServer.of(device).devices, ready=True, log_dropped=0)
    text = Metrics(server, HubDelay(), {}).scrape("")[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("geventrelay_topic_messages_total")]
    assert lines == ['geventrelay_topic_messages_total{device="forwarder",socket="backend",topic="always"} 40.0']


# Subscribers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topics", [0, 100])
def test_each_subscriber_is_told_what_it_lost_and_those_who_left_too(either, client_of, peers, topics):
    device = either(Forwarder(**LITTLE, topics=topics, sndhwm=5))
    _, leaving = slow(device, peers), slow(device, peers)
    quick = peers.connect(zmq.SUB, *device.endpoints["backend"], rcvhwm=0, subscribe=b"c")
    publisher = publisher_of(device, peers)
    subscribed(device, 3)
    flood(device, publisher, {b"a": 40, b"b": 20})
    publish(device, publisher, b"c")
    assert quick.recv() == [b"c", b"12345"]
    client = client_of(device)
    told = client.get("/api/devices/forwarder/subscribers").json
    table = told["sockets"]["backend"]
    assert (told["by_topic"], table["total"], table["gone"], table["gone_total"]) == (bool(topics), 3, [], 0)
    assert [one["connected"] for one in table["peers"]] == [True] * 3
    assert table["peers"][2]["lost"] == {}
    assert table["peers"][0]["lost"].keys() == {"slow"}
    if not topics:
        assert [one["lost_topics"] for one in table["peers"]] == [[], [], []]
        return
    assert losses_add_up(table)
    for one in table["peers"][:2]:
        assert [set(topic) for topic in one["lost_topics"]] == [{"topic", "hex", "lost", "error"}] * len(
            one["lost_topics"]
        )
        assert {topic["topic"] for topic in one["lost_topics"]} <= {"a", "b", "c"}
    leaving.close()
    eventually(lambda: len(device.peers()["backend"].peers) == 2, "it to leave")
    told = client.get("/api/devices/forwarder/subscribers").json["sockets"]["backend"]
    assert losses_add_up(told)
    (gone,) = told["gone"]
    assert (told["gone_total"], told["gone_lost"]) == (1, sum(gone["lost"].values()))
    assert gone["lost"]["left"] > 0
    assert gone["left_at"] >= gone["since"]
    assert (gone["connected"], gone["waiting"], gone["subscriptions"], gone["topics"]) == (False, 0, 0, [])
    by_topic = client.get("/api/devices/forwarder/topics?sort=lost").json["sockets"]["backend"]
    assert by_topic["lost"] == sum(told["lost"].values()) == sum(one["lost"] for one in by_topic["topics"])


def test_one_who_has_lost_nothing_is_not_among_those_who_left(either, peers):
    device = either(Forwarder(**ALL, topics=5))
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"")
    publish(device, publisher_of(device, peers), b"a")
    assert subscriber.recv() == [b"a", b"12345"]
    eventually(lambda: device.subscribers()["backend"].counts.delivered == 1, "the delivery")
    subscriber.close()
    eventually(lambda: not device.peers()["backend"].peers, "it to leave")
    assert device.subscribers()["backend"].gone == ()


def test_one_who_has_left_has_no_rates_any_more(either, client_of, peers, monkeypatch):
    monkeypatch.setattr("geventrelay.switch.meter._LEAST_S", 1e-9)
    device = either(Forwarder(**LITTLE, topics=5, sndhwm=1))
    publisher, subscriber = publisher_of(device, peers), slow(device, peers)
    subscribed(device, 1)
    flood(device, publisher, {b"a": 30})
    client = client_of(device)
    (there,) = client.get("/api/devices/forwarder/subscribers").json["sockets"]["backend"]["peers"]
    assert there["delivered_per_s"] is not None
    subscriber.close()
    eventually(lambda: not device.peers()["backend"].peers, "it to leave")
    (gone,) = client.get("/api/devices/forwarder/subscribers").json["sockets"]["backend"]["gone"]
    assert (gone["received_per_s"], gone["delivered_per_s"]) == (None, None)


def test_no_more_than_a_hundred_of_those_who_left_are_told_and_all_are_counted(either, peers, monkeypatch):
    monkeypatch.setattr("geventrelay.switch.subscribers.MOST_GONE", 2)
    device = either(Forwarder(**LITTLE, topics=5, sndhwm=1))
    publisher = publisher_of(device, peers)
    for number in range(3):
        subscriber = slow(device, peers)
        subscribed(device, 1)
        flood(device, publisher, {b"%d" % number: 30})
        subscriber.close()
        eventually(lambda: not device.peers()["backend"].peers, "it to leave")
    found = device.subscribers()["backend"]
    assert [one.lost_topics[0].topic for one in found.gone] == [b"1", b"2"]
    assert found.gone_total == 3
    assert found.gone_lost == sum(found.counts.dropped.values())


def test_those_who_were_there_at_the_end_have_left_and_are_told_until_the_next_start(either, client_of, peers):
    device = either(Forwarder(**LITTLE, topics=5, sndhwm=2, linger_ms=0))
    slow(device, peers)
    publisher = publisher_of(device, peers)
    subscribed(device, 1)
    flood(device, publisher, {b"a": 30})
    device.stop(0)
    client = client_of(device)
    told = client.get("/api/devices/forwarder/subscribers").json["sockets"]["backend"]
    assert losses_add_up(told)
    assert (told["total"], told["peers"], told["gone_total"]) == (0, [], 1)
    assert told["gone"][0]["lost"]["stopped"] > 0
    device.start()
    assert device.subscribers()["backend"].gone == ()


def test_those_who_left_are_told_also_after_the_device_was_started_again(serve, peers):
    running = serve(Forwarder(**LITTLE, topics=5, sndhwm=2, linger_ms=0, engine="zmtp"))
    supervised = running.server.devices["forwarder"]
    for life in (1, 2):
        device = supervised.device
        subscriber = slow(device, peers)
        publisher = publisher_of(device, peers)
        subscribed(device, 1)
        flood(device, publisher, {b"life %d" % life: 30})
        running.fail("forwarder")
        eventually(lambda: running.server.ready, "the device to be up again")
        subscriber.close()
        publisher.close()
    found = supervised.subscribers()["backend"]
    assert [one.lost_topics[0].topic for one in found.gone] == [b"life 1", b"life 2"]
    assert (found.gone_total, found.gone_lost) == (2, sum(found.counts.dropped.values()))
    assert supervised.device.subscribers()["backend"].gone == ()


def test_an_endpoint_that_is_away_has_lost_what_did_not_fit(either, client_of, peers):
    sink = peers.make(zmq.SUB)
    sink.subscribe(b"")
    address = sink.bind()
    device = either(Forwarder(frontend=LOCAL, backend=f">{address}", subscribe=b"", topics=5, sndhwm=3))
    publisher = publisher_of(device, peers)
    subscribed(device, 1)
    publish(device, publisher, b"a")
    assert sink.recv() == [b"a", b"12345"]
    sink.close()
    eventually(lambda: not device.peers()["backend"].peers, "it to leave")
    publish(device, publisher, *[b"a"] * 10)
    told = client_of(device).get("/api/devices/forwarder/subscribers").json["sockets"]["backend"]
    assert losses_add_up(told)
    (away,) = told["peers"]
    assert (away["connected"], away["address"], away["id"], away["since"], away["zmtp"], away["type"]) == (
        False, address, None, None, None, None,
    )  # fmt: skip
    assert (away["lost"], away["waiting"], told["total"]) == ({"slow": 7}, 3, 1)
    assert away["lost_topics"] == [{"topic": "a", "hex": "61", "lost": 7, "error": 0}]
    device.stop(0)
    (gone,) = device.subscribers()["backend"].gone
    assert (gone.peer.address, gone.peer.account.lost) == (address, {Drop.SLOW: 7, Drop.STOPPED: 3})


def test_only_those_who_have_lost_most_are_told_where_there_are_very_many(either, client_of, peers, monkeypatch):
    monkeypatch.setattr("geventrelay.switch.subscribers.MOST_ACCOUNTS", 1)
    device = either(Forwarder(**LITTLE, topics=5, sndhwm=2))
    # It is connected longest, and loses nothing.
    peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"other")
    subscribed(device, 1)
    slow(device, peers)
    publisher = publisher_of(device, peers)
    subscribed(device, 2)
    wanted = device.peers()["backend"].peers[1].address
    flood(device, publisher, {b"a": 40})
    found = device.subscribers()["backend"]
    assert (found.total, len(found.subscribers)) == (2, 1)
    assert found.subscribers[0].lost > 0
    assert found.subscribers[0].peer.address == wanted


@libzmq_only("its refusal")
def test_a_device_with_libzmq_tells_nothing_of_subscribers(run, client_of):
    answer = client_of(run(Forwarder(**SIDES))).get("/api/devices/forwarder/subscribers")
    sentence = "device forwarder has engine libzmq, which does not tell what subscribers lost (zmtp does)"
    assert (answer.status, answer.json) == (404, {"error": sentence})


def test_a_device_without_subscribers_says_so(run, client_of):
    answer = client_of(run(Streamer(**SIDES, engine="zmtp"))).get("/api/devices/streamer/subscribers")
    assert (answer.status, answer.json) == (
        404, {"error": "device streamer has no subscribers (a PUB or XPUB has some)"},
    )  # fmt: skip


def test_the_limit_of_subscribers_is_held_to_its_range(run, client_of):
    answer = client_of(run(Forwarder(**SIDES, engine="zmtp"))).get("/api/devices/forwarder/subscribers?limit=1001")
    assert (answer.status, answer.json) == (400, {"error": "limit: expected an integer from 1 to 1000, got '1001'"})


# Last values -------------------------------------------------------------------------------------------------------


def test_last_values_are_read_by_topic_and_do_not_count_as_given(either, peers):
    device = either(Forwarder(**SIDES, last_value=True))
    publisher = publisher_of(device, peers)
    publish(device, publisher, b"b", b"a1", b"a2", b"b")
    found = device.last_values()
    assert [(one.socket, one.topic, one.parts) for one in found] == [
        ("backend", topic, [topic, b"12345"]) for topic in (b"a1", b"a2", b"b")
    ]
    assert all(one.time > 1e9 for one in found)
    assert [one.topic for one in device.last_values(b"a", after=b"a1")] == [b"a2"]
    assert [one.topic for one in device.last_values(most=2)] == [b"a1", b"a2"]
    assert device.snapshot().pumps[0].outlets[0].last_values_given == 0
    device.stop()
    assert device.last_values() == []


def test_a_device_that_keeps_no_last_values_has_none_to_read(run):
    assert run(Forwarder(**SIDES, topics=1)).last_values() is None
    assert run(Streamer(**SIDES)).last_values() is None
