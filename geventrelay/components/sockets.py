"""Makes a pattern's sockets: options set, endpoints bound and connected, or one error that names the endpoint."""

from __future__ import annotations

import contextlib
import errno
import os
import socket as stdlib_socket
import stat
from collections.abc import Mapping
from typing import Any

import zmq
from gevent import socket as green_socket

from ..endpoints import Endpoint
from ..engine.libzmq import last_endpoint
from ..engine.socket import RelaySocket
from ..errors import StartError
from ..settings import DeviceSettings
from .listeners import use_descriptor
from .plan import CONTROL, RECEIVE_ONLY, Adjustment, SocketPlan

# So many probes of TCP keepalive without an answer mean that nobody is there.
_PROBES = 3


def make_socket(context: Any, plan: SocketPlan, settings: DeviceSettings) -> RelaySocket:
    """Make a socket with every option set, and neither bound nor connected yet. Does not yield.

    :param context: where to make it. :param plan: what it is to be. :param settings: the device's.
    :raises StartError: naming an option that the user wants and libzmq refuses.
    """
    socket: RelaySocket = context.socket(plan.type, socket_class=RelaySocket)
    try:
        _set_options(socket, plan, settings)
    except BaseException:
        # Nobody else knows it yet, and a socket left open would have the context's end waited for without end.
        socket.close(0)
        raise
    return socket


def open_endpoints(
    socket: RelaySocket, plan: SocketPlan, device: str, descriptors: Mapping[tuple[str, int], int]
) -> list[str]:
    """Bind and connect a socket as planned; the addresses that it is bound to. Yields while names resolve.

    :param socket: what `make_socket` made of `plan`. :param device: the device's name, for errors.
    :param descriptors: listening sockets to be used instead, by socket key and position among its endpoints.
    :raises StartError: naming the first endpoint that could not be had, and why.
    """
    bound = []
    for position, endpoint in enumerate(plan.endpoints):
        try:
            descriptor = descriptors.get((plan.key, position))
            if descriptor is not None:
                bound.append(use_descriptor(socket, descriptor))
            elif endpoint.binds:
                socket.bind(_bindable(endpoint, bool(socket.get(zmq.IPV6))))
                bound.append(last_endpoint(socket))
            else:
                _check_name(endpoint)
                socket.connect(endpoint.address)
        except (zmq.ZMQError, OSError) as error:
            verb = "bind" if endpoint.binds else "connect"
            raise StartError(f"cannot {verb} {endpoint.address} ({device} {plan.key}): {_reason(error)}") from error
    return bound


def adjust(socket: RelaySocket, plan: SocketPlan, settings: DeviceSettings, change: Adjustment) -> None:
    """Tell a running `socket` of a `change`. Does not yield.

    :param plan: what the socket is to be from now on. :param settings: the device's from now on.
    """
    # Whoever chose a linger for this socket alone keeps it.
    if zmq.LINGER not in settings.socket_options.get(plan.key, {}):
        socket.set(zmq.LINGER, settings.linger_ms)
    if plan.type == zmq.SUB and plan.key != CONTROL:
        for prefix in change.subscribe:
            socket.set(zmq.SUBSCRIBE, prefix)
        for prefix in change.unsubscribe:
            socket.set(zmq.UNSUBSCRIBE, prefix)
    # Whatever these calls may have taken of the socket's news is told to whoever waits for it.
    socket.readiness.check_events()


def unbind(socket: RelaySocket, addresses: list[str]) -> None:
    """Stop `socket` listening at each of `addresses`; what has come in can still be read. Does not yield."""
    for address in addresses:
        try:
            socket.unbind(address)
        except zmq.ZMQError as error:
            # An endpoint that has gone already needs no unbinding.
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise


