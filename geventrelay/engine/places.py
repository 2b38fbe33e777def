"""How a pump waits for the first of several places where a message can go: sockets, and the gates before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gevent import getcurrent
from gevent.hub import get_hub

from .outlet import Outlet


def wait_for_one(places: Sequence[Outlet]) -> None:
    """Yield to the hub until one of `places` is worth another try, or return at once if one is. May return early.

    A place whose gate is shut is waited for at the gate alone: its socket may be writable all the time.
    """
    shut = [one.gate for one in places if one.gate is not None and one.is_shut]
    sockets = [one.socket for one in places if not one.is_shut]
    if any(one.writable for one in sockets):
        return
    greenlet: Any = getcurrent()
    hub: Any = get_hub()
    waits = True

    def go_on() -> None:
        # It may have gone on by other means since the hub was asked to do this.
        if waits:
            greenlet.switch()

    def opened() -> None:
        hub.loop.run_callback(go_on)

    try:
        for gate in shut:
            gate.listeners.append(opened)
        for socket in sockets:
            socket.add_writer(greenlet)
        hub.switch()
    finally:
        waits = False
        for gate in shut:
            gate.listeners.remove(opened)
        for socket in sockets:
            socket.remove_writer(greenlet)
