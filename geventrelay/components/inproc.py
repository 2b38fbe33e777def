"""Connects sockets over inproc again when the device that binds comes back: libzmq never does that by itself.

Only sockets of one context can meet (zmq_inproc(7)), and only those of one hub are known here: no socket may be used in
two threads. A socket that connects before the address is bound needs nothing: libzmq joins the two at the bind.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import zmq
from gevent.hub import get_hub

from ..engine import fork as fork
from ..engine.libzmq import unless_gone
from ..engine.socket import RelaySocket

_Place = tuple[int, Any, int, str]


@dataclass(slots=True)
class _Link:
    socket: RelaySocket
    cut: bool = False


# Those that connect, by where: which process, which hub, which context, which address.
_links: dict[_Place, list[_Link]] = {}


def connect(socket: RelaySocket, address: str) -> None:
    """Connect `socket` to the inproc `address`, and again each time that it is bound anew, until `forget`.

    Does not yield.

    :raises zmq.ZMQError: if libzmq refuses it.
    """
    socket.connect(address)
    _links.setdefault(_place(socket, address), []).append(_Link(socket))


def forget(socket: RelaySocket, address: str) -> None:
    """Connect `socket` no more to `address`: it is about to be closed. Does not yield; may be called twice."""
    place = _place(socket, address)
    left = [link for link in _links.pop(place, ()) if link.socket is not socket]
    if left:
        _links[place] = left


def bound(socket: RelaySocket, address: str) -> None:
    """Connect those again that were cut off, now that `socket` is bound to `address`. Does not yield."""
    for link in _links.get(_place(socket, address), ()):
        if link.cut:
            link.cut = False
            with unless_gone():
                link.socket.connect(address)
                # Its pump may wait for a peer, and a connect in this thread makes no edge.
                link.socket.readiness.check_events()


def unbind(socket: RelaySocket, address: str) -> None:
    """Free `address`, to which `socket` is bound, and cut off those that connect: they send no more.

    What they had sent can still be read. Does not yield; may be called twice.
    """
    for link in _links.get(_place(socket, address), ()):
        if not link.cut:
            link.cut = True
            _disconnect(link.socket, address)
    with contextlib.suppress(zmq.ZMQError):
        # ENOENT: it is free already.
        socket.unbind(address)


def _disconnect(socket: RelaySocket, address: str) -> None:
    with contextlib.suppress(zmq.ZMQError):
        # ENOENT: libzmq has noticed by itself. ETERM, ENOTSOCK: its own greenlet reports that.
        socket.disconnect(address)
        socket.readiness.check_events()


def _place(socket: RelaySocket, address: str) -> _Place:
    return fork.current(), get_hub(), int(socket.context.underlying), address
