"""Which topics a running forwarder is subscribed to, asked of its XSUB in the way a publisher learns it.

An XSUB tells every publisher that connects all that it is subscribed to. So one connects over inproc, reads that, and
leaves: nothing of it is in the way of a message, and nothing is kept between two questions.

How many subscribers a topic has, libzmq tells nobody. An XPUB reports a topic's first subscription and the end of its
last. With ZMQ_XPUB_VERBOSER it would report each, a client's second subscription to what it has already among them, of
which no end is reported: the XSUB would go on asking publishers for a topic that nobody wants any more.
"""

from __future__ import annotations

import contextlib
import itertools

import gevent
import zmq

from .socket import RelaySocket

_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"
# A hundred thousand topics take a sixth of a second, which others are not to wait.
_READ_AT_A_TIME = 5_000
_PAUSE_S = 0.001

_names = itertools.count()


def subscriptions(xsub: RelaySocket) -> dict[bytes, int]:
    """The topics that `xsub` asks publishers for, each with a count of 1; see above. Yields if there are thousands.

    :raises zmq.ZMQError: if the socket or its context goes meanwhile.
    """
    address = f"inproc://geventrelay-subscriptions-{next(_names)}"
    publisher: RelaySocket = xsub.context.socket(zmq.XPUB, socket_class=RelaySocket)
    try:
        publisher.set(zmq.RCVHWM, 0)
        publisher.set(zmq.LINGER, 0)
        publisher.bind(address)
        xsub.connect(address)
        # The call may have taken news that a pump waits for.
        xsub.readiness.process_events()
        try:
            return _read(publisher)
        finally:
            with contextlib.suppress(zmq.ZMQError):
                xsub.disconnect(address)
                xsub.readiness.process_events()
    finally:
        publisher.close(0)


def _read(publisher: RelaySocket) -> dict[bytes, int]:
    topics: dict[bytes, int] = {}
    while True:
        for _ in range(_READ_AT_A_TIME):
            try:
                message = publisher.readiness.receive()[0].bytes
            except zmq.Again:
                return topics
            # A client of the XPUB may send upstream what it likes.
            if message[:1] == _SUBSCRIBE:
                topics[message[1:]] = 1
            elif message[:1] == _UNSUBSCRIBE:
                topics.pop(message[1:], None)
        gevent.sleep(_PAUSE_S)
