"""What every core of the switch does with messages that a socket does not take: its alternative, and gates."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import CORES, NEVER, check, many, new_world, wire

from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Grant
from geventrelay.engine.rate import RateLimit
from geventrelay.switch.contract import FREE_PLACES, MOST_FREE_PLACES, Destination, Progress
from geventrelay.terms import Payload, WhenFull


def work(world, *, when_full=WhenFull.BLOCK, payload=Payload.WHOLE, permits=0, source="PULL", own="PUSH", **options):
    """A way to workers of a type, with a gate before the alternative: the sides, its peer, the gate, the way."""
    backend, elsewhere = world.side(own, **options), world.side(own)
    elsewhere.gate = gate = world.core.gate()
    if permits:
        gate.add(permits)
    frontend, way = world.way(source, Destination(backend, when_full, payload, elsewhere))
    return frontend, backend, world.far(elsewhere), gate, way


def sent(*messages):
    return b"".join(map(wire, messages))


def asked(*requests):
    """Requests as a REQ sends them."""
    return b"".join(wire(b"", one) for one in requests)


def bodies(far):
    return [body for _, body in far.got()]


def elsewhere_of(way):
    (outlet,) = way.counters.outlets
    return outlet.sent, outlet.elsewhere, dict(outlet.dropped)


def test_what_has_no_room_waits_for_a_permit_and_goes_elsewhere_with_one(world):
    frontend, _, other, gate, way = work(world)
    sender = world.far(frontend)
    assert sender.send(sent(*many(5))) is Progress.NO_ROOM
    assert way.lacks_permits
    assert not way.has_room
    gate.add(3)
    assert not way.lacks_permits
    assert way.has_room
    assert sender.read() is Progress.NO_ROOM
    assert other.singles() == many(3)
    assert gate.permits == 0
    gate.add(5)
    assert sender.read() is Progress.NOT_READY
    assert other.singles() == many(2, first=3)
    assert gate.permits == 3
    assert gate.take_all() == 3
    assert elsewhere_of(way) == (0, 5, {})
    check(way, sender, other)


def test_own_workers_come_first_also_with_permits(world):
    frontend, backend, other, gate, way = work(world, permits=1000, sndhwm=2)
    sender, worker = world.far(frontend), world.far(backend, small=True)
    sender.send(sent(*many(300, size=300)))
    (outlet,) = way.counters.outlets
    assert 2 <= outlet.sent < 300
    assert outlet.elsewhere == 300 - outlet.sent
    assert gate.permits == 1000 - outlet.elsewhere
    own = worker.all_singles()
    assert own[:2] == many(2, size=300)
    assert sorted(own + other.all_singles()) == sorted(many(300, size=300))
    sender.send(sent(b"last"))
    assert worker.all_singles() == [b"last"]
    check(way, sender, worker, other)


def test_where_messages_are_dropped_permits_are_used_first(world):
    frontend, _, other, gate, way = work(world, when_full=WhenFull.DROP, permits=2)
    sender = world.far(frontend)
    assert sender.send(sent(*many(5))) is Progress.NOT_READY
    assert elsewhere_of(way) == (0, 2, {Drop.NO_PEER: 3})
    assert other.singles() == many(2)
    assert gate.permits == 0
    assert way.refused == 3
    assert way.has_room
    assert not way.lacks_permits
    check(way, sender, other)


def test_the_reason_of_a_drop_is_the_sockets_and_not_its_alternatives(world):
    frontend, backend, other, _, way = work(world, when_full=WhenFull.DROP, sndhwm=1, own="DEALER", requests_per_peer=1)
    sender, worker = world.far(frontend), world.far(backend)
    other.hang_up()
    sender.send(asked(*many(3)))
    assert bodies(worker) == many(1)
    assert elsewhere_of(way) == (1, 0, {Drop.FULL: 2})
    worker.hang_up()
    backend.remove(worker.peer)
    sender.send(asked(b"x"))
    assert elsewhere_of(way) == (1, 0, {Drop.FULL: 2, Drop.NO_PEER: 1})


def test_without_a_peer_a_permit_is_of_no_use_and_is_kept(world):
    frontend, _, other, gate, way = work(world, permits=5)
    sender = world.far(frontend)
    other.hang_up()
    assert sender.send(sent(b"x")) is Progress.NO_ROOM
    assert gate.permits == 5
    assert not way.lacks_permits
    assert not way.has_room


def test_the_alternative_gets_the_same_part_of_a_message(world):
    frontend, backend, other, _, way = work(
        world, payload=Payload.PARTS, permits=1, own="DEALER", requests_per_peer=1, source="SUB"
    )
    frontend.subscribe(b"")
    sender, worker = world.far(frontend), world.far(backend)
    sender.send(wire(b"topic", b"", b"one1") + wire(b"topic", b"", b"two2"))
    assert worker.got() == [[b"", b"one1"]]
    assert other.got() == [[b"", b"two2"]]
    assert elsewhere_of(way) == (1, 1, {})
    assert way.counters.outlets[0].sent_bytes == 4


def test_of_several_destinations_each_has_to_have_room_here_or_otherwise(world):
    pub, push, elsewhere = world.side("PUB"), world.side("PUSH"), world.side("PUSH")
    elsewhere.gate = gate = world.core.gate()
    frontend, way = world.way("PULL", pub, Destination(push, otherwise=elsewhere))
    sender, subscriber, other = world.far(frontend), world.far(pub), world.far(elsewhere)
    subscriber.send(wire(b"\1"))
    assert sender.send(sent(*many(3))) is Progress.NO_ROOM
    assert subscriber.singles() == []
    gate.add(2)
    assert sender.read() is Progress.NO_ROOM
    assert subscriber.singles() == other.singles() == many(2)
    check(way, sender, subscriber, other)


def test_ways_share_a_gate_and_its_permits_are_used_once(world):
    elsewhere = world.side("PUSH")
    elsewhere.gate = gate = world.core.gate()
    backend = world.side("PUSH")
    made = [world.way("PULL", Destination(backend, otherwise=elsewhere)) for _ in range(2)]
    senders, other = [world.far(side) for side, _ in made], world.far(elsewhere)
    gate.add(5)
    assert senders[0].send(sent(*many(3))) is Progress.NOT_READY
    assert senders[1].send(sent(*many(3, first=3))) is Progress.NO_ROOM
    assert other.singles() == many(5)
    assert [way.counters.outlets[0].elsewhere for _, way in made] == [3, 2]
    assert gate.permits == 0
    gate.add(-2)
    assert gate.permits == -2
    assert gate.take_all() == 0
    gate.add(2)
    assert senders[1].read() is Progress.NO_ROOM
    gate.add(1)
    assert senders[1].read() is Progress.NOT_READY


def test_a_gate_tells_when_it_opens(world):
    gate, told = world.core.gate(), []
    gate.listeners.append(lambda: told.append("first"))
    gate.listeners.append(lambda: told.append("last"))
    gate.add(0)
    assert told == []
    gate.add(2)
    assert told == ["last", "first"]
    gate.add(2)
    assert gate.permits == 4
    assert told == ["last", "first"]
    assert gate.take_all() == 4
    gate.add(1)
    assert told == ["last", "first"] * 2


def test_a_gate_before_a_socket_of_its_own_holds_messages_back(world):
    backend = world.side("PUSH")
    backend.gate = world.core.gate()
    frontend, way = world.way("PULL", backend)
    sender, worker = world.far(frontend), world.far(backend)
    assert sender.send(sent(*many(3))) is Progress.NO_ROOM
    backend.gate.add(2)
    assert sender.read() is Progress.NO_ROOM
    assert worker.singles() == many(2)
    backend.gate = None
    assert sender.read() is Progress.NOT_READY
    assert worker.singles() == many(1, first=2)
    check(way, sender, worker)


def test_a_message_that_may_not_be_sent_takes_no_permit(world):
    frontend, _, other, gate, way = work(world, permits=1)
    sender = world.far(frontend, grant=Grant((b"a",), ()))
    assert sender.send(sent(b"b1", b"b2", b"a1", b"b3", b"a2")) is Progress.NO_ROOM
    assert other.singles() == [b"a1"]
    assert elsewhere_of(way) == (0, 1, {Drop.FORBIDDEN: 3})
    gate.add(1)
    assert sender.read() is Progress.NOT_READY
    assert other.singles() == [b"a2"]
    assert sender.peer.counts().forbidden == 3


def test_more_than_a_rate_allows_takes_no_permit(world):
    frontend, _, other, gate, way = work(world, permits=10)
    sender = world.far(frontend)
    sender.peer.set_rate(world.core.rate(RateLimit(2, 0, True)))
    assert sender.send(sent(*many(5))) is Progress.NOT_READY
    assert other.singles() == many(2)
    assert gate.permits == 8
    assert elsewhere_of(way) == (0, 2, {Drop.RATE: 3})


def test_sealed_connections_have_permits_too(world):
    backend, elsewhere = world.side("PUSH"), world.side("PUSH")
    elsewhere.gate = gate = world.core.gate()
    frontend, _ = world.way("PULL", Destination(backend, otherwise=elsewhere))
    sender, other = world.far(frontend, sealed=True), world.far(elsewhere, sealed=True)
    assert sender.send(sent(*many(5))) is Progress.NO_ROOM
    gate.add(2)
    assert sender.read() is Progress.NO_ROOM
    assert other.singles() == many(2)
    worker = world.far(backend, sealed=True)
    assert sender.read() is Progress.NOT_READY
    assert worker.singles() == many(3, first=2)


def test_a_way_that_is_over_drops_and_lacks_nothing(world):
    frontend, _, _, gate, way = work(world)
    sender = world.far(frontend)
    sender.send(sent(*many(2)))
    way.stop()
    assert way.has_room
    assert not way.lacks_permits
    gate.add(5)
    assert sender.read() is Progress.NOT_READY
    assert elsewhere_of(way) == (0, 0, {Drop.STOPPED: 2})
    assert gate.permits == 5


def test_the_tap_sees_a_message_once_wherever_it_goes(world):
    frontend, backend, other, _, way = work(world, permits=1, own="DEALER", requests_per_peer=1)
    sender, worker, seen = world.far(frontend), world.far(backend), []
    way.set_tap(seen.append)
    sender.send(asked(*many(3)))
    assert seen == [[b"", one] for one in many(2)]
    assert (bodies(worker), bodies(other)) == (many(1), many(1, first=1))


# ROUTER


def replies(world):
    """A way of replies to clients, and otherwise to others' clients: their sides, and the way."""
    own, others = world.side("ROUTER"), world.side("ROUTER")
    source, way = world.way("DEALER", Destination(own, otherwise=others))
    return world.far(source), own, others, way


