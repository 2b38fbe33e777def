"""When two peers have met, so that whatever is sent from then on has a way."""

from __future__ import annotations

from collections.abc import Iterable

import gevent

from .marks import new_mark
from .peer import Parts, Peer
from .waiting import LIMIT_S, within

# How long a probe has before the next one follows: through a device and back to the hub takes less than this.
_PROBE_S = 0.005


def connected(*peers: Peer, within_s: float = LIMIT_S) -> None:
    """Yield until `peers` can talk to each other, directly or through whatever they are connected to.

    Each waits for its own handshakes: one per endpoint that it connected to, and if it is bound, one per other of
    `peers` that connected to it. Then, if some publish and some subscribe, every publisher sends probes, with the
    subscriber's first prefix before them, until one has arrived at the subscriber, and a last one, before which all the
    others have then arrived. No method of a `Peer` returns a probe; a subscriber of another kind gets to see those that
    it has subscribed to, and a device in between counts them.

    :param within_s: for how long at most, in seconds.
    :raises AssertionError: naming the peer that has not met the others, and what it has seen.
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
