"""Accepts connections at one listening socket."""

from __future__ import annotations

import errno
import socket as stdlib_socket
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from ..engine import descriptors
from .transport import PlainSocket, Transport, reset

_READ = 1
_AT_A_TIME = 16
_PAUSE_S = 0.1
_GONE = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})


class Listener:
    """Takes a few connections in each round of the loop, and none while too few descriptors are free.

    :param socket: it listens, and does not block. It is closed with this.
    :param address: where that is, as an endpoint is written.
    :param transport: how to set up a connection.
    :param on_accept: gets each connection.
    :param on_few: is called when too few descriptors are free: True if a connection was ended at once, False if none
        is free, so that connections wait.
    :param later: calls a function after so many seconds.
    """

    def __init__(
        self,
        socket: Any,
        address: str,
        transport: Transport,
        on_accept: Callable[[Any], None],
        on_few: Callable[[bool], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        loop: Any = get_hub().loop
        self.address = address
        self._socket = socket
        self._transport = transport
        self._on_accept = on_accept
        self._on_few = on_few
        self._later = later
        self._watcher: Any = loop.io(socket.fileno(), _READ)

    def start(self) -> None:
        """Accept connections from now on. Does not yield; nothing happens once it is closed."""
        if self._watcher is not None:
            self._watcher.start(self._accept)

    def close(self) -> None:
        """Stop listening. Does not yield; may be called twice."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
            self._socket.close()

    def _accept(self) -> None:
        spare = descriptors.free() - descriptors.RESERVE
        for _ in range(_AT_A_TIME):
            try:
                connection = _accepted(self._socket)
            except OSError as error:
                if error.errno not in _GONE:
                    # Without a free descriptor, the connection goes on waiting and so would wake the hub all the time.
                    self._watcher.stop()
                    self._later(_PAUSE_S, self.start)
                    self._on_few(False)
                return
            spare -= 1
            if spare < 0:
                reset(connection)
                self._on_few(True)
                continue
            try:
                self._transport.finish(connection)
            except OSError:
                # It is gone again.
                connection.close()
                continue
            self._on_accept(connection)


def _accepted(socket: Any) -> Any:
    connection, _ = socket.accept()
    # In a program that is monkey-patched, it is gevent's.
    return PlainSocket(socket.family, stdlib_socket.SOCK_STREAM, 0, connection.detach())
