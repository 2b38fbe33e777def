"""What the peers of a device's socket may send, by the socket's type and the settings."""

from __future__ import annotations

import zmq

from ..endpoints import Endpoint
from ..engine.peerlimit import HandshakeTime, PeerLimit
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
# With libzmq's own 100, a burst of connects makes clients wait a second and more for TCP to try again.
_CONNECTIONS_WAITING = 1024
# Where libzmq has no descriptor for a connection over ipc, it aborts the process (ipc_listener.cpp). With so few
# waiting, it hardly accepts more of a burst than are free before the server hears of them. Peers of libzmq that find no
# place try again after 0.1 s (ZMQ_RECONNECT_IVL).
_WAITING_OVER_IPC = 8
# Through a proxy, a handshake begins before the proxy has let us through: libzmq's own time (ZMQ_HANDSHAKE_IVL).
_THROUGH_PROXY_S = 30.0

LARGEST_PART_BYTES = 64 * 1024 * 1024
"""``max-message-size`` where it is not given, and peers are not chosen by a user."""


def receive_hwm(plan: SocketPlan, settings: DeviceSettings) -> int:
    """How many messages of each peer may wait to be read, for ZMQ_RCVHWM; 0 for no limit. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    """
    if plan.type not in _TO_SUBSCRIBERS:
        return settings.rcvhwm
    return min(settings.rcvhwm or _SUBSCRIPTIONS_WAITING, _SUBSCRIPTIONS_WAITING)


def backlog(plan: SocketPlan, settings: DeviceSettings, endpoint: Endpoint, free: float) -> int:
    """How many connections may wait to be accepted, for ZMQ_BACKLOG. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    :param endpoint: where the connections come.
    :param free: how many descriptors are free.
    """
    own = settings.socket_options.get(plan.key, {}).get(zmq.BACKLOG)
    if own is not None:
        return int(own)
    few = endpoint.transport == "ipc" and free < 2 * _CONNECTIONS_WAITING
    return _WAITING_OVER_IPC if few else _CONNECTIONS_WAITING


def largest_part(plan: SocketPlan, settings: DeviceSettings, endpoint: Endpoint) -> int:
    """The largest part that a peer may send, for ZMQ_MAXMSGSIZE; -1 for no limit. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    :param endpoint: where the peer is.

    Subscribers that connect to a PUB or XPUB send topics. Where a socket connects itself, a limit that was not asked
    for would be worse than none: libzmq connects no more after a part that is too large.
    """
    if plan.private:
        return -1
    own = {**dict(plan.options), **settings.socket_options.get(plan.key, {})}.get(zmq.MAXMSGSIZE)
    if own is not None:
        return int(own)
    default = LARGEST_PART_BYTES if endpoint.binds else 0
    largest = (default if settings.max_message_size_bytes is None else settings.max_message_size_bytes) or -1
    if plan.type not in _TO_SUBSCRIBERS or not endpoint.binds:
        return largest
    # Handshakes count too, and have to fit.
    topic = max(SMALLEST_MESSAGE_LIMIT_BYTES, settings.max_topic_size_bytes + _COMMAND_BYTES)
    return topic if largest < 0 else min(largest, topic)


def peer_limit(settings: DeviceSettings) -> PeerLimit | None:
    """How many connections a socket of a device with `settings` lets in; None for as many as come. Does not yield."""
    most, most_per_address = settings.max_peers, settings.max_connections_per_address
    return PeerLimit(most, most_per_address) if most or most_per_address else None


def handshake_time(plan: SocketPlan, settings: DeviceSettings) -> HandshakeTime:
    """How long a handshake may take, and which option says so. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    """
    own = settings.socket_options.get(plan.key, {})
    if zmq.HANDSHAKE_IVL in own:
        return HandshakeTime(float(own[zmq.HANDSHAKE_IVL]) / 1000, "handshake-ivl")
    longest = settings.handshake_timeout_s
    return HandshakeTime(max(longest, _THROUGH_PROXY_S) if longest and zmq.SOCKS_PROXY in own else longest)


UNFINISHED_BYTES = 256 * 1024 * 1024
"""``max-unfinished`` where it is not given: more than the largest message, since it is found out from outside."""


def usage_bound(plan: SocketPlan, settings: DeviceSettings) -> Bound | None:
    """How much a connection may send before it is ended; None for no bound. Does not yield.

    :param plan: the socket.
    :param settings: its device's.
    """
    if all(endpoint.transport != "tcp" for endpoint in plan.endpoints):
        return None
    if plan.type in _ONLY_SEND and settings.subscriber_burst_bytes:
        return subscriber_bound(settings.subscriber_burst_bytes, settings.subscriber_rate)
    unfinished = settings.max_unfinished_bytes
    if plan.type in _READ and plan.key != "control" and unfinished != 0:
        return unfinished_bound(unfinished or UNFINISHED_BYTES)
    return None


def most_parts(plan: SocketPlan, settings: DeviceSettings) -> int:
    """How many parts a message may have that is read from the socket of `plan`; 0 for any number. Does not yield.

    :param plan: the socket.
    :param settings: the device's.
    """
    # What comes from other devices has been held to their bounds.
    return settings.max_parts + plan.way_parts if settings.max_parts and not plan.private else 0
