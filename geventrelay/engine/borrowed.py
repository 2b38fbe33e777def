"""Somebody else's socket, as a pump sees it."""

from __future__ import annotations

from typing import Any

import zmq

from .port import Port

# pyzmq tells nobody that a socket has been closed, so it has to be looked at now and then.
_CLOSED_LOOK_S = 0.1


class BorrowedPort(Port):
    """A pump's view of a socket that goes on belonging to its caller, green or plain.

    While it is borrowed, nobody else may read or write the socket; closing it is fine, and wakes whoever waits here.

    :param socket: any `zmq.Socket`.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.raw = socket
        self._set_up_port()
        # XPUB_NODROP cannot be read back; where it is off, nobody ever waits for these to become writable.
        self._pollout_lies = socket.type in (zmq.XPUB, zmq.PUB)
        loop = self._hub.loop
        self._watchers = (loop.io(socket.fileno(), 1), loop.timer(_CLOSED_LOOK_S, _CLOSED_LOOK_S))
        for watcher, action in zip(self._watchers, (self._on_edge, self._look_if_closed), strict=True):
            watcher.start(action)

    def give_back(self) -> None:
        """Stop watching the socket, which is left as it is. Does not yield."""
        self._stop_watching()

    def _stop_watching(self) -> None:
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()

    def _look_if_closed(self) -> None:
        if self.raw.closed:
            self._wake_both()
