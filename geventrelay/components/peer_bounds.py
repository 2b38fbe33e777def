"""What the peers of a device's socket may send, by the socket's type and the settings."""

from __future__ import annotations

import zmq

from ..endpoints import Endpoint
from ..engine.usage import Bound, subscriber_bound, unfinished_bound
from ..settings import DeviceSettings
from ..settings.checks import SMALLEST_MESSAGE_LIMIT_BYTES
from .plan import SocketPlan

_TO_SUBSCRIBERS = frozenset({zmq.PUB, zmq.XPUB})
_ONLY_SEND = frozenset({zmq.PUB, zmq.XPUB, zmq.PUSH})
# What is read as whole messages by a pump. The control socket bounds its commands itself.
_READ = frozenset({zmq.PULL, zmq.SUB, zmq.XSUB, zmq.ROUTER, zmq.DEALER, zmq.PAIR})
# ZMTP 3.1's command has its name before the topic, and its name's length (RFC 37).
_COMMAND_BYTES = len(b"\x09SUBSCRIBE")
# In one call libzmq reads from a connection of a PUB or XPUB for as long as more comes in
# (xpub_t::xread_activated). With so few waiting, it comes to an end before its I/O thread has brought more, on a busy
# machine too.
_SUBSCRIPTIONS_WAITING = 4


def receive_hwm(plan: SocketPlan, settings: DeviceSettings) -> int:
    """How many messages of each peer may wait to be read, for ZMQ_RCVHWM; 0 for no limit. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    """
    if plan.type not in _TO_SUBSCRIBERS:
        return settings.rcvhwm
    return min(settings.rcvhwm or _SUBSCRIPTIONS_WAITING, _SUBSCRIPTIONS_WAITING)


def largest_part(plan: SocketPlan, settings: DeviceSettings, endpoint: Endpoint) -> int:
    """The largest part that a peer may send, for ZMQ_MAXMSGSIZE; -1 for no limit. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    :param endpoint: where the peer is.

    Subscribers that connect to a PUB or XPUB send topics. Where such a socket connects itself, the limit would be worse
    than none: libzmq connects no more after a part that is too large.
    """
    own = {**dict(plan.options), **settings.socket_options.get(plan.key, {})}.get(zmq.MAXMSGSIZE)
    if own is not None:
        return int(own)
    largest = settings.max_message_size_bytes or -1
    if plan.type not in _TO_SUBSCRIBERS or not endpoint.binds:
        return largest
    # Handshakes count too, and have to fit.
    topic = max(SMALLEST_MESSAGE_LIMIT_BYTES, settings.max_topic_size_bytes + _COMMAND_BYTES)
    return topic if largest < 0 else min(largest, topic)


def usage_bound(plan: SocketPlan, settings: DeviceSettings) -> Bound | None:
    """How much a connection may send before it is ended; None for no bound. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    """
    if all(endpoint.transport != "tcp" for endpoint in plan.endpoints):
        return None
    if plan.type in _ONLY_SEND and settings.subscriber_burst_bytes:
        return subscriber_bound(settings.subscriber_burst_bytes, settings.subscriber_rate)
    if plan.type in _READ and plan.key != "control" and settings.max_unfinished_bytes:
        return unfinished_bound(settings.max_unfinished_bytes)
    return None
