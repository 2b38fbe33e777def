"""What every core of the switch does with requests and replies: ROUTER and DEALER."""

from __future__ import annotations

from support.switch import check, many, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Progress


def queue(world, **options):
    """ROUTER and DEALER, joined both ways: the sides, and the ways of requests and replies."""
    dealer = world.side("DEALER")
    router, requests = world.way(world.side("ROUTER", **options), dealer)
    _, replies = world.way(dealer, router)
    return router, dealer, requests, replies


def test_a_reply_goes_back_to_the_client_that_has_asked(world):
    router, dealer, requests, replies = queue(world)
    clients = [world.far(router, routing_id=b"known"), world.far(router), world.far(router)]
    workers = [world.far(dealer), world.far(dealer)]
    envelope = [b"", b"request", b"x" * 300]
    for client in clients:
        client.send(wire(*envelope))
    got = [workers[0].got(), workers[1].got()]
    ids = [got[0][0][0], got[1][0][0], got[0][1][0]]
    assert [message[1:] for message in (got[0][0], got[1][0], got[0][1])] == [envelope] * 3
    assert ids[0] == b"known"
    assert all(len(one) == 5 and one[0] == 0 for one in ids[1:])
    assert len(set(ids)) == 3
    for number, one in enumerate(ids):
        workers[0].send(wire(one, b"", b"%d" % number, b"y" * 300))
    assert [client.bytes() for client in clients] == [wire(b"", b"%d" % number, b"y" * 300) for number in range(3)]
    counters = requests.counters
    assert (counters.received_parts, counters.received_bytes) == (12, 3 * 307 + 15)
    assert counters.outlets[0].sent_bytes == counters.received_bytes
    check(requests, *clients, *workers)
    check(replies, *clients, *workers)


def test_what_a_router_cannot_route_is_counted(world):
    router, dealer, _, replies = queue(world, sndhwm=3)
    client, worker = world.far(router, routing_id=b"known", small=True), world.far(dealer)
    worker.send(wire(b"unknown", b"x") + wire(b"known") + wire(b"", b"x"))
    assert replies.counters.outlets[0].dropped == {Drop.UNROUTABLE: 2, Drop.MALFORMED: 1}
    worker.send(b"".join(wire(b"known", one) for one in many(500, 100)))
    sent = replies.counters.outlets[0].sent
    assert replies.counters.outlets[0].dropped[Drop.FULL] == 500 - sent
    assert client.all_singles() == many(500, 100)[:sent]
    client.hang_up()
    worker.send(wire(b"known", b"x"))
    assert replies.counters.outlets[0].dropped[Drop.UNROUTABLE] == 3
    check(replies, client, worker)


def test_a_second_peer_with_the_same_routing_id_is_refused_until_the_first_has_gone(world):
    router, dealer, requests, _ = queue(world)
    worker = world.far(dealer)
    first, second = world.far(router, routing_id=b"same"), world.far(router, routing_id=b"same")
    assert world.core.take_ended() == [second.peer]
    assert "b'same'" in second.peer.ended.what
    second.peer.detach()
    worker.send(wire(b"same", b"one"))
    assert first.singles() == [b"one"]
    first.peer.detach()
    again = world.connect(second.peer, routing_id=b"same")
    again.send(wire(b"two"))
    worker.send(wire(b"same", b"three"))
    assert again.singles() == [b"three"]
    assert worker.got() == [[b"same", b"two"]]
    check(requests, first, again, worker)


def test_with_handover_a_second_peer_takes_over_the_routing_id_of_the_first(world):
    router, dealer, requests, _ = queue(world, router_handover=True)
    worker = world.far(dealer)
    first = world.far(router, routing_id=b"same")
    first.send(wire(b"begun", b"never")[:-1])
    second = world.far(router, routing_id=b"same")
    assert world.core.take_ended() == [first.peer]
    first.peer.detach()
    worker.send(wire(b"same", b"one"))
    assert second.singles() == [b"one"]
    assert worker.got() == []
    check(requests, first, second, worker)


def test_a_dealer_gives_requests_in_turn_and_waits_while_all_workers_are_full(world):
    router, dealer, requests, _ = queue(world)
    client = world.far(router, routing_id=b"c")
    assert client.send(b"".join(wire(b"", one) for one in many(4))) is Progress.NO_ROOM
    workers = [world.far(dealer), world.far(dealer)]
    assert client.read() is Progress.NOT_READY
    assert [worker.got() for worker in workers] == [
        [[b"c", b"", one] for one in many(4)[start::2]] for start in range(2)
    ]
    check(requests, client, *workers)
