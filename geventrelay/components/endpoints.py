"""Binds a socket at an endpoint, connects it to one, and stops listening."""

from __future__ import annotations

import errno
import socket as stdlib_socket

import zmq
from gevent import socket as green_socket

from ..endpoints import Endpoint
from ..engine.libzmq import last_endpoint
from ..engine.socket import RelaySocket
from .ipc_files import check_is_free, file_of


def bind(socket: RelaySocket, endpoint: Endpoint) -> str:
    """Bind `socket` at `endpoint`, and return the address that it got. Yields while a name resolves.

    :raises zmq.ZMQError: if libzmq refuses it.
    :raises OSError: if there is no such host, or something else is in the way.
    """
    path = file_of(endpoint.address)
    if path is not None:
        check_is_free(path)
    socket.bind(_bindable(endpoint, bool(socket.get(zmq.IPV6))))
    return last_endpoint(socket)


def connect(socket: RelaySocket, endpoint: Endpoint) -> None:
    """Connect `socket` to `endpoint`; libzmq goes on trying. Yields while a name resolves.

    :raises zmq.ZMQError: if libzmq refuses it.
    :raises OSError: if there is no such host.
    """
    # libzmq resolves in its io thread, where a name that does not exist is retried for ever without a word.
    if endpoint.host is not None:
        green_socket.getaddrinfo(endpoint.host.strip("[]"), None)
    socket.connect(endpoint.address)


def unbind(socket: RelaySocket, addresses: list[str]) -> None:
    """Stop `socket` listening at each of `addresses`; what has come in can still be read. Does not yield."""
    for address in addresses:
        try:
            socket.unbind(address)
        except zmq.ZMQError as error:
            # An endpoint that has gone already needs no unbinding.
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise


def reason(error: zmq.ZMQError | OSError) -> str:
    """Why a call failed with `error`, for the end of a sentence. Does not yield."""
    if isinstance(error, stdlib_socket.gaierror):
        return f"no such host or interface ({error.strerror})"
    # pyzmq adds the address to strerror, where it stands in our sentence already.
    return zmq.strerror(error.errno or 0) if isinstance(error, zmq.ZMQError) else str(error.strerror)


def _bindable(endpoint: Endpoint, ipv6: bool) -> str:
    """The endpoint's address in a form that libzmq binds."""
    host = endpoint.host
    if host is None or host == "*" or host.startswith("[") or _is_interface(host):
        return endpoint.address
    # zmq_tcp(7): a name that is no interface's is not resolved for binding.
    family = stdlib_socket.AF_UNSPEC if ipv6 else stdlib_socket.AF_INET
    address = green_socket.getaddrinfo(host, None, family, stdlib_socket.SOCK_STREAM)[0][4][0]
    return f"tcp://[{address}]:{endpoint.port}" if ":" in str(address) else f"tcp://{address}:{endpoint.port}"


def _is_interface(host: str) -> bool:
    return any(host == name for _, name in stdlib_socket.if_nameindex())
