"""What the engine that speaks ZMTP itself is told of a socket, from the device's settings. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import zmq

from ..settings import DeviceSettings
from ..settings.socket_options import lets_legacy_peers_in
from ..switch.contract import LastValuePlan, LogPlan, SidePlan, TopicPlan
from ..switch.dialler import Redial
from ..switch.pulse import Heartbeat
from ..switch.terms import Terms
from ..switch.transport import Keepalive, Transport
from ..terms import LONGEST_TOPIC_BYTES, RatePer, SlowSubscriber, WhenFull
from ..zmtp.bounds import Bounds
from ..zmtp.socket_types import TO_SUBSCRIBERS
from .door import door_of
from .new_socket import ONLY_SEND, PROBES, repeats_subscriptions
from .peer_bounds import LARGEST_PART_BYTES, handshake_time, most_parts
from .plan import RECEIVE_ONLY, SocketPlan
from .rates import rate_limit
from .replay import MOST_QUEUED_BYTES, MOST_REQUEST_BYTES, MOST_REQUEST_PARTS, REPLAY

NO_LIMIT = 2**31 - 1
"""As many parts as any peer sends; and for bytes there is `_NO_LIMIT_BYTES`."""
_NO_LIMIT_BYTES = 2**62

UNFINISHED_BYTES = 64 * 1024 * 1024
"""``max-unfinished`` where it is not given."""

_PRIVATE_QUEUE = 100_000
"""How many messages wait for a component of the same device: what comes in a few turns, also of very small ones. The
memory budget bounds how large they are, and what the component has taken has bounds there."""

BACKLOG = 1024
"""How many connections may wait to be accepted. With fewer, a burst of connects makes TCP wait a second and more."""


def side_plan(plan: SocketPlan, settings: DeviceSettings, first_number: int = 1) -> SidePlan:
    """What a core is to know of the socket of `plan` in a device of `settings`. Does not yield.

    :param plan: the socket.
    :param settings: the device's.
    :param first_number: of what a log keeps, the number of the first message.
    """
    if plan.private:
        return _private_side(plan, settings)
    options = options_of(plan, settings)
    largest = settings.max_message_size_bytes
    part = options.get(zmq.MAXMSGSIZE, (LARGEST_PART_BYTES if largest is None else largest) or -1)
    unfinished = settings.max_unfinished_bytes
    bounds = Bounds(
        frame_bytes=part if part >= 0 else _NO_LIMIT_BYTES,
        message_bytes=(UNFINISHED_BYTES if unfinished is None else unfinished) or _NO_LIMIT_BYTES,
        # With libzmq's sockets, the routing id is one of them.
        parts=most_parts(plan, settings) - (plan.type == zmq.ROUTER) if settings.max_parts else NO_LIMIT,
        topic_bytes=settings.max_topic_size_bytes,
    )
    kind = zmq.SocketType(plan.type).name
    if plan.key == REPLAY:
        bounds = dataclasses.replace(
            bounds,
            frame_bytes=min(bounds.frame_bytes, MOST_REQUEST_BYTES),
            message_bytes=min(bounds.message_bytes, MOST_REQUEST_BYTES),
            parts=min(bounds.parts, MOST_REQUEST_PARTS),
        )
    # What a device says of its subscribers is for one of its sockets.
    of_subscribers: Any = settings if kind in TO_SUBSCRIBERS else None
    return SidePlan(
        plan.key,
        kind,
        # What these send is subscriptions, which are not to be lost.
        sndhwm=0 if plan.type in RECEIVE_ONLY else int(options.get(zmq.SNDHWM, settings.sndhwm)),
        sndhwm_bytes=_sndhwm_bytes(plan, settings),
        requests_per_peer=plan.requests_per_peer,
        bounds=bounds,
        max_subscriptions=getattr(of_subscribers, "max_subscriptions", 0),
        slow_subscriber=getattr(of_subscribers, "slow_subscriber", SlowSubscriber.DROP),
        subscriber_max_age_s=getattr(of_subscribers, "subscriber_max_age_s", 0.0),
        last_values=_last_values(of_subscribers),
        log=_log(of_subscribers, first_number),
        stamp=getattr(of_subscribers, "stamp", False),
        topics=_topics(of_subscribers),
        xpub_verbose=repeats_subscriptions(plan.key, settings),
        xpub_welcome_msg=options.get(zmq.XPUB_WELCOME_MSG, b""),
        router_handover=bool(options.get(zmq.ROUTER_HANDOVER)),
    )


def terms(plan: SocketPlan, settings: DeviceSettings) -> Terms:
    """On what terms the socket of `plan` in a device of `settings` has connections. Does not yield."""
    if plan.private:
        return Terms()
    options = options_of(plan, settings)
    transport = Transport(
        _keepalive(options, settings.heartbeat_ms),
        sndbuf=options.get(zmq.SNDBUF, -1),
        rcvbuf=options.get(zmq.RCVBUF, _receive_buffer(plan, settings)),
        tos=options.get(zmq.TOS, 0),
        maxrt_ms=options.get(zmq.TCP_MAXRT, 0),
        device=options.get(zmq.BINDTODEVICE, b""),
    )
    return Terms(
        transport,
        handshake=handshake_time(plan, settings),
        routing_id=options.get(zmq.ROUTING_ID, b""),
        # It answers over the connection that it was asked over: there, no peer can take the name of another one.
        knows_by_routing_id=plan.key != REPLAY,
        legacy_peers=lets_legacy_peers_in(plan.key, settings),
        heartbeat=_heartbeat(options),
        immediate=_forgets_peers(plan, settings),
        ipv6=bool(options.get(zmq.IPV6, settings.ipv6)),
        redial=_redial(options),
        most_peers=settings.max_peers,
        most_per_address=settings.max_connections_per_address,
        door=door_of(options),
        rate=rate_limit(settings),
        rate_per=RatePer(settings.max_rate_per),
    )


def _private_side(plan: SocketPlan, settings: DeviceSettings) -> SidePlan:
    blocks = getattr(settings, "backbone_when_full", None) is WhenFull.BLOCK
    return SidePlan(
        plan.key,
        zmq.SocketType(plan.type).name,
        sndhwm=0 if plan.type in RECEIVE_ONLY else _PRIVATE_QUEUE,
        # Peers of the device have been held to its own.
        bounds=Bounds(_NO_LIMIT_BYTES, _NO_LIMIT_BYTES, NO_LIMIT, topic_bytes=LONGEST_TOPIC_BYTES),
        max_subscriptions=0,
        slow_subscriber=SlowSubscriber.BLOCK if blocks else SlowSubscriber.DROP,
    )


def _forgets_peers(plan: SocketPlan, settings: DeviceSettings) -> bool:
    if zmq.SocketType(plan.type).name in TO_SUBSCRIBERS and getattr(settings, "last_value", False):
        # The next connection is a new subscriber, which is given the last values in the place of what waited.
        return True
    return plan.type in ONLY_SEND and bool(options_of(plan, settings).get(zmq.IMMEDIATE, settings.immediate))


def _last_values(settings: Any) -> LastValuePlan | None:
    if not getattr(settings, "last_value", False):
        return None
    return LastValuePlan(
        topics=settings.last_value_topics,
        nbytes=settings.last_value_bytes,
        max_age_s=settings.last_value_max_age_s,
        prefixes=settings.last_value_prefix,
        topic_until=settings.topic_until or b"",
    )


def _log(settings: Any, first_number: int) -> LogPlan | None:
    size = getattr(settings, "replay_size", None)
    if size is None:
        return None
    return LogPlan(first_number, size.messages, settings.log_bytes, size.age_s)


def _topics(settings: Any) -> TopicPlan | None:
    topics = getattr(settings, "topics", 0)
    return TopicPlan(topics, settings.topic_until or b"") if topics else None


def _sndhwm_bytes(plan: SocketPlan, settings: DeviceSettings) -> int:
    if plan.type in RECEIVE_ONLY:
        return 0
    if plan.key == REPLAY:
        return min(settings.sndhwm_bytes or MOST_QUEUED_BYTES, MOST_QUEUED_BYTES)
    return settings.sndhwm_bytes


def linger_ms(plan: SocketPlan, settings: DeviceSettings) -> int:
    """How long the socket of `plan` in a device of `settings` goes on writing at its end, in ms. Does not yield."""
    return int(options_of(plan, settings).get(zmq.LINGER, settings.linger_ms))


def options_of(plan: SocketPlan, settings: DeviceSettings) -> Mapping[int, Any]:
    """ZeroMQ's own options that `settings` give the socket of `plan`, by libzmq's numbers. Does not yield."""
    return settings.socket_options.get(plan.key, {})


def _receive_buffer(plan: SocketPlan, settings: DeviceSettings) -> int:
    # What comes in waits nowhere else.
    return settings.rcvhwm_bytes if settings.rcvhwm_bytes and plan.type not in ONLY_SEND else -1


def _keepalive(options: Mapping[int, Any], heartbeat_ms: int) -> Keepalive | None:
    wanted = options.get(zmq.TCP_KEEPALIVE, 1 if heartbeat_ms else -1)
    if wanted != 1:
        return None
    seconds = max(1, heartbeat_ms // 1000) if heartbeat_ms else None
    values = (
        options.get(option, default)
        for option, default in (
            (zmq.TCP_KEEPALIVE_IDLE, seconds),
            (zmq.TCP_KEEPALIVE_INTVL, seconds),
            (zmq.TCP_KEEPALIVE_CNT, PROBES if heartbeat_ms else None),
        )
    )
    return Keepalive(*(None if value == -1 else value for value in values))


def _heartbeat(options: Mapping[int, Any]) -> Heartbeat:
    interval_ms = options.get(zmq.HEARTBEAT_IVL, 0)
    timeout_ms = options.get(zmq.HEARTBEAT_TIMEOUT, interval_ms)
    return Heartbeat(interval_ms / 1000, timeout_ms / 1000, options.get(zmq.HEARTBEAT_TTL, 0) // 100)


def _redial(options: Mapping[int, Any]) -> Redial:
    default = Redial()
    connect_s = options.get(zmq.CONNECT_TIMEOUT, 0) / 1000 or default.connect_s
    first_s, longest_s = default.first_s, default.longest_s
    if zmq.RECONNECT_IVL in options:
        first_s = longest_s = options[zmq.RECONNECT_IVL] / 1000
    if first_s is None or first_s < 0:
        return Redial(None, connect_s=connect_s)
    if zmq.RECONNECT_IVL_MAX in options:
        longest_s = max(first_s, options[zmq.RECONNECT_IVL_MAX] / 1000)
    return Redial(first_s, longest_s, connect_s)
