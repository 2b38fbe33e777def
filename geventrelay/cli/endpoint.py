"""The endpoint of a command that watches or sends messages: read from an argument, and opened."""

from __future__ import annotations

import zmq

from ..components.endpoints import bind, connect, reason
from ..endpoints import Endpoint
from ..engine.libzmq import last_endpoint
from ..engine.socket import RelaySocket
from ..errors import SettingsError, StartError
from .output import print_stderr


def read_endpoint(name: str, text: str) -> Endpoint:
    """Read an endpoint to connect to, or to bind with an @ before it.

    :param name: its name in an error.
    :param text: what the user wrote.
    :raises SettingsError: for anything else.
    """
    try:
        found = Endpoint.parse(text if text.startswith(("@", ">")) else ">" + text, name=name, interface="127.0.0.1")
    except SettingsError as error:
        raise SettingsError(name, error.rule, text) from None
    if found.transport == "inproc":
        # No one else is in this process. A socket that waits there for another one would not even close: libzmq then
        # destroys it with its context alone.
        raise SettingsError(name, "tcp:// or ipc:// (inproc is within one process)", text)
    return found


def attach(socket: RelaySocket, endpoint: Endpoint) -> None:
    """Bind or connect `socket` as `endpoint` says; prints the address if the system chooses it. Yields.

    :raises StartError: if that fails.
    """
    verb = "bind" if endpoint.binds else "connect"
    try:
        if endpoint.binds:
            bind(socket, endpoint)
        else:
            connect(socket, endpoint)
    except (zmq.ZMQError, OSError) as error:
        raise StartError(f"cannot {verb} {endpoint.address}: {reason(error)}") from None
    if endpoint.binds and endpoint.is_wildcard:
        print_stderr(f"bound to {last_endpoint(socket)}")
