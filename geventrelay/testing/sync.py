"""Synchronisation: waiting until peers are connected, and until a way between two peers is empty."""

from __future__ import annotations

from collections.abc import Iterable

import gevent

from .peer import Parts, Peer, new_mark
from .waiting import LIMIT_S, within

# After this time a fence counts as lost: a full queue on the way drops it like any message.
_REPEAT_S = 0.1
# The time between two probes: the way through a device takes less than this.
_PROBE_S = 0.005


def fence(
    sender: Peer, receiver: Peer, *, address: tuple[bytes, ...] = (), prefix: bytes | None = None,
    within_s: float = LIMIT_S,
) -> list[Parts]:  # fmt: skip
    """Send a message of the harness on the way from `sender` to `receiver`; returns the messages that came before it.

    ZeroMQ keeps the order on a way. So a message that was sent before the fence and is not in the list will never
    arrive. The fence is sent again until one arrives, because it can be lost like any message. If several receivers
    share the messages, send one fence to each. Not for REQ and REP, which cannot send twice in a row. Yields.

    :param address: parts before the fence; the routing id if `sender` is a ROUTER.
    :param prefix: the beginning of its body; None is the first prefix that `receiver` has subscribed to, if any.
    :param within_s: for how long at most, in seconds.
    :raises AssertionError: if the fence does not arrive; the error has the messages that came.
    """
    if prefix is None:
        prefix = receiver.subscriptions[0] if receiver.subscriptions else b""
    mark, before = new_mark(), list[Parts]()
    with within(lambda: f"a fence from {sender.state()} at {receiver.state()}", within_s):
        while True:
            sender.send(*address, prefix + mark)
            if gevent.with_timeout(_REPEAT_S, receiver.recv_until, mark, before, timeout_value=False):
                return before


def connected(*peers: Peer, within_s: float = LIMIT_S) -> None:
    """Wait until `peers` can talk to each other, directly or through the programs between them. Yields.

    Each peer waits for its own handshakes: one per endpoint that it connected to and, if it is bound, one per peer that
    connected to it. Then every publisher sends probes to every subscriber, with the subscriber's first prefix, until
    one has arrived. A last probe shows that all the others have arrived too. No method of a `Peer` returns a probe.
    But another subscriber receives the probes that it has subscribed to, and a device in between counts them.

    :param within_s: for how long at most, in seconds.
    :raises AssertionError: with the peer that is not connected to the others, and what it has seen.
    """
    for one in peers:
        with within(lambda one=one: f"the handshakes of {one.state()}", within_s):  # type: ignore[misc]
            one.wait_connections(_handshakes(one, peers))
    for publisher in (one for one in peers if one.publishes):
        for subscriber in (one for one in peers if one.subscribes):
            assert subscriber.subscriptions, f"{subscriber} has subscribed to nothing"
            with within(
                lambda one=publisher, other=subscriber: f"a probe from {one.state()} at {other.state()}",  # type: ignore[misc]
                within_s,
            ):
                _probe(publisher, subscriber)


def _handshakes(one: Peer, peers: Iterable[Peer]) -> int:
    made = sum(not endpoint.startswith("inproc") for endpoint in one.endpoints)
    if not one.endpoint or one.endpoint.startswith("inproc"):
        return made
    return made + max(1, sum(one.endpoint in other.endpoints for other in peers))


def _probe(publisher: Peer, subscriber: Peer) -> None:
    prefix, came = subscriber.subscriptions[0], list[Parts]()
    try:
        first, last = prefix + new_mark(), prefix + new_mark()
        publisher.send(first)
        while not gevent.with_timeout(_PROBE_S, subscriber.recv_until, first, came, timeout_value=False):
            publisher.send(first)
        publisher.send(last)
        subscriber.recv_until(last, came)
    finally:
        subscriber.put_back(came)
