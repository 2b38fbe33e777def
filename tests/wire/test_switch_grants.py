"""What every core of the switch does with a peer that may not do everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import check, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Grant, allows
from geventrelay.switch.contract import Destination, Progress
from geventrelay.terms import WhenFull
from geventrelay.zmtp.greeting import Version

# Few letters, so that they often stand in each other.
TEXTS = st.text(alphabet="ab\0", max_size=3).map(str.encode)
PREFIXES = st.one_of(st.none(), st.lists(TEXTS, max_size=4).map(tuple))


def test_a_message_that_may_not_be_sent_goes_nowhere_and_is_counted(world):
    push, pub = world.side("PUSH"), world.side("PUB")
    pull, way = world.way("PULL", push, pub)
    source = world.far(pull, grant=Grant(send=(b"news.", b"prices.")))
    puller, subscriber = world.far(push), world.far(pub)
    subscriber.send(subscribe(b""))
    seen: list[list[bytes]] = []
    way.set_tap(lambda parts: seen.append(list(parts)))
    sent = [[b"prices.oil", b"x"], [b"price"], [b"news.a"], [b"", b"prices.b"], [b"private.", b"y" * 300], [b"prices."]]
    source.send(b"".join(wire(*parts) for parts in sent))
    allowed = [sent[0], sent[2], sent[5]]
    assert puller.got() == subscriber.got() == seen == allowed
    assert [outlet.dropped for outlet in way.counters.outlets] == [{Drop.FORBIDDEN: 3}] * 2
    assert (way.counters.received, way.counters.received_parts) == (6, 9)
    assert way.counters.received_bytes == sum(len(part) for parts in sent for part in parts)
    assert (source.peer.counts().received, source.peer.counts().forbidden) == (6, 3)
    assert source.bytes() == b"", "it is told"
    check(way, source, puller, subscriber)


@given(send=PREFIXES, messages=st.lists(st.lists(TEXTS, min_size=1, max_size=2), max_size=12))
@settings(max_examples=60)
def test_exactly_what_begins_with_a_prefix_goes_on(make_core, send, messages):
    with new_world(make_core) as world:
        push = world.side("PUSH")
        pull, way = world.way("PULL", push)
        source, sink = world.far(pull, grant=Grant(send=send)), world.far(push)
        source.send(b"".join(wire(*parts) for parts in messages))
        allowed = [parts for parts in messages if send is None or allows(send, parts[0])]
        assert sink.got() == allowed
        assert source.peer.counts().forbidden == len(messages) - len(allowed)
        check(way, source, sink)


@given(granted=PREFIXES, topics=st.lists(TEXTS, max_size=8), message=TEXTS)
@settings(max_examples=60)
def test_exactly_subscriptions_that_begin_with_a_prefix_are_taken(make_core, granted, topics, message):
    with new_world(make_core) as world:
        pub = world.side("PUB")
        pull, _ = world.way("PULL", pub)
        source, subscriber = world.far(pull), world.far(pub, grant=Grant(subscribe=granted))
        subscriber.send(b"".join(map(subscribe, topics)))
        taken = [topic for topic in topics if granted is None or allows(granted, topic)]
        counts = subscriber.peer.counts()
        assert subscriber.peer.some_topics(100) == sorted(set(taken))
        assert (counts.subscriptions, counts.forbidden_subscriptions) == (len(set(taken)), len(topics) - len(taken))
        source.send(wire(message))
        assert subscriber.got() == ([[message]] if any(message.startswith(topic) for topic in taken) else [])


@pytest.mark.parametrize("version", [Version.V2_0, Version.V3_0, Version.V3_1])
def test_an_xpub_reports_no_forbidden_subscription_and_takes_its_end_quietly(world, version):
    xsub, xpub = world.side("XSUB"), world.side("XPUB")
    world.way(xsub, xpub)
    _, up = world.way(xpub, xsub)
    publisher = world.far(xsub)
    subscriber = world.far(xpub, version=version, grant=Grant(send=(), subscribe=(b"a",)))
    subscriber.send(wire(b"\1b") + wire(b"\1") + wire(b"\1ab") + wire(b"\0b") + wire(b"\0ab") + wire(b"\1b"))
    assert (up.counters.received, up.counters.outlets[0].sent) == (2, 2), "of ab and of its end"
    assert xsub.asks_for in ((), [])
    assert subscriber.peer.counts().forbidden_subscriptions == 3
    # What is no subscription is a message upstream.
    subscriber.send(wire(b"up") + wire(b"\1a", b"more"))
    assert publisher.got() == []
    assert up.counters.outlets[0].dropped == {Drop.FORBIDDEN: 2}
    check(up, publisher, subscriber)


def test_a_subscriber_of_zmtp_1_0_that_may_not_have_everything_has_nothing(world):
    pub = world.side("PUB")
    pull, _ = world.way("PULL", pub)
    source = world.far(pull)
    old = world.far(pub, version=Version.V1_0, grant=Grant(subscribe=(b"a",)))
    source.send(wire(b"a") + wire(b"b"))
    assert old.bytes() == b""
    assert old.peer.counts().forbidden_subscriptions == 1


def test_a_client_without_the_right_to_request_gets_no_answer_and_holds_up_no_other(world):
    dealer = world.side("DEALER")
    router, way = world.way("ROUTER", dealer)
    worker, good = world.far(dealer), world.far(router, routing_id=b"good")
    bad = world.far(router, routing_id=b"bad", grant=Grant(send=()))
    bad.send(wire(b"", b"one") + wire(b"", b"two"))
    good.send(wire(b"", b"three"))
    assert worker.got() == [[b"good", b"", b"three"]]
    assert way.counters.outlets[0].dropped == {Drop.FORBIDDEN: 2}
    assert way.counters.received_bytes == len(b"onetwo") + len(b"goodthree")
    assert (bad.peer.counts().received, bad.peer.counts().forbidden) == (2, 2)
    check(way, worker, good, bad)


def test_what_is_forbidden_needs_no_room_and_what_waits_before_it_keeps_its_place(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", Destination(push, WhenFull.BLOCK))
    source = world.far(pull, grant=Grant(send=(b"a",)))
    assert source.send(wire(b"b") + wire(b"b")) is Progress.NOT_READY
    assert source.send(wire(b"a1") + wire(b"b") + wire(b"a2")) is Progress.NO_ROOM
    assert way.counters.received == 2
    sink = world.far(push)
    assert source.read() is Progress.NOT_READY
    assert sink.singles() == [b"a1", b"a2"]
    assert way.counters.outlets[0].dropped == {Drop.FORBIDDEN: 3}
    check(way, source, sink)


def test_a_grant_counts_for_one_connection(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    peer = pull.new_peer(queues_before=False)
    sink = world.far(push)
    first = world.connect(peer, grant=Grant(send=(b"a",)))
    first.send(wire(b"a1") + wire(b"b1"))
    first.hang_up()
    second = world.connect(peer, grant=Grant(send=(b"b",)), rest=wire(b"a2"))
    second.send(wire(b"b2"))
    second.hang_up()
    third = world.connect(peer)
    third.send(wire(b"a3"))
    assert sink.singles() == [b"a1", b"b2", b"a3"]
    assert peer.counts().forbidden == 2
    check(way, third, sink)


def test_a_publisher_that_connects_forgets_what_another_subscriber_may_not_have(world):
    pub = world.side("PUB")
    pull, _ = world.way("PULL", pub)
    source, peer = world.far(pull), pub.new_peer(queues_before=True)
    first = world.connect(peer)
    first.send(subscribe(b"a") + subscribe(b"b"))
    first.hang_up()
    second = world.connect(peer, grant=Grant(subscribe=(b"b",)))
    assert peer.counts().subscriptions == 0
    second.send(subscribe(b"a") + subscribe(b"b"))
    source.send(wire(b"a") + wire(b"b"))
    assert second.singles() == [b"b"]


def test_what_was_forbidden_to_a_peer_that_has_gone_is_still_counted(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source = world.far(pull, grant=Grant(send=()))
    source.send(wire(b"a") * 3)
    source.hang_up()
    pull.remove(source.peer)
    assert pull.counts().forbidden == 3


def test_there_may_be_thousands_of_prefixes(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    prefixes = tuple(b"%d." % number for number in range(5_000))
    source, sink = world.far(pull, grant=Grant(send=prefixes)), world.far(push)
    sent = [b"0.a", b"4999.b", b"5000.c", b"499", b"", b"17.d", b":"]
    source.send(b"".join(map(wire, sent)))
    assert sink.singles() == [b"0.a", b"4999.b", b"17.d"]
