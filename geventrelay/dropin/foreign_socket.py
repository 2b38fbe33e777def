"""A socket of the caller's, as a pump sees it."""

from __future__ import annotations

import os
from typing import Any

import zmq
import zmq.green
from gevent.hub import get_hub

from ..engine.readiness import Readiness
from ..engine.socket import replace_watcher, watcher_of


class _PairedWatcher:
    """A green socket's own watcher and ours of the same descriptor, in the place of the first: its close stops both.

    Otherwise ours would be left when the descriptor goes, and the next socket that is made may get its number. libuv
    takes that for a descriptor that it polls already, and never reports the new one.
    """

    __slots__ = ("_ours", "owners")

    def __init__(self, owners: Any, ours: Any) -> None:
        self.owners = owners
        self._ours = ours

    def stop(self) -> None:
        self.owners.stop()
        self._ours.stop()

    def close(self) -> None:
        self.owners.close()
        self._ours.close()


class ForeignSocket:
    """A socket that goes on belonging to its caller, green or plain, with the readiness that a pump needs.

    From `watch` until `give_back`, only the pump may read or write the socket. Closing it is fine, but a greenlet that
    waits here does not wake up from that: pyzmq does not report that a socket has been closed, so look at `raw.closed`.

    :param socket: any `zmq.Socket`; it is in `raw` from then on.
    :ivar readiness: how a pump waits for it.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.raw = socket
        self.readiness = Readiness(socket)
        # XPUB_NODROP cannot be read back; where it is off, no greenlet ever waits for these to become writable.
        self.readiness.pollout_always_set = socket.type in (zmq.XPUB, zmq.PUB)
        # A plain socket's descriptor goes when its owner closes it, and its number may be another's by the time that we
        # look; libuv would then watch neither of the two. So it gets a descriptor of our own. A green socket does not,
        # for it watches its descriptor too: of two descriptors, the one that is reported first takes the edge from the
        # other, while two watchers of one descriptor are called together.
        green = isinstance(socket, zmq.green.Socket)
        self._own_descriptor: int | None = None if green else os.dup(socket.fileno())
        self._both: _PairedWatcher | None = None

    def watch(self) -> None:
        """Watch the socket until `give_back`, which is to be called even if this raises. Does not yield."""
        socket: Any = self.raw
        descriptor = socket.fileno() if self._own_descriptor is None else self._own_descriptor
        self.readiness.watcher = get_hub().loop.io(descriptor, 1)
        self.readiness.watcher.start(self.readiness.on_edge)
        if self._own_descriptor is None:
            self._both = _PairedWatcher(watcher_of(socket), self.readiness.watcher)
            replace_watcher(socket, self._both)

    def give_back(self) -> None:
        """Stop watching the socket, which is left as it is. Does not yield.

        Does nothing the second time; if a KeyboardInterrupt has ended it, the second call does the rest.
        """
        socket: Any = self.raw
        # A socket that was closed meanwhile has none any more.
        if self._both is not None and watcher_of(socket) is self._both:
            replace_watcher(socket, self._both.owners)
        self.readiness.stop_watching()
        descriptor, self._own_descriptor = self._own_descriptor, None
        if descriptor is not None:
            os.close(descriptor)
