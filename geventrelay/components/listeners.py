"""Listening sockets that another process has bound, for example systemd, and that libzmq gets by ZMQ_USE_FD."""

from __future__ import annotations

import os
import socket as stdlib_socket

import zmq

from ..engine.libzmq import last_endpoint
from ..engine.socket import RelaySocket


def listening_address(descriptor: int) -> str:
    """Where a `descriptor` listens, as an endpoint is written; empty if ZeroMQ cannot listen on it. Does not yield."""
    try:
        # A copy, which may be closed here without harm.
        with stdlib_socket.socket(fileno=os.dup(descriptor)) as one:
            listens = one.type == stdlib_socket.SOCK_STREAM and one.getsockopt(
                stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ACCEPTCONN
            )
            name = one.getsockname()
            family = one.family
    except OSError:
        return ""
    if not listens:
        return ""
    if family == stdlib_socket.AF_UNIX:
        path = name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
        return "ipc://" + ("@" + path[1:] if path.startswith("\0") else path)
    if family == stdlib_socket.AF_INET6:
        scope = f"%{stdlib_socket.if_indextoname(name[3])}" if name[3] else ""
        return f"tcp://[{name[0]}{scope}]:{name[1]}"
    return f"tcp://{name[0]}:{name[1]}" if family == stdlib_socket.AF_INET else ""


def use_descriptor(socket: RelaySocket, descriptor: int) -> str:
    """Let `socket` listen on the listening socket `descriptor`. Does not yield.

    :returns: where that is.
    :raises zmq.ZMQError: if libzmq refuses it.
    :raises OSError: if there is no descriptor for a copy.
    """
    # libzmq closes the one that it gets; with a copy, the next start finds the original.
    copy = os.dup(descriptor)
    # A connection that is gone again when libzmq comes to accept it must not stop its io thread.
    os.set_blocking(copy, False)
    try:
        socket.set(zmq.USE_FD, copy)
        # The address says which transport it is; nothing is bound.
        socket.bind(listening_address(descriptor))
    except BaseException:
        os.close(copy)
        raise
    finally:
        socket.set(zmq.USE_FD, -1)
    return last_endpoint(socket)
