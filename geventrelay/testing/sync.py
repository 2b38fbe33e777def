"""Messages of the harness by which peers meet, and a fence: after it, no message sent before it is under way."""

from __future__ import annotations

from collections.abc import Iterable

import gevent

from .peer import Parts, Peer, new_mark
from .waiting import LIMIT_S, within

# How long a fence has before it is taken for lost: a full queue on the way drops it as it drops everything.
_REPEAT_S = 0.1
# How long a probe has before the next one follows: through a device and back to the hub takes less than this.
_PROBE_S = 0.005


def fence(
    sender: Peer, receiver: Peer, *, address: tuple[bytes, ...] = (), prefix: bytes | None = None,
    within_s: float = LIMIT_S,
) -> list[Parts]:  # fmt: skip
    """Send a message of the harness down the way from `sender` to `receiver`; returns what came before it.

    ZeroMQ keeps order on a way, so whatever was sent before the fence and is not in the list will never arrive. The
    fence is repeated while it does not arrive, since it can be lost as any message. Where several receivers share the
    messages, put one fence to each. Not for REQ and REP, which cannot send twice in a row. Yields.

    :param address: parts to put before it; the routing id where `sender` is a ROUTER.
    :param prefix: what its body starts with; None is the first prefix to which `receiver` has subscribed, if any.
    :param within_s: for how long at most, in seconds.
    :raises AssertionError: if it does not arrive, with what had come.
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
