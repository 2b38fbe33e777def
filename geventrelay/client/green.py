"""How a greenlet waits. It imports gevent, and is imported only where a context of `zmq.green` is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gevent
import zmq
from gevent.select import select


class GreenWait:
    """With gevent's hub, so that all other greenlets run meanwhile."""

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> None:
        """Return when one of `sockets` is readable, or after `timeout_s` seconds. Yields to the hub."""
        # A descriptor of ZeroMQ is readable only until one has asked, which a send does too. So ask before.
        if not any(socket.get(zmq.EVENTS) & zmq.POLLIN for socket in sockets):
            select([socket.get(zmq.FD) for socket in sockets], [], [], max(0.0, timeout_s))

    def let_others_run(self) -> None:
        """Let every other greenlet run: messages that are there already are handed out without a wait. Yields."""
        gevent.sleep(0)