def test_a_reply_goes_elsewhere_if_its_client_is_not_here(world):
    worker, own, others, way = replies(world)
    here, there = world.far(own, routing_id=b"here"), world.far(others, routing_id=b"there")
    worker.send(wire(b"there", b"", b"2") + wire(b"here", b"", b"1") + wire(b"nowhere", b"", b"3") + wire(b"here"))
    assert here.got() == [[b"", b"1"]]
    assert there.got() == [[b"", b"2"]]
    assert elsewhere_of(way) == (1, 1, {Drop.UNROUTABLE: 1, Drop.MALFORMED: 1})
    assert way.refused == 1
    check(way, worker, here, there)


def test_a_reply_for_a_client_that_is_full_does_not_go_elsewhere(world):
    own, others = world.side("ROUTER", sndhwm=1), world.side("ROUTER")
    source, way = world.way("DEALER", Destination(own, otherwise=others))
    worker = world.far(source)
    here, there = world.far(own, routing_id=b"same", small=True), world.far(others, routing_id=b"same")
    worker.send(b"".join(wire(b"same", one) for one in many(500, size=300)))
    (outlet,) = way.counters.outlets
    assert there.got() == []
    assert outlet.elsewhere == 0
    assert outlet.dropped == {Drop.FULL: 500 - outlet.sent}
    check(way, worker, here, there)


