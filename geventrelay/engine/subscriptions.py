"""Subscriptions as XPUB and XSUB exchange them (RFC 29): frames parsed, topics kept, and an XSUB asked for its own.

An XSUB sends every publisher that connects all that it is subscribed to. So `subscriptions` connects one over inproc,
reads that, and leaves: nothing of it is in the way of a message, and nothing is kept between two questions.

An XSUB counts the subscriptions to a topic, and tells publishers of its end only when as many ends have come. An XPUB
with ZMQ_XPUB_VERBOSE reports every subscription, but only the end of the last. So what goes from it to an XSUB is made
a set first: after a subscription to a topic that is there already, its end follows at once. The publishers get to know
of the subscription, since ZMQ_XPUB_VERBOSE is there for that, and the XSUB counts one.

How many subscribers a topic has cannot be asked. An XPUB reports a topic's first subscription and the end of its last.
With ZMQ_XPUB_VERBOSER it would report each, also a client's second subscription to the same topic, whose end it does
not report: the XSUB would go on asking publishers for a topic that has no subscriber any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import zmq

from .libzmq import unique_inproc, unless_gone
from .readiness import plain_recv
from .socket import RelaySocket

_CANCEL, _SUBSCRIBE = 0, 1
# A hundred thousand topics take a sixth of a second, which others are not to wait.
_READ_AT_A_TIME = 5_000
_PAUSE_S = 0.001
# A look at the clock costs as much as a few parts do.
_PARTS_BETWEEN_LOOKS = 100


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one frame of an XPUB says.

    :ivar topic: the prefix of the messages that are meant; ``b""`` is all of them.
    :ivar wanted: whether they are wanted from now on, or no more.
    """

    topic: bytes
    wanted: bool

    @property
    def frame(self) -> bytes:
        """The same as a frame; `parse` of it is this again."""
        return bytes([_SUBSCRIBE if self.wanted else _CANCEL]) + self.topic


def parse(frame: bytes) -> Subscription | None:
    """What a `frame` read from an XPUB says; None for one that is no subscription. Does not yield.

    A subscriber may send messages upstream too. libzmq (xpub_t::xread_activated) decides frame by frame, by the first
    byte, also within a message of several parts; so give every part to this by itself.
    """
    if not frame or frame[0] > _SUBSCRIBE:
        return None
    return Subscription(frame[1:], frame[0] == _SUBSCRIBE)


def read_latest(xpub: RelaySocket, seconds: float) -> tuple[list[Subscription], bool]:
    """What has come in at `xpub`, of each topic the latest alone; and whether there may be more. Does not yield.

    libzmq keeps what an XPUB's peers send without bound until it is read (xpub_t::xread_activated), and brings more
    with every hundredth read. So this has to be much faster than a peer that subscribes and cancels without a pause:
    bytes alone, part by part, since a message may have a million of them.

    :param xpub: what to read from.
    :param seconds: how long to read at most.
    :raises zmq.ZMQError: as `zmq.Socket.recv` does, but not `zmq.Again`.
    """
    raw, latest, more, end = xpub.readiness.raw, {}, True, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for _ in range(_PARTS_BETWEEN_LOOKS):
                part = plain_recv(raw, zmq.DONTWAIT)
                if part and part[0] <= _SUBSCRIBE:
                    latest[part[1:]] = part[0]
    except zmq.Again:
        more = False
    return [Subscription(topic, kind == _SUBSCRIBE) for topic, kind in latest.items()], more


def has_longer_topic(parts: Iterable[Any], longest: int) -> bool:
    """Whether a message has a part that an XSUB takes for a subscription, or its end, with too long a topic.

    An XSUB looks at each part by itself (xsub_t::xsend). Does not yield.

    :param parts: `zmq.Frame` or bytes.
    :param longest: of the topics that are not too long, in bytes.
    """
    return any(len(part) > longest + 1 and memoryview(part)[0] <= _SUBSCRIBE for part in parts)


class Topics:
    """The set of topics that are subscribed to: an XPUB reports first subscriptions and last ends, so no counts."""

    def __init__(self) -> None:
        self._topics: set[bytes] = set()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._topics)

    def __len__(self) -> int:
        return len(self._topics)

    def apply(self, subscription: Subscription | None) -> None:
        """Keep or forget the topic of a `subscription`; None, for what was none, changes nothing. Does not yield."""
        if subscription is None:
            return
        if subscription.wanted:
            self._topics.add(subscription.topic)
        else:
            self._topics.discard(subscription.topic)

    def repeats(self, frame: bytes) -> bool:
        """Apply a `frame` for an XSUB; whether it subscribes to a topic that is there already. Does not yield."""
        subscription = parse(frame)
        if subscription is None:
            return False
        known = subscription.topic in self._topics
        self.apply(subscription)
        return known and subscription.wanted

    def matches(self, head: bytes) -> bool:
        """Whether a message whose first part is `head` is subscribed to. Does not yield."""
        return any(head.startswith(topic) for topic in self._topics)


def subscriptions(xsub: RelaySocket) -> tuple[bytes, ...]:
    """The topics that `xsub` asks publishers for, sorted. Yields if there are thousands.

    :raises zmq.ZMQError: if the socket or its context goes meanwhile.
    """
    address = unique_inproc("subscriptions")
    publisher: RelaySocket = xsub.context.socket(zmq.XPUB, socket_class=RelaySocket)
    try:
        publisher.set(zmq.RCVHWM, 0)
        publisher.set(zmq.LINGER, 0)
        publisher.bind(address)
        xsub.connect(address)
        # The call may have taken news that a pump waits for.
        xsub.readiness.process_events()
        try:
            return tuple(sorted(_read(publisher)))
        finally:
            with unless_gone():
                xsub.disconnect(address)
                xsub.readiness.process_events()
    finally:
        publisher.close(0)


def _read(publisher: RelaySocket) -> Topics:
    topics = Topics()
    while True:
        for _ in range(_READ_AT_A_TIME):
            try:
                frame = publisher.readiness.receive_part()
            except zmq.Again:
                return topics
            topics.apply(parse(frame.bytes))
        gevent.sleep(_PAUSE_S)
