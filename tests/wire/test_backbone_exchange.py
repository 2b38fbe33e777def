"""Exchanges at a real server of NATS: each message that is wanted comes once and in order, or is counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event
from support.backbone import LIMIT_S, Relay, Relays, until_served
from support.nats import NatsServer, nats_server

from geventrelay.backbone.interest import id_of
from geventrelay.backbone.nats.client import Connection
from geventrelay.backbone.nats.loop import run
from geventrelay.backbone.pack import PackHead
from geventrelay.backbone.values import BackboneDrop, LinkState
from geventrelay.backbone.words.codec import encoded
from geventrelay.backbone.words.mesh import Gone, Here, Mark, Served
from geventrelay.backbone.words.word import Word
from geventrelay.testing import eventually, let_run, within

pytestmark = pytest.mark.usefixtures("no_device_expires")

MIB = 1 << 20


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def relays(nats: NatsServer) -> Iterator[Relays]:
    with Relays(nats.url) as made:
        yield made


def numbers(relay: Relay, topic: bytes = b"") -> list[int]:
    return [int(parts[1]) for parts in relay.came if parts[0].startswith(topic)]


def test_a_message_goes_from_one_device_to_the_other(relays):
    one, other = relays.start(), relays.start()
    other.want(b"a")
    one.until_asked_for(b"a")
    one.publish([b"a1", b"x"], [b"b", b"not wanted"], [b"a2", b"y" * 300], [b"a3", b"z" * 300_000, b""])
    other.until_came(3)
    assert other.came == [[b"a1", b"x"], [b"a2", b"y" * 300], [b"a3", b"z" * 300_000, b""]]
    assert one.came == []
    assert (one.now.sent, other.now.received, other.now.delivered, other.now.lost) == (3, 3, 3, 0)
    assert one.now.state is other.now.state is LinkState.CONNECTED


def test_devices_of_another_name_or_prefix_hear_nothing(relays):
    one, other, alien = relays.start(), relays.start("prices.2"), relays.start(backbone_prefix="other")
    same = relays.start()
    for relay in (other, alien, same):
        relay.want(b"")
    one.until_asked_for(b"")
    one.publish([b"a"])
    same.until_came(1)
    assert [len(relay.now.neighbours) for relay in (one, other, alien, same)] == [1, 0, 0, 1]
    assert other.came == alien.came == []


def test_what_a_device_keeps_it_asks_for_without_subscribers(relays):
    one, other = relays.start(), relays.start(own=(b"kept",))
    other.want(b"a", b"kept.a")
    one.until_asked_for(b"a", b"kept")
    other.want_no_more(b"a", b"kept.a")
    one.until_asked_for(b"kept")


def test_of_three_devices_each_gets_what_it_asks_for_while_others_change_theirs(relays):
    publisher, steady, changing = relays.start(), relays.start(), relays.start()
    steady.want(b"a")
    changing.want(b"b")
    publisher.until_asked_for(b"a", b"b")
    for number in range(300):
        publisher.publish(*([topic, b"%d" % number] for topic in (b"a", b"ab", b"b")))
        if number % 10 == 0:
            (changing.want, changing.want_no_more)[number // 10 % 2](b"a")
        if number % 3 == 0:
            gevent.sleep(0.001)
    steady.until_came(600)
    assert numbers(steady) == [number for number in range(300) for _ in range(2)]
    eventually(lambda: numbers(changing, b"b")[-1:] == [299], "the last message", LIMIT_S)
    # What it asked for all the time came whole, the other in order and once.
    assert numbers(changing, b"b") == list(range(300))
    a = [(int(parts[1]), parts[0]) for parts in changing.came if parts[0].startswith(b"a")]
    assert a == sorted(set(a))
    assert steady.now.lost == changing.now.lost == 0


def test_messages_that_come_together_travel_together_and_a_single_one_does_not_wait(relays):
    one, other = relays.start(), relays.start()
    other.want(b"")
    one.until_asked_for(b"")
    for number in range(1000):
        one.publish([b"a", b"%d" % number])
    other.until_came(1000)
    assert numbers(other) == list(range(1000))
    assert one.now.sent_packs < 100


@pytest.mark.slow
def test_while_nats_is_away_messages_wait_and_come_once_it_is_back(relays, nats):
    one, other = relays.start(), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    one.publish([b"a", b"0"])
    other.until_came(1)
    nats.kill()
    for relay in (one, other):
        relay.until(lambda now: now.state is LinkState.CONNECTING and now.reason, "no connection")
    for number in range(1, 1000):
        one.publish([b"a", b"%d" % number])
        other.publish([b"b", b"%d" % number])
    one.until(lambda now: now.waiting == 999, "messages that wait")
    assert one.exchange.drained
    nats.start()
    other.until_came(1000)
    one.until_came(999)
    assert numbers(other) == list(range(1000))
    assert numbers(one) == list(range(1, 1000))
    assert one.now.lost == other.now.lost == 0
    assert one.now.connects == 2


@pytest.mark.slow
def test_what_a_killed_server_had_in_its_hands_is_counted_as_lost(relays, nats):
    one, other = relays.start(), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    sent = 0
    for _ in range(3):
        while one.now.state is LinkState.CONNECTED:
            sent += one.publish(*([b"a", b"%d" % (sent + number)] for number in range(50)))
            gevent.sleep(0.0005)
            if sent % 2000 == 0:
                nats.kill()
                eventually(lambda: one.now.state is LinkState.CONNECTING, "no connection", LIMIT_S)
        nats.start()
        for relay in (one, other):
            relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
    one.publish([b"a", b"%d" % sent])
    eventually(lambda: numbers(other)[-1:] == [sent], "the last message", LIMIT_S)
    came = numbers(other)
    assert came == sorted(set(came))
    assert len(came) + other.now.lost == sent + 1


def test_a_full_buffer_drops_what_is_for_others_and_counts_it(relays, nats):
    one, other = relays.start(backbone_buffer_bytes=MIB), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    nats.kill()
    one.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
    for number in range(300):
        one.publish([b"a", b"%d" % number, b"x" * 10_000])
    eventually(lambda: not one.ends.unread, "messages that are read", LIMIT_S)
    now = one.now
    assert now.waiting_bytes <= MIB
    assert now.waiting + now.dropped[BackboneDrop.BACKBONE] == 300
    nats.start()
    other.until_came(now.waiting)
    came = numbers(other)
    assert came == sorted(set(came))
    assert len(came) == now.waiting
    assert other.now.lost == 0


def test_with_block_a_full_buffer_has_the_device_wait(relays, nats):
    one, other = relays.start(backbone_buffer_bytes=MIB, backbone_when_full="block"), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    nats.kill()
    one.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
    for number in range(300):
        one.publish([b"a", b"%d" % number, b"x" * 10_000])
    one.until(lambda now: now.waiting_bytes >= MIB, "a full buffer")
    assert one.ends.unread == 300 - one.now.waiting > 150
    nats.start()
    other.until_came(300)
    assert numbers(other) == list(range(300))
    assert not one.now.dropped


def test_what_subscribers_are_too_slow_for_waits_then_is_dropped_and_counted(relays):
    one, other = relays.start(), relays.start(backbone_buffer_bytes=MIB)
    other.want(b"")
    one.until_asked_for(b"")
    other.ends.is_stalled = True
    for number in range(300):
        one.publish([b"a", b"%d" % number, b"x" * 10_000])
    other.until(lambda now: now.received == 300, "all messages")
    now = other.now
    assert now.dropped[BackboneDrop.SLOW] + now.incoming == 300
    assert 0 < now.incoming_bytes <= MIB
    other.ends.go_on()
    other.until_came(now.incoming)
    one.publish([b"a", b"300"])
    other.until_came(now.incoming + 1)
    came = numbers(other)
    assert came == sorted(set(came))
    assert (came[0], came[-1], len(came)) == (0, 300, now.incoming + 1)
    assert other.now.delivered == now.incoming + 1
    assert other.now.incoming == other.now.incoming_bytes == other.now.lost == 0


def test_a_message_that_is_larger_than_the_server_takes_is_dropped_and_counted(tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text("max_payload: 65536\n")
    with nats_server(tmp_path, "-c", str(configuration)) as nats, Relays(nats.url) as relays:
        one, other = relays.start(), relays.start()
        other.want(b"")
        one.until_asked_for(b"")
        sizes = [10, 70_000, 20, 60_000, 60_000, 30]
        one.publish(*([b"a", b"%d" % number, b"x" * size] for number, size in enumerate(sizes)))
        other.until_came(5)
        assert numbers(other) == [0, 2, 3, 4, 5]
        assert one.now.dropped == {BackboneDrop.TOO_LARGE: 1}
        assert (other.now.lost, one.now.waiting, one.now.sent) == (0, 0, 5)


def test_a_server_that_takes_little_at_once_is_told_of_many_topics_by_their_beginnings(tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text("max_payload: 2048\n")
    topics = [b"%03d" % number + b"x" * 100 for number in range(100)]
    with nats_server(tmp_path, "-c", str(configuration)) as nats, Relays(nats.url) as relays:
        one, other = relays.start(), relays.start()
        other.want(*topics)
        eventually(lambda: one.ends.topics, "topics", LIMIT_S)
        assert sum(map(len, one.ends.topics)) <= 512
        one.publish(*([topic, b"%d" % number] for number, topic in enumerate(topics)))
        other.until_came(100)
        assert numbers(other) == list(range(100))


def test_what_is_no_pack_and_no_word_is_counted_and_does_no_harm(relays, nats):
    import nats as library

    one, other = relays.start(), relays.start()
    other.want(b"")
    one.until_asked_for(b"")
    one.publish([b"a", b"0"])
    other.until_came(1)
    subjects = other.exchange._subjects
    stream = next(iter(other.exchange._listens))

    async def harm():
        client = await library.connect(nats.url)
        for subject in (subjects.all, subjects.relay(other.exchange._relay), stream):
            for data in (b"", b"x", b"{}", b"[" * 100_000, b"GRB1" + b"\0" * 60, b"\xff" * 200):
                await client.publish(subject, data)
        await client.flush()
        await client.close()

    run(harm())
    other.until(lambda now: now.malformed == 18, "what was harmful")
    one.publish([b"a", b"1"])
    other.until_came(2)
    assert numbers(other) == [0, 1]
    # What NATS sends to one device comes in order; to two, at any time.
    one.until(lambda now: now.malformed == 6, "the same of what was for all")


def test_a_device_that_stops_says_so_and_drops_what_waits(relays, nats):
    one, other = relays.start(), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    other.stop()
    one.until(lambda now: not now.neighbours, "no neighbour")
    third = relays.start()
    third.want(b"")
    until_served(one, third)
    nats.kill()
    one.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
    one.publish([b"a", b"0"])
    one.until(lambda now: now.waiting == 1, "a message that waits")
    one.stop()
    assert one.now.dropped == {BackboneDrop.STOPPED: 1}
    assert one.now.waiting == 0


def test_a_device_that_stops_while_it_connects_stops(relays, monkeypatch):
    connect, has_begun = Connection.open, Event()

    async def passing_over(self: Connection, *arguments: str, **login: str) -> None:
        has_begun.set()
        # As `asyncio.wait_for` may before Python 3.12.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await connect(self, *arguments, **login)

    monkeypatch.setattr(Connection, "open", passing_over)
    one = relays.start()
    with within("the connection to be begun"):
        has_begun.wait()
    with within("the device to stop"):
        one.stop()


def test_a_device_that_drains_takes_nothing_more_and_sends_what_there_is(relays):
    one, other = relays.start(), relays.start()
    for relay in (one, other):
        relay.want(b"")
    until_served(one, other)
    one.publish(*([b"a", b"%d" % number] for number in range(1000)))
    one.exchange.finish()
    other.until_asked_for()
    other.until_came(1000)
    eventually(lambda: one.exchange.drained, "a drained exchange", LIMIT_S)
    assert one.now.wanted == 0
    one.stop()
    one.exchange.finish()


def test_an_end_that_ends_is_an_error(relays):
    one = relays.start()

    async def end() -> None:
        raise ConnectionError("the device has ended the connection")

    one.ends.read = end  # not yet used: it reads once it runs
    with pytest.raises(ConnectionError, match="the device has ended"):
        one.greenlet.get()


def hear(relay: Relay, *words: Word) -> None:
    """Have words come to a relay in one piece, as any client of the same server can send them."""

    def come() -> None:
        for word in words:
            relay.exchange.on_data("geventrelay.prices.a", encoded(word))

    relay.ends.call(come)


def made_up(number: int) -> bytes:
    return b"%08d" % number


def here(number: int, *prefixes: bytes) -> Here:
    return Here(made_up(number), "there", id_of(prefixes), prefixes)


def test_however_much_comes_from_nats_all_else_has_turns(relays, nats, monkeypatch):
    relay, turns, seen = relays.start(), [0], []

    def take_long(subject: str, data: bytes) -> None:
        seen.append(turns[0])
        ends = time.monotonic() + 0.002
        while time.monotonic() < ends:
            pass

    def others() -> None:
        while len(seen) < 100:
            turns[0] += 1
            let_run(1)

    monkeypatch.setattr(relay.exchange, "on_data", take_long)
    # It says that it is there once it listens.
    relays.start().until(lambda now: len(now.neighbours) == 1, "the first relay")
    seen.clear()
    turning = gevent.spawn(others)
    with socket.create_connection(("127.0.0.1", nats.port)) as client:
        client.sendall(b"CONNECT {}\r\n" + b"PUB geventrelay.prices.a 1\r\nx\r\n" * 100 + b"PING\r\n")
        eventually(lambda: len(seen) >= 100, lambda: f"100 words, not {len(seen)}", LIMIT_S)
    turning.join()
    assert len(set(seen)) > 50


def test_of_words_that_come_at_once_the_last_one_of_each_device_counts(relays):
    relay = relays.start()
    relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
    hear(relay, *(here(one, b"%03d.%d" % (one, turn)) for turn in range(3) for one in range(200)))
    relay.until_asked_for(*(b"%03d.2" % one for one in range(200)))
    assert len(relay.now.neighbours) == 200
    hear(relay, *(Gone(made_up(one)) for one in range(199)), here(199))
    relay.until_asked_for()
    assert len(relay.now.neighbours) == 1


def test_a_device_whose_words_come_among_many_others_is_heard_in_order(relays):
    relay = relays.start()
    relay.want(b"a")
    relay.until(lambda now: now.wanted == 1 and now.state is LinkState.CONNECTED, "a connection")
    stream = id_of((b"a",))
    served = Served(made_up(7), 1, Mark(stream, 0, 0), None)
    hear(relay, *(here(one, b"%d" % one) for one in range(7)), here(7, b"b"), served)
    relay.until(lambda now: [one.serves for one in now.neighbours] == [False] * 7 + [True], "one that serves")
    relay.until_asked_for(b"b", *(b"%d" % one for one in range(7)))


def test_packs_of_few_messages_are_bounded_by_what_they_cost(relays):
    relay = relays.start(backbone_buffer_bytes=MIB)
    relay.ends.is_stalled = True
    relay.want(b"a")
    stream = id_of((b"a",))
    subject = f"geventrelay.prices.s.{stream.hex()}"
    relay.until(lambda now: now.wanted == 1 and now.state is LinkState.CONNECTED, "a connection")
    # Its own words say that it listens there.
    other = relays.start()
    other.until_asked_for(b"a")
    hear(relay, here(1), Served(made_up(1), 1, Mark(stream, 0, 0), None))

    def come() -> None:
        for number in range(10_000):
            relay.exchange.on_data(subject, PackHead(made_up(1), stream, number, number, 1).encoded() + b"\0\1a")

    relay.ends.call(come)
    relay.until(lambda now: now.received == 10_000, "all packs")
    assert relay.now.incoming <= MIB // 256 + 1
    assert relay.now.dropped == {BackboneDrop.SLOW: 10_000 - relay.now.incoming}