@pytest.mark.parametrize(
    ("own", "other"), [("PUSH", "ROUTER"), ("ROUTER", "DEALER"), ("PUB", "PUB"), ("XPUB", "PUSH"), ("PUSH", "PULL")]
)
def test_other_types_are_no_alternative(world, own, other):
    with pytest.raises(ValueError, match=f"otherwise: expected a type like {own}, got {other}"):
        world.way("PULL", Destination(world.side(own), otherwise=world.side(other)))


# Requests


def test_a_worker_gets_so_many_requests_and_more_as_it_answers(world):
    dealer, router = world.side("DEALER", requests_per_peer=2), world.side("ROUTER")
    world.way(dealer, router)
    _, way = world.way(router, dealer)
    client, workers = world.far(router, routing_id=b"c"), [world.far(dealer), world.far(dealer)]
    assert dealer.free_places() == 4
    assert client.send(b"".join(wire(b"", one) for one in many(7))) is Progress.NO_ROOM
    assert [len(worker.got()) for worker in workers] == [2, 2]
    assert dealer.free_places() == 0
    assert not way.has_room
    workers[1].send(wire(b"c", b"", b"reply")[:-1])
    assert not way.has_room
    workers[1].send(wire(b"c", b"", b"reply")[-1:])
    assert way.has_room
    assert dealer.free_places() == 1
    assert client.read() is Progress.NO_ROOM
    assert [len(worker.got()) for worker in workers] == [0, 1]
    # One that says more than it was asked has no more room for that.
    workers[0].send(wire(b"c", b"", b"reply") * 5)
    assert dealer.free_places() == 2
    assert client.read() is Progress.NOT_READY
    assert [len(worker.got()) for worker in workers] == [2, 0]
    check(way, client, *workers)


