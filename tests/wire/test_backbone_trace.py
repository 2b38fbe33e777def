"""Traces over a real server of NATS: each hop is told, and where a probe stays that does not come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent.event import AsyncResult
from support.backbone import LIMIT_S, Relay, Relays, until_served
from support.nats import NatsServer, nats_server

from geventrelay.backbone.interest import id_of
from geventrelay.backbone.trace.hops import Outcome, Place, Trace, TracedRelay
from geventrelay.backbone.values import BackboneDrop, BackboneSnapshot, LinkState
from geventrelay.backbone.words.codec import encoded
from geventrelay.backbone.words.mesh import About, Here
from geventrelay.backbone.words.trace import Probe, Step, Traced
from geventrelay.backbone.words.word import Word
from geventrelay.testing import eventually

pytestmark = pytest.mark.usefixtures("no_device_expires")

OTHER = b"other678"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def relays(nats: NatsServer) -> Iterator[Relays]:
    with Relays(nats.url) as made:
        yield made


def begin(relay: Relay, topic: bytes | None = None, limit_s: float = 20.0) -> AsyncResult[Trace]:
    found: AsyncResult[Trace] = AsyncResult()
    assert relay.exchange.trace(topic, limit_s, found.set)
    return found


def trace(relay: Relay, topic: bytes | None = None, limit_s: float = 20.0) -> Trace:
    return begin(relay, topic, limit_s).get(timeout=30)


def trace_until(relay: Relay, place: Place, topic: bytes | None = None) -> Trace:
    """What a trace has found that is ended once all its probes have come to `place`, however long that takes."""
    first = begin(relay, topic)

    def stays() -> bool:
        asked = relay.exchange._probing._asked
        ways = asked.ways.values() if asked is not None and asked.report == first.set else ()
        return bool(ways) and all(way._hops(0.0)[-1].place is place for way in ways)

    eventually(stays, f"the probes to come to {place}", LIMIT_S)
    # The next one ends it.
    begin(relay)
    return first.get(timeout=30)


def the_way(found: Trace) -> TracedRelay:
    (way,) = found.relays
    return way


def know_each_other(*relays: Relay) -> None:
    for relay in relays:
        relay.until(
            lambda now: len(now.neighbours) == len(relays) - 1 and all(one.about for one in now.neighbours), "others"
        )


def is_connected(now: BackboneSnapshot) -> bool:
    return now.state is LinkState.CONNECTED


def hear(relay: Relay, *words: Word) -> None:
    """Have words come in one piece, as if another device had said them."""
    subject = f"geventrelay.prices.r.{relay.now.relay}"

    def come() -> None:
        for word in words:
            relay.exchange.on_data(subject, encoded(word))

    relay.ends.call(come)


def here(about: About | None) -> Here:
    return Here(OTHER, "far", id_of(()), (), about=about)


ABOUT = About(version="1", server="")


def test_each_of_the_others_answers_with_all_hops(relays):
    one, two, three = relays.start(), relays.start(), relays.start()
    know_each_other(one, two, three)
    found = trace(one)
    assert found.is_answered
    assert (found.relay, found.away_s, found.reason) == (one.now.relay, None, "")
    assert found.server and found.host
    assert [way.relay for way in found.relays] == sorted((two.now.relay, three.now.relay))
    for way in found.relays:
        assert (way.outcome, way.reason, way.stays) == (Outcome.ANSWERED, "", None)
        assert [hop.place for hop in way.hops] == list(Place)
        assert all(hop.is_over and hop.seconds >= 0 for hop in way.hops)
        assert 0 < way.seconds <= found.took_s
        assert (way.sent, way.wanted, way.subscriptions, way.room, way.credit) == (None,) * 5
    assert one.now.malformed == two.now.malformed == 0


def test_without_others_there_is_no_answer(relays):
    one = relays.start()
    one.until(is_connected, "a connection")
    found = trace(one)
    assert found.relays == () and not found.is_answered


def test_a_topic_is_told_where_it_goes_and_where_it_is_wanted(relays):
    one, two = relays.start(), relays.start(own=(b"kept",))
    one.want(b"b")
    two.want(b"a", b"ab", b"c")
    one.until_asked_for(b"a", b"c", b"kept")
    two.until_asked_for(b"b")
    found = trace(one, b"abc")
    way = the_way(found)
    assert (found.topic, found.wanted, found.subscriptions) == (b"abc", False, 0)
    assert (way.sent, way.wanted, way.subscriptions) == (True, True, 2)
    way = the_way(trace(one, b"kept.1"))
    assert (way.sent, way.wanted, way.subscriptions) == (True, True, 0)
    found = trace(one, b"b")
    way = the_way(found)
    assert (found.wanted, found.subscriptions, way.sent, way.wanted, way.subscriptions) == (True, 1, False, False, 0)


@pytest.mark.slow
def test_while_nats_is_away_the_probe_waits_behind_messages_and_goes_when_it_is_back(relays, nats):
    one, two = relays.start(), relays.start()
    for relay in (one, two):
        relay.want(b"")
    until_served(one, two)
    nats.kill()
    for relay in (one, two):
        relay.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
    one.publish(*([b"a", b"%d" % number] for number in range(100)))
    one.until(lambda now: now.waiting == 100, "messages that wait")
    found = trace(one, limit_s=0.1)
    way = the_way(found)
    assert not found.is_answered and found.away_s is not None and found.reason and not found.server
    assert (way.outcome, way.stays, way.hops[0].messages, found.waiting) == (Outcome.WAITS, Place.OUTBOX, 100, 100)
    assert way.reason.startswith("it waits here to go, behind 100 messages: not connected to NATS for ")
    # What has not gone by the end of a trace does not go.
    assert not one.exchange._publishing._outbox._following
    answer = begin(one)
    nats.start()
    found = answer.get(timeout=30)
    assert found.is_answered
    two.until_came(100)
    assert two.now.lost == 0


@pytest.mark.slow
def test_what_the_other_device_does_not_take_keeps_the_probe_there(relays):
    one, two = relays.start(), relays.start()
    two.want(b"")
    one.until_asked_for(b"")
    two.ends.is_stalled = True
    one.publish(*([b"a", b"%d" % number] for number in range(50)))
    two.until(lambda now: now.incoming == 50, "messages that wait there")
    way = the_way(trace_until(one, Place.INBOX_THERE, b"a"))
    assert (way.outcome, way.stays, way.hops[-1].messages) == (Outcome.WAITS, Place.INBOX_THERE, 50)
    assert way.reason == "it waits there for the device, behind 50 messages"
    assert (way.sent, way.wanted) == (True, True)
    # The other way, the answer waits here.
    way = the_way(trace_until(two, Place.INBOX))
    assert (way.outcome, way.stays, way.hops[-1].messages) == (Outcome.WAITS, Place.INBOX, 50)
    answers = begin(one), begin(two)
    # A few turns of the loops, in which both probes come.
    eventually(lambda: one.exchange._probing._answering._pending == {}, "one to have answered", LIMIT_S)
    two.ends.go_on()
    assert all(answer.get(timeout=30).is_answered for answer in answers)


@pytest.mark.slow
def test_what_the_device_was_handed_and_has_not_taken_keeps_the_probe_too(relays):
    one, two = relays.start(), relays.start()
    counts = [0]
    two.exchange._around._taken = lambda: counts[0]
    two.want(b"")
    one.until_asked_for(b"")
    one.publish(*([b"a", b"%d" % number] for number in range(50)))
    two.until(lambda now: now.delivered == 50, "messages that were handed over")
    way = the_way(trace_until(one, Place.DEVICE_THERE))
    assert (way.outcome, way.stays, way.hops[-1].messages) == (Outcome.WAITS, Place.DEVICE_THERE, 50)
    counts[0] = 50
    assert trace(one).is_answered


@pytest.mark.slow
def test_what_was_dropped_is_told_here_and_there(relays, nats):
    one, two = relays.start(backbone_buffer_bytes=1 << 20), relays.start(backbone_buffer_bytes=1 << 20)
    for relay in (one, two):
        relay.want(b"")
    until_served(one, two)
    two.ends.is_stalled = True
    for number in range(300):
        one.publish([b"a", b"%d" % number, b"x" * 10_000])
        two.until(lambda now, number=number: now.received == number + 1, "it to come")
    dropped = two.now.dropped[BackboneDrop.SLOW]
    assert dropped > 0
    found = trace_until(one, Place.INBOX_THERE)
    assert (found.dropped, the_way(found).dropped) == (0, dropped)
    two.ends.go_on()
    nats.kill()
    one.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
    for number in range(300):
        one.publish([b"a", b"%d" % number, b"x" * 10_000])
    one.until(lambda now: now.dropped.get(BackboneDrop.BACKBONE, 0) > 0 and not one.ends.unread, "a full buffer")
    found = trace(one, limit_s=0.1)
    assert (found.dropped, the_way(found).dropped) == (one.now.dropped[BackboneDrop.BACKBONE], None)


def test_a_device_that_leaves_meanwhile_is_told_at_once(relays):
    one, two = relays.start(), relays.start()
    two.want(b"")
    one.until_asked_for(b"")
    two.ends.is_stalled = True
    one.publish([b"a"])
    two.until(lambda now: now.incoming == 1, "a message that waits there")
    answer = begin(one)
    eventually(lambda: two.exchange._probing._answering._pending, "the probe to come", LIMIT_S)
    two.stop()
    found = answer.get(timeout=10)
    way = the_way(found)
    assert (way.outcome, way.silent_s) == (Outcome.LEFT, None)
    assert found.took_s < found.limit_s


@pytest.mark.slow
def test_a_device_that_says_nothing_is_told(relays):
    one = relays.start()
    one.until(is_connected, "a connection")
    hear(one, here(ABOUT))
    one.until(lambda now: len(now.neighbours) == 1, "the other one")
    way = the_way(trace_until(one, Place.NATS))
    assert (way.outcome, way.stays, way.host) == (Outcome.SILENT, Place.NATS, "far")
    assert way.reason.startswith("no answer within 20 s; it was heard of ")


def test_an_older_device_is_sent_no_probe(relays):
    one, two = relays.start(), relays.start()
    know_each_other(one, two)
    said = []
    say = one.exchange._link.say
    one.exchange._link.say = lambda subject, word: said.append((subject, json.loads(word)["w"])) or say(subject, word)
    hear(one, here(None))
    one.until(lambda now: len(now.neighbours) == 2, "the older one")
    found = trace(one)
    assert not found.is_answered
    outcomes = {way.relay: way.outcome for way in found.relays}
    assert outcomes == {two.now.relay: Outcome.ANSWERED, OTHER.hex(): Outcome.OLDER}
    probes = [subject for subject, word in said if word == "probe"]
    assert probes == [f"geventrelay.prices.r.{two.now.relay}"]


def test_a_word_of_a_later_version_is_passed_over(relays, caplog):
    one, two = relays.start(), relays.start()
    know_each_other(one, two)
    later = json.dumps({**json.loads(encoded(Probe(OTHER, 1))), "w": "sing"}).encode()
    one.ends.call(one.exchange.on_data, "geventrelay.prices.a", later)
    assert trace(one).is_answered
    assert one.now.malformed == 0
    assert "backbone-malformed" not in caplog.text


def test_probes_of_devices_that_are_not_known_and_answers_to_no_question_do_nothing(relays):
    one, two = relays.start(), relays.start()
    know_each_other(one, two)
    two_id = bytes.fromhex(two.now.relay)
    hear(
        one,
        Probe(OTHER, 1),
        Traced(relay=OTHER, number=1, step=Step.BACK),
        Traced(relay=two_id, number=77, step=Step.BACK),
    )
    assert trace(one).is_answered
    assert OTHER not in one.exchange._probing._answering._pending


def test_many_probes_of_one_device_leave_one_answer_that_waits(relays):
    one = relays.start()
    one.ends.is_stalled = True
    hear(one, here(ABOUT), *(Probe(OTHER, number) for number in range(1000)))
    eventually(lambda: one.exchange._probing._answering._pending, "the last one to come", LIMIT_S)
    assert len(one.exchange._probing._answering._pending) == 1
    assert len(one.exchange._publishing._outbox._following) <= 1


def test_a_trace_ends_with_the_device_and_with_the_next_one(relays):
    one = relays.start()
    hear(one, here(ABOUT))
    one.until(lambda now: len(now.neighbours) == 1, "the other one")
    first, second = begin(one), begin(one)
    assert the_way(first.get(timeout=10)).outcome in (Outcome.WAITS, Outcome.SILENT)
    one.stop()
    assert not second.get(timeout=10).is_answered
    assert not one.exchange.trace(None, 1.0, print)


def test_messages_stay_in_order_and_whole_among_probes(relays):
    one, two = relays.start(), relays.start()
    two.want(b"")
    one.until_asked_for(b"")
    for number in range(200):
        one.publish([b"a", b"%d" % number])
        if number % 10 == 0:
            assert trace(one).is_answered
    two.until_came(200)
    assert [int(parts[1]) for parts in two.came] == list(range(200))
    assert two.now.lost == 0
