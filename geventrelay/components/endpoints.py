"""Binds a socket at an endpoint, connects it to one, and stops listening."""

from __future__ import annotations

import errno
import socket as stdlib_socket

import zmq
from gevent import socket as green_socket

from ..endpoints import Endpoint
from ..engine import descriptors
from ..engine.libzmq import last_endpoint
from ..engine.socket import RelaySocket
from .ipc_files import check_is_free, file_of

# To look up an address takes a socket or two, and without one libzmq aborts the process (ip_resolver.cpp). The others
# are for what io threads and the hub do meanwhile.
_NEEDED = 6


def bind(socket: RelaySocket, endpoint: Endpoint) -> str:
    """Bind `socket` at `endpoint`, and return the address that it got. Yields while a name resolves.

    :raises zmq.ZMQError: if libzmq refuses it.
    :raises OSError: if there is no such host, or something else is in the way.
    """
    descriptors.require(_NEEDED)
    path = file_of(endpoint.address)
    if path is not None:
        check_is_free(path)
    address = _bindable(endpoint, bool(socket.get(zmq.IPV6)))
    # Other devices may have taken theirs while the name was resolved.
    descriptors.require(_NEEDED)
    socket.bind(address)
    return last_endpoint(socket)


def connect(socket: RelaySocket, endpoint: Endpoint) -> None:
    """Connect `socket` to `endpoint`; libzmq goes on trying. Yields while a name resolves.

    :raises zmq.ZMQError: if libzmq refuses it.
    :raises OSError: if there is no such host.
    """
    descriptors.require(_NEEDED)
    if needs_ipv6(endpoint):
        socket.over_ipv6.add(endpoint.address)
    socket.connect(endpoint.address)


def needs_ipv6(endpoint: Endpoint) -> bool:
    """Whether only IPv6 reaches the host that `endpoint` connects to. Yields while a name resolves.

    :raises OSError: if there is no such host.
    """
    # libzmq resolves in its io thread, where a name without an address of the family that it asks for is retried for
    # ever without a word (ip_resolver.cpp).
    return endpoint.host is not None and not resolved(endpoint.host).get(stdlib_socket.AF_INET)


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
    # Python's own errors have none.
    return zmq.strerror(error.errno or 0) if isinstance(error, zmq.ZMQError) else str(error.strerror or error)


def _bindable(endpoint: Endpoint, ipv6: bool) -> str:
    """The endpoint's address in a form that libzmq binds."""
    host = endpoint.host
    if host is None or host == "*" or host.startswith("[") or _is_interface(host):
        return endpoint.address
    # zmq_tcp(7): a name that is no interface's is not resolved for binding.
    found = resolved(host)
    address = found.get(stdlib_socket.AF_INET)
    if address is None or (ipv6 and next(iter(found)) == stdlib_socket.AF_INET6):
        return f"tcp://[{found[stdlib_socket.AF_INET6]}]:{endpoint.port}"
    return f"tcp://{address}:{endpoint.port}"


def resolved(host: str) -> dict[int, str]:
    """The first address of each family that `host` has, in the resolver's order, which is of at least one. Yields."""
    found: dict[int, str] = {}
    try:
        for family, *_, address in green_socket.getaddrinfo(host.strip("[]"), None, type=stdlib_socket.SOCK_STREAM):
            found.setdefault(family, str(address[0]))
    except UnicodeError:
        # An endpoint that was made, and not read from text, is not checked.
        raise OSError(errno.EINVAL, "no host name") from None
    return found


def _is_interface(host: str) -> bool:
    return any(host == name for _, name in stdlib_socket.if_nameindex())