def test_what_a_worker_never_answers_is_not_waited_for(world):
    dealer, router = world.side("DEALER", requests_per_peer=1), world.side("ROUTER")
    _, way = world.way(router, dealer)
    client, worker = world.far(router, routing_id=b"c"), world.far(dealer)
    # A REP takes what is before the empty part for the way back, and needs something behind it.
    bad = wire(b"no", b"empty part") + wire(b"alone") + wire(b"empty at the end", b"")
    assert client.send(bad + wire(b"", b"1") + wire(b"", b"2")) is Progress.NO_ROOM
    assert [one[-1] for one in worker.got()] == [b"empty part", b"alone", b"", b"1"]
    check(way, client, worker)


def test_a_worker_that_goes_is_not_waited_for(world):
    dealer = world.side("DEALER", requests_per_peer=1)
    frontend, way = world.way("PULL", dealer)
    sender, first = world.far(frontend), world.far(dealer)
    assert sender.send(asked(*many(2))) is Progress.NO_ROOM
    first.hang_up()
    dealer.remove(first.peer)
    second = world.far(dealer)
    assert sender.read() is Progress.NOT_READY
    assert bodies(second) == many(1, first=1)
    check(way, sender, first, second)


def test_a_worker_that_is_connected_to_again_gets_what_waits_and_no_more(world):
    dealer = world.side("DEALER", requests_per_peer=2)
    frontend, way = world.way("PULL", dealer)
    sender, peer = world.far(frontend), dealer.new_peer(queues_before=True)
    assert dealer.free_places() == 0
    assert sender.send(asked(*many(5))) is Progress.NO_ROOM
    first = world.connect(peer)
    peer.write(NEVER)
    assert bodies(first) == many(2)
    # What it was given has gone with it.
    first.hang_up()
    assert sender.read() is Progress.NO_ROOM
    second = world.connect(peer)
    assert dealer.free_places() == 0
    peer.write(NEVER)
    assert bodies(second) == many(2, first=2)
    check(way, sender, second)


