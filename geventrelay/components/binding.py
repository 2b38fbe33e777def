"""Listening sockets of our own, for the engine that speaks ZMTP itself: tcp and ipc, or bound by another program."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket as stdlib_socket
import struct
from dataclasses import dataclass
from typing import Any

from ..endpoints import Endpoint
from ..engine import descriptors
from ..switch.dialler import unix_address
from ..switch.transport import PlainSocket, Transport
from .endpoints import resolved
from .ipc_files import IpcFile, check_is_free, file_of
from .listeners import listening_address
from .private_folders import private_folder

_NEEDED = 2
_SIOCGIFADDR = 0x8915
_IFREQ = struct.Struct("16s16x")


@dataclass(slots=True)
class Binding:
    """A listening socket and what has to be put away with it.

    :ivar socket: it does not block. Closing it is the caller's business.
    :ivar address: where it listens, as an endpoint is written.
    """

    socket: Any
    address: str
    file: IpcFile | None = None
    folder: str | None = None

    def put_away(self) -> None:
        """Remove the file of an ipc endpoint, once its socket is closed. Does not yield; may be called twice."""
        if self.file is not None:
            self.file.remove()
            self.file = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def inherited(descriptor: int, transport: Transport) -> Binding:
    """A listening socket that another program has bound; it stays its owner's, and this is a copy. Does not yield.

    :param descriptor: the socket.
    :param transport: how its connections are set up.
    :raises OSError: if there is no descriptor for a copy.
    """
    socket = PlainSocket(fileno=os.dup(descriptor))
    transport.prepare(socket)
    return Binding(socket, listening_address(descriptor))


def bind(endpoint: Endpoint, transport: Transport, *, ipv6: bool, backlog: int) -> Binding:
    """Listen at `endpoint`. Yields while a name resolves.

    :param endpoint: tcp or ipc.
    :param transport: how connections are set up.
    :param ipv6: whether ``*`` is every address of IPv6 too, and IPv6 goes first for names that have both.
    :param backlog: how many connections may wait to be accepted.
    :raises OSError: what stands in the way.
    """
    if endpoint.transport == "ipc":
        return _bind_ipc(endpoint, transport, backlog)
    family, host = _host(endpoint.host or "*", ipv6)
    port = 0 if endpoint.port == "*" else int(endpoint.port or 0)
    descriptors.require(_NEEDED)
    socket = PlainSocket(family, stdlib_socket.SOCK_STREAM)
    try:
        socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
        if family == stdlib_socket.AF_INET6:
            socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 0)
        transport.prepare(socket)
        socket.bind((host, port) if family == stdlib_socket.AF_INET else _scoped(host, port))
        socket.listen(backlog)
        return Binding(socket, listening_address(socket.fileno()))
    except BaseException:
        socket.close()
        raise


def _bind_ipc(endpoint: Endpoint, transport: Transport, backlog: int) -> Binding:
    descriptors.require(_NEEDED)
    folder = None
    if endpoint.is_wildcard:
        folder = private_folder()
        endpoint = Endpoint(f"ipc://{folder}/socket")
    path = file_of(endpoint.address)
    if path is not None:
        check_is_free(path)
    file = None if path is None else IpcFile(path)
    socket = None
    try:
        socket = PlainSocket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
        transport.prepare(socket)
        if path is not None:
            # It is free, so no program has what a dead one has left there.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        socket.bind(unix_address(endpoint))
        socket.listen(backlog)
    except BaseException:
        if socket is not None:
            socket.close()
        Binding(None, "", None, folder).put_away()
        if file is not None:
            file.leave()
        raise
    return Binding(socket, endpoint.address, file, folder)


def _host(host: str, ipv6: bool) -> tuple[int, str]:
    """The family and address to bind for the `host` of an endpoint. Yields while a name resolves."""
    if host == "*":
        return (stdlib_socket.AF_INET6, "::") if ipv6 else (stdlib_socket.AF_INET, "0.0.0.0")
    if host.startswith("["):
        return stdlib_socket.AF_INET6, host.strip("[]")
    own = _address_of_interface(host)
    if own is not None:
        return stdlib_socket.AF_INET, own
    found = resolved(host)
    wants_6 = ipv6 and next(iter(found)) == stdlib_socket.AF_INET6
    family = stdlib_socket.AF_INET if stdlib_socket.AF_INET in found and not wants_6 else stdlib_socket.AF_INET6
    return family, found[family]


def _scoped(host: str, port: int) -> tuple[str, int, int, int]:
    """Where to bind `host`, an address of IPv6 that may name its interface: ``fe80::1%eth0``."""
    address, _, scope = host.partition("%")
    number = int(scope) if scope.isdecimal() else stdlib_socket.if_nametoindex(scope) if scope else 0
    return address, port, 0, number


def _address_of_interface(name: str) -> str | None:
    """The IPv4 address of the network interface `name`; None if there is no such one."""
    if all(name != one for _, one in stdlib_socket.if_nameindex()):
        return None
    with PlainSocket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) as socket:
        try:
            answer = fcntl.ioctl(socket.fileno(), _SIOCGIFADDR, _IFREQ.pack(name.encode()) + bytes(8))
        except OSError as error:
            raise OSError(error.errno or errno.ENODEV, "the interface has no IPv4 address") from None
    return stdlib_socket.inet_ntoa(answer[20:24])
