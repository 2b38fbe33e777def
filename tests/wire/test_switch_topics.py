"""What every core of the switch does with subscriptions: SUB, PUB, XSUB and XPUB."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import NEVER, SMALL, cancel, check, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Destination, Progress, SlowSubscriber
from geventrelay.terms import Payload, WhenFull
from geventrelay.zmtp.errors import Fault
from geventrelay.zmtp.greeting import Version


def test_a_sub_asks_every_publisher_for_its_topics(world):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    first = world.far(sub)
    assert first.peer.wants_write
    first.peer.write(NEVER)
    assert first.bytes() == subscribe(b"a")
    sub.subscribe(b"b")
    sub.subscribe(b"b")
    sub.cancel(b"a")
    assert world.core.take_stalled() == [first.peer]
    first.peer.write(NEVER)
    assert first.bytes() == subscribe(b"b") + cancel(b"a")
    assert not first.peer.wants_write
    sub.cancel(b"b")
    sub.cancel(b"nothing")
    first.peer.write(NEVER)
    assert first.bytes() == b""
    later = world.far(sub)
    later.peer.write(NEVER)
    assert later.bytes() == subscribe(b"b")


def test_of_what_comes_and_goes_before_it_is_told_the_latest_is_told(world):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    far = world.far(sub)
    far.peer.write(NEVER)
    far.bytes()
    sub.cancel(b"a")
    sub.subscribe(b"a")
    sub.subscribe(b"b")
    sub.cancel(b"b")
    far.peer.write(NEVER)
    # Once more, for an XPUB that reports every one.
    assert far.bytes() == subscribe(b"a")


@pytest.mark.parametrize("version", [Version.V1_0, Version.V2_0, Version.V3_0])
def test_before_zmtp_3_1_subscriptions_are_messages(world, version):
    sub, _ = world.way("SUB", world.side("PUB"))
    sub.subscribe(b"a")
    far = world.far(sub, version=version)
    far.peer.write(NEVER)
    sub.cancel(b"a")
    far.peer.write(NEVER)
    assert far.got() == [[b"\1a"], [b"\0a"]]


def test_a_sub_takes_only_what_it_is_subscribed_to(world):
    push = world.side("PUSH")
    sub, way = world.way("SUB", push)
    source, sink = world.far(sub), world.far(push)
    every = [b"a1", b"b2", b"a3", b"", b"ab4", b"b5"]
    source.send(b"".join(map(wire, every)))
    assert sink.got() == []
    sub.subscribe(b"a")
    sub.subscribe(b"b5")
    source.send(b"".join(map(wire, every)))
    assert sink.singles() == [b"a1", b"a3", b"ab4", b"b5"]
    sub.subscribe(b"")
    source.send(b"".join(map(wire, every)))
    assert sink.singles() == every
    assert way.counters.received == 10
    check(way, source, sink)


def test_a_pub_gives_each_subscriber_what_it_has_asked_for_once(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, sinks = world.far(pull), [world.far(pub) for _ in range(4)]
    sinks[0].send(subscribe(b""))
    sinks[1].send(subscribe(b"a") + subscribe(b"ab") + subscribe(b"a"))
    sinks[2].send(wire(b"\1ab") + wire(b"\1c") + wire(b"message") + wire(b"\1z", b"two parts"))
    assert [sink.peer.counts().subscriptions for sink in sinks] == [1, 2, 2, 0]
    every = [[b"a"], [b"abc", b"x"], [b"b", b"ab"], [b"c"], [b"", b"a"], [b"ab" * 200]]
    source.send(b"".join(wire(*parts) for parts in every))
    assert sinks[0].got() == every
    assert sinks[1].got() == [every[0], every[1], every[5]]
    assert sinks[2].got() == [every[1], every[3], every[5]]
    assert sinks[3].got() == []
    # A set, not a count.
    sinks[1].send(cancel(b"a"))
    sinks[2].send(wire(b"\0ab") + wire(b"\0nothing"))
    source.send(b"".join(wire(*parts) for parts in every))
    assert sinks[1].got() == [every[1], every[5]]
    assert sinks[2].got() == [every[3]]
    assert (way.counters.received, way.counters.outlets[0].sent) == (12, 12)
    check(way, source, *sinks)


def test_a_pub_sends_with_and_without_peers_that_want_something(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source = world.far(pull)
    assert source.send(wire(b"one")) is Progress.NOT_READY
    assert way.counters.outlets[0].sent == 1
    sink = world.far(pub)
    source.send(wire(b"two"))
    assert way.counters.outlets[0].sent == 2
    sink.theirs.close()
    assert sink.read() is Progress.ENDED
    source.send(wire(b"three"))
    assert (way.counters.outlets[0].sent, way.counters.outlets[0].dropped) == (3, {})
    check(way, source, sink)


def test_a_subscriber_that_goes_gets_nothing_any_more_and_one_that_comes_back_asks_anew(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, sink = world.far(pull), world.far(pub)
    sink.send(subscribe(b"") + subscribe(b"a"))
    sink.hang_up()
    source.send(wire(b"one"))
    again = world.connect(sink.peer)
    source.send(wire(b"two"))
    assert again.peer.counts().subscriptions == 0
    again.send(subscribe(b"t"))
    source.send(wire(b"three"))
    assert again.singles() == [b"three"]
    check(way, source, again)


def test_a_subscriber_that_queues_without_a_connection_gets_what_was_published_meanwhile(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, peer = world.far(pull), pub.new_peer(queues_before=True)
    sink = world.connect(peer)
    sink.send(subscribe(b"a"))
    sink.hang_up()
    source.send(wire(b"a1") + wire(b"b1"))
    assert (peer.counts().waiting, peer.counts().subscriptions) == (1, 1)
    again = world.connect(peer)
    again.send(subscribe(b"a"))
    source.send(wire(b"a2"))
    assert again.all_singles() == [b"a1", b"a2"]
    pub.remove(peer)
    source.send(wire(b"a3"))
    assert (way.counters.outlets[0].sent, way.counters.outlets[0].dropped) == (4, {})
    check(way, source, again)


def test_a_subscriber_of_zmtp_1_0_gets_everything(world):
    pub = world.side("PUB")
    pull, _ = world.way("PULL", pub)
    source, sink = world.far(pull), world.far(pub, version=Version.V1_0)
    source.send(wire(b"one"))
    assert sink.singles() == [b"one"]


@pytest.mark.parametrize("verbose", [False, True])
def test_a_subscriber_that_comes_again_with_zmtp_1_0_gets_everything_once(world, verbose):
    pub = world.side("XPUB", xpub_verbose=verbose, max_subscriptions=1)
    pull, way = world.way("PULL", pub)
    source, peer = world.far(pull), pub.new_peer(queues_before=True)
    sink = world.connect(peer)
    sink.send(subscribe(b"a"))
    for number in (b"1", b"2"):
        sink.hang_up()
        sink = world.connect(peer, version=Version.V1_0)
        assert peer.counts().subscriptions == 2
        source.send(wire(b"a" + number) + wire(b"b" + number))
        assert sink.all_singles() == [b"a" + number, b"b" + number]
    check(way, source, sink)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (subscribe(b"a") + subscribe(b"b") + subscribe(b"a") + subscribe(b"c"), Fault.TOO_MANY_SUBSCRIPTIONS),
        (subscribe(b"x" * 21), Fault.TOPIC_TOO_LONG),
        (wire(b"\1" + b"x" * 21), Fault.TOPIC_TOO_LONG),
    ],
)
def test_a_subscriber_that_asks_for_too_much_is_ended(world, data, fault):
    pub = world.side("PUB", bounds=SMALL, max_subscriptions=2)
    world.way("PULL", pub)
    sink = world.far(pub)
    assert sink.send(data) is Progress.ENDED
    assert sink.peer.ended.fault is fault


def full(world, **options):
    """A way to a PUB with a subscriber that does not read and has as many waiting as it may."""
    pub = world.side("PUB", **options)
    pull, way = world.way("PULL", pub)
    source, slow, sink = world.far(pull), world.far(pub, small=True), world.far(pub)
    slow.send(subscribe(b""))
    sink.send(subscribe(b""))
    source.send(b"".join(map(wire, many(500, 100))))
    return source, slow, sink, way


def test_a_slow_subscriber_loses_the_newest_and_no_other_does(world):
    source, slow, sink, way = full(world, sndhwm=10)
    assert slow.peer.counts().waiting == 10
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    got = slow.all_singles()
    assert counts.dropped == {Drop.SLOW: 500 - len(got)}
    assert got == many(500, 100)[: len(got)]
    source.send(wire(b"later"))
    assert slow.singles() == [b"later"]
    assert way.counters.outlets[0].sent == 501
    check(way, source, slow, sink)


def test_a_slow_subscriber_may_lose_the_oldest(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    assert counts.waiting <= 10
    got = slow.all_singles()
    assert counts.dropped == {Drop.SLOW: 500 - len(got)}
    assert got[-9:] == many(500, 100)[-9:]
    assert got == sorted(got, key=many(500, 100).index)
    check(way, source, slow, sink)


def test_as_many_of_the_oldest_make_way_as_the_newest_needs_in_bytes(world):
    pub = world.side("PUB", sndhwm=0, sndhwm_bytes=5000, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    pull, way = world.way("PULL", pub)
    source, slow = world.far(pull), world.far(pub, small=True)
    slow.send(subscribe(b""))
    sent = [*many(500, 100), b"x" * 5500, *many(60, 100)]
    source.send(b"".join(map(wire, sent[:500])))
    assert slow.peer.counts().waiting > 40
    for message in sent[500:]:
        source.send(wire(message))
    counts = slow.peer.counts()
    assert counts.waiting_bytes < 5000 + 110
    got = slow.all_singles()
    assert got[-40:] == sent[-40:]
    assert counts.dropped == {Drop.SLOW: len(sent) - len(got)}
    check(way, source, slow)


def test_a_slow_subscriber_may_be_disconnected(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.DISCONNECT)
    assert world.core.take_ended() == [slow.peer]
    assert "slow" in slow.peer.ended.what
    assert sink.singles() == many(500, 100)
    counts = slow.peer.counts()
    assert counts.waiting == 0
    assert counts.dropped == {Drop.SLOW: counts.matched - counts.delivered}
    check(way, source, slow, sink)


def test_all_may_wait_for_a_slow_subscriber(world):
    source, slow, sink, way = full(world, sndhwm=10, slow_subscriber=SlowSubscriber.BLOCK)
    assert not way.has_room
    assert way.counters.received < 500
    found, got = sink.singles(), slow.singles()
    for _ in range(1000):
        if len(got) == 500:
            break
        slow.peer.write(NEVER)
        got += slow.singles()
        source.read()
        found += sink.singles()
    assert got == found == many(500, 100)
    assert way.has_room
    check(way, source, slow, sink)


def test_what_is_for_others_does_not_wait_for_a_slow_subscriber(world):
    pub = world.side("PUB", sndhwm=2, slow_subscriber=SlowSubscriber.BLOCK)
    pull, way = world.way("PULL", pub)
    source, slow, sink = world.far(pull), world.far(pub, small=True), world.far(pub)
    slow.send(subscribe(b"slow"))
    sink.send(subscribe(b"other"))
    source.send(b"".join(wire(b"slow" + bytes(10_000)) for _ in range(3)))
    assert slow.peer.counts().waiting == 2
    second = world.far(pull)
    second.send(wire(b"other"))
    assert sink.singles() == [b"other"]
    slow.hang_up()
    pub.remove(slow.peer)
    assert way.has_room
    check(way, source, slow, sink)


def test_what_has_waited_too_long_is_dropped(world):
    pub = world.side("PUB")
    pull, way = world.way("PULL", pub)
    source, slow = world.far(pull), world.far(pub, small=True)
    slow.send(subscribe(b""))
    source.send(b"".join(map(wire, many(500, 100))))
    waiting = slow.peer.counts().waiting
    assert pub.drop_too_old(time.monotonic()) is None
    pub.plan = replace(pub.plan, subscriber_max_age_s=1000)
    now = time.monotonic()
    assert now < pub.drop_too_old(now) < now + 1000
    assert slow.peer.counts().waiting == waiting
    assert pub.drop_too_old(now + 1000) is None
    assert slow.peer.counts().waiting <= 1
    got = slow.all_singles()
    # One that is written in half is finished.
    assert waiting - 1 <= slow.peer.counts().dropped[Drop.TOO_OLD] <= waiting
    assert got == many(500, 100)[: len(got)]
    check(way, source, slow)


# Relay: what several destinations get


PAYLOADS = {
    Payload.WHOLE: [[b"t a b"], [b"no-space"], [b"t", b"x", b"y"], [b"{1 2"], [b""]],
    Payload.AUTO: [[b"a b"], [b"no-space"], [b"x", b"y"], [b"{1 2"], [b""]],
    Payload.SPACE: [[b"a b"], [b"no-space"], [b"t", b"x", b"y"], [b"2"], [b""]],
    Payload.PARTS: [[b"t a b"], [b"no-space"], [b"x", b"y"], [b"{1 2"], [b""]],
    Payload.SWAP: [[b"t a b"], [b"no-space"], [b"x", b"t", b"y"], [b"{1 2"], [b""]],
}


@pytest.mark.parametrize("payload", Payload)
def test_a_relay_publishes_messages_and_pushes_what_of_them_is_asked_for(world, payload):
    pub, push = world.side("PUB"), world.side("PUSH")
    sub, way = world.way("SUB", pub, Destination(push, payload=payload))
    sub.subscribe(b"")
    source, subscriber, sinks = world.far(sub), world.far(pub), [world.far(push) for _ in range(2)]
    subscriber.send(subscribe(b""))
    every = PAYLOADS[Payload.WHOLE]
    source.send(b"".join(wire(*parts) for parts in every))
    assert subscriber.got() == every
    assert [sink.got() for sink in sinks] == [PAYLOADS[payload][0::2], PAYLOADS[payload][1::2]]
    whole, cut = way.counters.outlets
    assert (whole.sent, whole.sent_bytes, cut.sent) == (5, 20, 5)
    assert (cut.sent_parts, cut.sent_bytes) == (
        sum(map(len, PAYLOADS[payload])),
        sum(len(part) for parts in PAYLOADS[payload] for part in parts),
    )
    assert (whole.uncut, cut.uncut) == (0, int(payload is Payload.AUTO))
    check(way, source, subscriber, *sinks)


@pytest.mark.parametrize("when_full", WhenFull)
def test_a_relay_holds_both_destinations_to_the_same_messages(world, when_full):
    pub, push = world.side("PUB"), world.side("PUSH", sndhwm=5)
    sub, way = world.way("SUB", pub, Destination(push, when_full))
    sub.subscribe(b"")
    source, subscriber = world.far(sub), world.far(pub)
    subscriber.send(subscribe(b""))
    sent = many(500, 100)
    progress = source.send(b"".join(map(wire, sent)))
    published = subscriber.singles()
    if when_full is WhenFull.DROP:
        assert (progress, published) == (Progress.NOT_READY, sent)
        assert way.counters.outlets[1].dropped == {Drop.NO_PEER: 500}
    else:
        assert (progress, published) == (Progress.NO_ROOM, [])
    sink = world.far(push, small=True)
    source.read()
    published += subscriber.singles()
    got = sink.singles()
    while when_full is WhenFull.BLOCK and len(got) < 500:
        assert len(published) == way.counters.received == way.counters.outlets[1].sent
        sink.peer.write(NEVER)
        source.read()
        published += subscriber.singles()
        got += sink.singles()
    assert published == sent
    assert got == (sent if when_full is WhenFull.BLOCK else [])
    check(way, source, subscriber, sink)


# Forwarder: subscriptions go upstream


def forwarder(world, **options):
    """XSUB and XPUB, joined both ways: the sides, and the ways down and up."""
    xpub = world.side("XPUB", **options)
    xsub, down = world.way("XSUB", xpub)
    _, up = world.way(xpub, xsub)
    return xsub, xpub, down, up


def test_a_forwarder_asks_publishers_for_the_union_of_its_subscribers(world):
    xsub, xpub, down, up = forwarder(world)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a") + subscribe(b"a") + subscribe(b"b"))
    two.send(wire(b"\1a") + wire(b"\1c"))
    assert publisher.bytes() == subscribe(b"a") + subscribe(b"b") + subscribe(b"c")
    publisher.send(wire(b"a1") + wire(b"c2"))
    assert (one.singles(), two.singles()) == ([b"a1"], [b"a1", b"c2"])
    one.send(cancel(b"a") + cancel(b"nothing"))
    assert publisher.bytes() == b""
    two.send(cancel(b"a"))
    assert publisher.bytes() == cancel(b"a")
    later = world.far(xsub)
    later.peer.write(NEVER)
    assert sorted(frame.body for frame in later.frames()) == [b"\x09SUBSCRIBEb", b"\x09SUBSCRIBEc"]
    assert (up.counters.received, up.counters.outlets[0].sent, down.counters.received) == (4, 4, 2)
    check(up, publisher, one, two)
    check(down, publisher, one, two)


def test_what_a_subscriber_leaves_is_cancelled(world):
    xsub, xpub, _, up = forwarder(world)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a") + subscribe(b"b"))
    two.send(subscribe(b"b"))
    publisher.bytes()
    one.hang_up()
    while world.core.tidy(NEVER):
        pass
    assert world.core.take_stalled() == [publisher.peer]
    publisher.peer.write(NEVER)
    assert publisher.bytes() == cancel(b"a")
    assert up.counters.received == 3
    check(up, publisher, one, two)


def test_a_topic_that_two_ways_ask_for_stays_until_both_have_cancelled_it(world):
    xsub, xpub, _, up = forwarder(world)
    other = world.side("XPUB")
    _, also_up = world.way(other, xsub)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(other)
    one.send(subscribe(b"a") + subscribe(b"b"))
    two.send(subscribe(b"a"))
    assert publisher.bytes() == subscribe(b"a") + subscribe(b"b") + subscribe(b"a")
    one.send(cancel(b"a"))
    assert publisher.bytes() == b""
    assert sorted(xsub.asks_for) == [b"a", b"b"]
    two.send(cancel(b"a") + subscribe(b"b") + cancel(b"b"))
    assert publisher.bytes() == cancel(b"a") + subscribe(b"b")
    # What it asks for itself stays whatever they cancel, and the other way round.
    xsub.subscribe(b"b")
    xsub.subscribe(b"c")
    xsub.subscribe(b"c")
    one.send(cancel(b"b") + subscribe(b"c") + cancel(b"c"))
    xsub.cancel(b"c")
    assert sorted(xsub.asks_for) == [b"b", b"c"]
    two.send(subscribe(b"b"))
    xsub.cancel(b"b")
    xsub.cancel(b"c")
    assert xsub.asks_for == [b"b"]
    two.send(cancel(b"b"))
    assert xsub.asks_for == []
    check(up, publisher, one)
    check(also_up, publisher, two)


def test_many_topics_of_a_subscriber_that_goes_are_cancelled_piece_by_piece(world):
    xsub, xpub, _, _ = forwarder(world, max_subscriptions=0)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    topics = [b"%d" % number for number in range(5000)]
    for at in range(0, 5000, 1000):
        one.send(b"".join(map(subscribe, topics[at : at + 1000])))
    assert len(publisher.frames()) == 5000
    two.send(subscribe(b"77"))
    one.hang_up()
    publisher.send(wire(b"777"))
    assert two.singles() == [b"777"]
    steps = 1
    while world.core.tidy(time.monotonic()):
        steps += 1
    assert steps > 1
    publisher.peer.write(NEVER)
    cancelled = sorted(frame.body.removeprefix(b"\6CANCEL") for frame in publisher.frames())
    assert cancelled == sorted(topic for topic in topics if topic != b"77")


def told(publisher):
    return [frame.body.removeprefix(b"\x09SUBSCRIBE") for frame in publisher.frames()]


def test_a_publisher_that_comes_is_told_many_topics_piece_by_piece(world):
    xsub, xpub, _, _ = forwarder(world)
    subscriber = world.far(xpub)
    topics = [b"%04d" % number for number in range(3000)]
    for at in range(0, 3000, 1000):
        subscriber.send(b"".join(map(subscribe, topics[at : at + 1000])))
    publisher = world.far(xsub)
    publisher.peer.write(time.monotonic())
    found = told(publisher)
    assert 0 < len(found) < 1000
    # Of those that it was not told of: one ends, and one ends and comes again.
    gone, again = [topic for topic in topics if topic not in found][:2]
    subscriber.send(cancel(gone) + cancel(again) + subscribe(again))
    found += told(publisher)
    while publisher.peer.wants_write:
        publisher.peer.write(NEVER)
        found += told(publisher)
    assert sorted(found) == [topic for topic in topics if topic != gone]


def test_an_xpub_can_report_every_subscription(world):
    xsub, xpub, _, _ = forwarder(world, xpub_verbose=True)
    publisher, one, two = world.far(xsub), world.far(xpub), world.far(xpub)
    one.send(subscribe(b"a") * 250)
    two.send(subscribe(b"a"))
    assert publisher.bytes() == subscribe(b"a") * 251
    one.send(cancel(b"a"))
    assert publisher.bytes() == b""
    two.send(cancel(b"a"))
    assert publisher.bytes() == cancel(b"a")


def test_an_xpub_greets_each_connection_whatever_it_subscribes_to(world):
    _, xpub, down, _ = forwarder(world, xpub_welcome_msg=b"hello")
    peer = xpub.new_peer(queues_before=True)
    for version in (Version.V1_0, Version.V3_1):
        far = world.connect(peer, version=version)
        assert far.all_singles() == [b"hello"]
        check(down, far)
        far.hang_up()


def test_a_subscriber_of_zmtp_1_0_has_publishers_asked_for_everything(world):
    xsub, xpub, _, up = forwarder(world)
    publisher = world.far(xsub)
    subscriber = world.far(xpub, version=Version.V1_0)
    assert world.core.take_stalled() == [publisher.peer]
    publisher.peer.write(NEVER)
    assert publisher.bytes() == subscribe(b"")
    subscriber.hang_up()
    publisher.peer.write(NEVER)
    assert publisher.bytes() == cancel(b"")
    check(up, publisher, subscriber)


def test_messages_go_upstream_too(world):
    xsub, xpub, _, up = forwarder(world)
    subscriber = world.far(xpub)
    subscriber.send(wire(b"lost"))
    assert up.counters.outlets[0].dropped == {Drop.NO_PEER: 1}
    publishers = [world.far(xsub) for _ in range(2)]
    subscriber.send(wire(b"hello") + wire(b"\1no", b"subscription") + wire(b""))
    assert [one.got() for one in publishers] == [[[b"hello"], [b"\1no", b"subscription"], [b""]]] * 2
    check(up, subscriber, *publishers)


def test_messages_and_subscriptions_go_upstream_in_the_order_in_which_they_came(world):
    xsub, xpub, _, _ = forwarder(world)
    publisher, subscriber = world.far(xsub), world.far(xpub)
    subscriber.send(subscribe(b"a") + wire(b"one") + subscribe(b"b") + wire(b"two") + cancel(b"a"))
    found = [frame.body for frame in publisher.frames()]
    assert found == [b"\x09SUBSCRIBEa", b"one", b"\x09SUBSCRIBEb", b"two", b"\x06CANCELa"]


def test_a_subscription_without_a_publisher_is_kept_for_the_first(world):
    xsub, xpub, _, up = forwarder(world)
    world.far(xpub).send(subscribe(b"a"))
    assert (up.counters.received, up.counters.outlets[0].sent) == (1, 1)
    publisher = world.far(xsub)
    publisher.peer.write(NEVER)
    assert publisher.bytes() == subscribe(b"a")


@given(data=st.data())
@settings(max_examples=25)
def test_routing_by_topic_is_that_of_a_naive_model(make_core, data):
    topics = st.text("ab", max_size=4).map(str.encode)
    with new_world(make_core) as world:
        xsub, xpub, down, up = forwarder(world)
        publisher, asked = world.far(xsub), set()
        sinks = [world.far(xpub) for _ in range(3)]
        wanted: list[set[bytes]] = [set() for _ in sinks]
        for number in range(data.draw(st.integers(1, 30))):
            which = data.draw(st.integers(0, 2))
            topic = data.draw(topics)
            match data.draw(st.sampled_from(["subscribe", "cancel", "publish", "publish", "go"])):
                case "subscribe":
                    sinks[which].send(subscribe(topic) if number % 2 else wire(b"\1" + topic))
                    wanted[which].add(topic)
                case "cancel":
                    sinks[which].send(cancel(topic) if number % 2 else wire(b"\0" + topic))
                    wanted[which].discard(topic)
                case "publish":
                    heads = data.draw(st.lists(topics, min_size=1, max_size=5))
                    publisher.send(b"".join(wire(head, b"%d" % number) for head in heads))
                    for sink, theirs in zip(sinks, wanted, strict=True):
                        expected = [[head, b"%d" % number] for head in heads if head.startswith(tuple(theirs))]
                        assert sink.got() == expected
                case "go":
                    sinks[which].hang_up()
                    xpub.remove(sinks[which].peer)
                    sinks[which], wanted[which] = world.far(xpub), set()
                    world.core.tidy(NEVER)
                    publisher.peer.write(NEVER)
            for frame in publisher.frames():
                _, _, topic = frame.body[1:].partition(b"SUBSCRIBE" if frame.body[0] == 9 else b"CANCEL")
                assert (topic in asked) == (frame.body[0] == 6)
                asked ^= {topic}
            assert asked == set().union(*wanted)
            assert [sink.peer.counts().subscriptions for sink in sinks] == list(map(len, wanted))
            check(up, publisher, *sinks)
            check(down, publisher, *sinks)


@given(data=st.data())
@settings(max_examples=20)
def test_each_subscriber_gets_what_it_did_not_lose_in_its_order(make_core, data):
    policy = data.draw(st.sampled_from([SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST, SlowSubscriber.BLOCK]))
    with new_world(make_core) as world:
        pub = world.side("PUB", sndhwm=data.draw(st.sampled_from([1, 7])), slow_subscriber=policy)
        pull, way = world.way("PULL", pub)
        source, sinks = world.far(pull), [world.far(pub, small=True) for _ in range(3)]
        versions = [b"", b"1", b"2"]
        for sink, topic in zip(sinks, versions, strict=True):
            sink.send(subscribe(topic))
        sent: list[bytes] = []
        got: list[list[bytes]] = [[] for _ in sinks]
        for _ in range(data.draw(st.integers(1, 12))):
            which = data.draw(st.integers(0, 2))
            if data.draw(st.booleans()) and len(sent) < 300:
                more = many(60, data.draw(st.sampled_from([1, 700])), len(sent))
                source.send(b"".join(map(wire, more)))
                sent += more
            else:
                sinks[which].peer.write(data.draw(st.sampled_from([0.0, NEVER])))
                got[which] += [frame.body for frame in sinks[which].frames()]
                source.read()
            check(way, source, *sinks)
        while source.read() is Progress.NO_ROOM or any(sink.peer.wants_write for sink in sinks):
            for sink, found in zip(sinks, got, strict=True):
                sink.peer.write(NEVER)
                found += [frame.body for frame in sink.frames()]
        for sink, topic, found in zip(sinks, versions, got, strict=True):
            found += sink.singles()
            matching = [message for message in sent if message.startswith(topic)]
            counts = sink.peer.counts()
            assert counts.matched == len(matching)
            assert len(found) == counts.delivered == len(matching) - counts.dropped.get(Drop.SLOW, 0)
            places = [matching.index(message) for message in found]
            assert places == sorted(set(places))
            if policy is SlowSubscriber.BLOCK:
                assert found == matching
        check(way, source, *sinks)
