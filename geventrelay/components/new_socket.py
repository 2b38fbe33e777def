"""Makes a socket as it was planned, with every option set: the device's, the pattern's, and its own."""

from __future__ import annotations

from typing import Any

import zmq

from ..engine.socket import RelaySocket
from ..errors import StartError
from ..settings import DeviceSettings
from ..settings.socket_options import ZAP_DOMAIN, lets_legacy_peers_in
from . import socks
from .guard import Guard
from .peer_bounds import handshake_time, receive_hwm
from .plan import RECEIVE_ONLY, SocketPlan

ONLY_SEND = (zmq.PUSH, zmq.PUB)
# Subscriptions come in at these, and of a connection that is ended for too many, or has to wait, libzmq still reads all
# that the kernel has. By itself the kernel lets that grow to megabytes.
_TO_SUBSCRIBERS = (zmq.PUB, zmq.XPUB)
_SUBSCRIBERS_BUFFER_BYTES = 16 * 1024

# A peer that answers none of so many probes of TCP keepalive is given up.
PROBES = 3


def new_socket(context: Any, plan: SocketPlan, settings: DeviceSettings, guard: Guard) -> RelaySocket:
    """Make a socket with every option set, and neither bound nor connected yet. Does not yield.

    :param context: where to make it.
    :param plan: what it is to be.
    :param settings: the device's.
    :param guard: what protects it.
    :raises StartError: naming an option that the user wants and libzmq refuses, or if there is no descriptor for it.
    """
    try:
        socket: RelaySocket = context.socket(plan.type, socket_class=RelaySocket)
    except zmq.ZMQError as error:
        raise StartError(
            f"cannot make a socket ({settings.name} {plan.key}): {zmq.strerror(error.errno or 0)}"
        ) from error
    try:
        _set_options(socket, plan, settings)
        if not plan.private:
            guard.protect(socket, plan)
    except BaseException:
        # It is not known elsewhere yet, and the end of the context would wait for it without end.
        socket.close(0)
        raise
    return socket


def set_linger(socket: RelaySocket, plan: SocketPlan, settings: DeviceSettings) -> None:
    """Give `socket` the linger of `settings`, unless it has one of its own. Does not yield.

    :param plan: what the socket was made of.
    """
    if zmq.LINGER not in settings.socket_options.get(plan.key, {}):
        longest_ms = settings.linger_ms if plan.longest_linger_ms is None else plan.longest_linger_ms
        socket.set(zmq.LINGER, min(settings.linger_ms, longest_ms))


def repeats_subscriptions(key: str, settings: DeviceSettings) -> bool:
    """Whether the XPUB `key` of `settings` reports each subscription, not only the first to a topic. Does not yield."""
    options = settings.socket_options.get(key, {})
    return any(options.get(option) for option in (zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER))


def _set_options(socket: RelaySocket, plan: SocketPlan, settings: DeviceSettings) -> None:
    # What these send is subscriptions, and libzmq drops what is above SNDHWM of them without a word (xsub_t).
    socket.set(zmq.SNDHWM, 0 if plan.type in RECEIVE_ONLY else settings.sndhwm)
    socket.set(zmq.RCVHWM, receive_hwm(plan, settings))
    if zmq.HANDSHAKE_IVL not in settings.socket_options.get(plan.key, {}):
        socket.set(zmq.HANDSHAKE_IVL, round(handshake_time(plan, settings).longest_s * 1000))
    set_linger(socket, plan, settings)
    socket.set(zmq.IPV6, settings.ipv6)
    # Bytes that are not ZMTP would pass for ZMTP 1.0, which has no greeting, and come out as messages. libzmq refuses
    # ZMTP 1.0 and 2.0 (libzmq before 4.0) where a ZAP domain is set, and with no ZAP handler that is all it does.
    if not lets_legacy_peers_in(plan.key, settings):
        socket.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    if settings.heartbeat_ms:
        _set_heartbeat(socket, settings.heartbeat_ms)
    if plan.type in _TO_SUBSCRIBERS:
        socket.set(zmq.RCVBUF, _SUBSCRIBERS_BUFFER_BYTES)
    if plan.type in ONLY_SEND:
        # Not for sockets that also receive: when such a connection ends, libzmq discards what has come in and is not
        # read yet (session_base_t::reconnect).
        socket.set(zmq.IMMEDIATE, settings.immediate)
    if plan.type == zmq.ROUTER:
        # So that a reply that cannot be routed is reported, and counted, rather than dropped in silence.
        socket.set(zmq.ROUTER_MANDATORY, 1)
    for option, value in plan.options:
        socket.set(option, value)
    # Last, so that they win.
    for number, value in settings.socket_options.get(plan.key, {}).items():
        if number not in (*socks.OPTIONS, zmq.ZAP_DOMAIN):
            _set_option(socket, plan, settings.name, number, value)
    if repeats_subscriptions(plan.key, settings):
        # Not XPUB_VERBOSER: which end of a subscription is the last cannot be seen then, and only that goes upstream.
        socket.set(zmq.XPUB_VERBOSE, 1)


def _set_option(socket: RelaySocket, plan: SocketPlan, device: str, number: int, value: int | bytes) -> None:
    try:
        socket.set(number, value)
    except zmq.ZMQError as error:
        name = zmq.SocketOption(number).name.lower()
        raise StartError(f"cannot set {name} ({device} {plan.key}): {zmq.strerror(error.errno or 0)}") from error


def _set_heartbeat(socket: RelaySocket, heartbeat_ms: int) -> None:
    # Not ZMTP's PING: libzmq stops reading from a connection whose queue is full, sees neither PING nor PONG then, and
    # would cut off a peer that is merely busy, together with what is under way.
    seconds = max(1, heartbeat_ms // 1000)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.TCP_KEEPALIVE_IDLE, seconds)
    socket.set(zmq.TCP_KEEPALIVE_INTVL, seconds)
    socket.set(zmq.TCP_KEEPALIVE_CNT, PROBES)