def test_a_limit_of_requests_may_change(world):
    dealer = world.side("DEALER", requests_per_peer=1)
    frontend, _ = world.way("PULL", dealer)
    sender, worker = world.far(frontend), world.far(dealer)
    assert sender.send(asked(*many(5))) is Progress.NO_ROOM
    dealer.plan = dataclasses.replace(dealer.plan, requests_per_peer=3)
    assert sender.read() is Progress.NO_ROOM
    dealer.plan = dataclasses.replace(dealer.plan, requests_per_peer=0)
    assert sender.read() is Progress.NOT_READY
    assert bodies(worker) == many(5)


# Room


def test_free_places_are_those_of_the_queues_of_peers_that_are_connected(world):
    push = world.side("PUSH", sndhwm=10)
    assert push.free_places() == 0
    peers = [world.far(push), world.far(push)]
    assert push.free_places() == 20
    push.new_peer(queues_before=True)
    assert push.free_places() == 20
    frontend, _ = world.way("PULL", push)
    peers[0].hang_up()
    assert push.free_places() == 10
    world.far(frontend).send(sent(*many(1)))
    assert push.free_places() == 10


@pytest.mark.parametrize(
    "options", [{"sndhwm": 0}, {"sndhwm": 100, "sndhwm_bytes": 1000}, {"sndhwm": 0, "sndhwm_bytes": 9}]
)
def test_a_peer_whose_messages_are_not_limited_has_some_places(world, options):
    push = world.side("PUSH", **options)
    world.far(push)
    assert push.free_places() == FREE_PLACES
    for _ in range(20):
        world.far(push)
    assert push.free_places() == MOST_FREE_PLACES


def test_types_that_do_not_take_messages_in_turn_have_no_places(world):
    for type in ("PULL", "ROUTER", "PUB", "XPUB", "SUB", "XSUB"):
        side = world.side(type)
        world.far(side)
        assert side.free_places() == 0


# Accounts


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 1), st.integers(1, 300)),
        st.tuples(st.just("permit"), st.integers(-3, 300)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("answer"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.integers(0, 1)),
    ),
    max_size=20,
)


@pytest.mark.parametrize("core", CORES)
@given(steps=STEPS, limit=st.sampled_from([0, 1, 2]), drops=st.booleans(), sealed=st.booleans())
@settings(max_examples=60)
def test_no_more_goes_than_there_are_permits_and_every_message_once(core, steps, limit, drops, sealed):
    with new_world(CORES[core]) as world:
        backend, elsewhere = world.side("DEALER", requests_per_peer=limit, sndhwm=3), world.side("DEALER")
        elsewhere.gate = gate = world.core.gate()
        when_full = WhenFull.DROP if drops else WhenFull.BLOCK
        made = [world.way("PULL", Destination(backend, when_full, otherwise=elsewhere)) for _ in range(2)]
        senders = [world.far(side, sealed=sealed) for side, _ in made]
        worker, other = world.far(backend, small=True, sealed=sealed), world.far(elsewhere, sealed=sealed)
        came, permitted, number, got = [[], []], 0, 0, []
        for name, which, *more in steps:
            if name == "send":
                messages = many(*more, first=number)
                number += len(messages)
                came[which] += messages
                senders[which].send(sent(*messages))
            elif name == "permit":
                gate.add(which)
                permitted += which
            elif name == "take":
                permitted -= gate.take_all()
            elif name == "answer":
                worker.send(sent(*[b"answer"] * which))
            else:
                senders[which].read()
            got += other.all_singles()
            counters = [way.counters for _, way in made]
            went = sum(one.outlets[0].elsewhere for one in counters)
            assert gate.permits == permitted - went
            assert len(got) == went
            for way in (way for _, way in made):
                check(way, *senders, worker, other)
                assert not way.lacks_permits or gate.permits <= 0
        everything = got + worker.all_singles()
        assert len(everything) == len(set(everything))
        assert (
            len(everything) == sum(one.outlets[0].sent + one.outlets[0].elsewhere for one in counters)
            if steps
            else True
        )
        if not drops:
            moved = [one.received for one in (way.counters for _, way in made)]
            assert sorted(everything) == sorted(
                one for messages, count in zip(came, moved, strict=True) for one in messages[:count]
            )