def _set_options(socket: RelaySocket, plan: SocketPlan, settings: DeviceSettings) -> None:
    # What these send is subscriptions, and libzmq drops what is above SNDHWM of them without a word (xsub_t).
    socket.set(zmq.SNDHWM, 0 if plan.type in RECEIVE_ONLY else settings.sndhwm)
    socket.set(zmq.RCVHWM, settings.rcvhwm)
    socket.set(zmq.LINGER, settings.linger_ms)
    socket.set(zmq.IPV6, settings.ipv6 or any("[" in (endpoint.host or "") for endpoint in plan.endpoints))
    # Bytes that are not ZMTP would pass for ZMTP 1.0, which has no greeting, and come out as messages. libzmq refuses
    # ZMTP 1.0 and 2.0 (libzmq before 4.0) where a ZAP domain is set, and with no ZAP handler that is all it does.
    socket.set(zmq.ZAP_DOMAIN, b"geventrelay")
    # With libzmq's own 100, a burst of connects makes clients wait a second and more for TCP to try again.
    socket.set(zmq.BACKLOG, 1024)
    if settings.max_message_size_bytes is not None:
        socket.set(zmq.MAXMSGSIZE, settings.max_message_size_bytes)
    if settings.heartbeat_ms:
        _set_heartbeat(socket, settings.heartbeat_ms)
    if plan.type == zmq.PUSH:
        # A connection that is still being made is nobody's queue: wait for, or count, a peer that is there. Not for
        # sockets that also receive: when such a connection ends, libzmq discards what has come in and is not read yet.
        socket.set(zmq.IMMEDIATE, 1)
    if plan.type == zmq.ROUTER:
        # So that a reply that cannot be routed is reported, and counted, rather than dropped in silence.
        socket.set(zmq.ROUTER_MANDATORY, 1)
    for option, value in plan.options:
        socket.set(option, value)
    # Last, so that they win.
    for number, value in settings.socket_options.get(plan.key, {}).items():
        _set_option(socket, plan, settings.name, number, value)


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
    socket.set(zmq.TCP_KEEPALIVE_CNT, _PROBES)


def _bindable(endpoint: Endpoint, ipv6: bool) -> str:
    """The endpoint's address in a form that libzmq binds."""
    if endpoint.transport == "ipc":
        _check_ipc_is_free(endpoint.address[len("ipc://") :])
    host = endpoint.host
    if host is None or host == "*" or host.startswith("[") or _is_interface(host):
        return endpoint.address
    # zmq_tcp(7): a name that is no interface's is not resolved for binding.
    family = stdlib_socket.AF_UNSPEC if ipv6 else stdlib_socket.AF_INET
    address = green_socket.getaddrinfo(host, None, family, stdlib_socket.SOCK_STREAM)[0][4][0]
    return f"tcp://[{address}]:{endpoint.port}" if ":" in str(address) else f"tcp://{address}:{endpoint.port}"


def _is_interface(host: str) -> bool:
    return any(host == name for _, name in stdlib_socket.if_nameindex())


def _check_name(endpoint: Endpoint) -> None:
    # libzmq resolves in its io thread, where a name that does not exist is retried for ever without a word.
    if endpoint.host is not None:
        green_socket.getaddrinfo(endpoint.host.strip("[]"), None)


def _check_ipc_is_free(path: str) -> None:
    """Refuse a path that is in use: libzmq would unlink whatever is there, without a word."""
    if path.startswith("@") or not os.path.lexists(path):
        return
    if not _is_socket(path):
        raise OSError(errno.EEXIST, "there is a file of that name which is not a socket")
    if _somebody_listens(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def remove_ipc_files(addresses: list[str]) -> None:
    """Remove the files of closed ipc sockets, which libzmq leaves behind. Does not yield; what fails is left there.

    :param addresses: what had been bound; other transports, and files on which somebody listens, are passed over.
    """
    for address in addresses:
        path = address.removeprefix("ipc://")
        if path != address and not path.startswith("@") and _is_socket(path) and not _somebody_listens(path):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _somebody_listens(path: str) -> bool:
    with stdlib_socket.socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM) as probe:
        # A listener whose backlog is full is one all the same, and nothing to wait for.
        probe.setblocking(False)
        return probe.connect_ex(path) in (0, errno.EAGAIN, errno.EINPROGRESS)


def _reason(error: zmq.ZMQError | OSError) -> str:
    if isinstance(error, stdlib_socket.gaierror):
        return f"no such host or interface ({error.strerror})"
    # pyzmq adds the address to strerror, where it stands in our sentence already.
    return zmq.strerror(error.errno or 0) if isinstance(error, zmq.ZMQError) else str(error.strerror)
