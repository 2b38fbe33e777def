"""Closes sockets and waits, in greenlets, until libzmq has let go of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import zmq

from .socket import RelaySocket

_names = itertools.count()


def close(sockets: Iterable[RelaySocket], linger_ms: int | None) -> None:
    """Close `sockets` and yield until each has delivered what lingers and its addresses are free again.

    zmq_close(3) returns at once and leaves all that to a thread of libzmq's. The last word of a socket's monitor
    (ZMQ_EVENT_MONITOR_STOPPED) tells that it is done, which otherwise only the end of the whole context does, for which
    one would have to block.

    :param sockets: without a monitor by now; those that are closed already are passed over.
    :param linger_ms: how long to go on delivering what is queued, in ms; None leaves each socket's option as it is.
    """
    endings = [_close(socket, linger_ms) for socket in sockets if not socket.closed]
    for ending in endings:
        if ending is not None:
            _wait_for(ending)


def _close(socket: RelaySocket, linger_ms: int | None) -> RelaySocket | None:
    ending = None
    try:
        ending = _monitor(socket)
    except zmq.ZMQError as error:
        # The context has gone, and closed it in its own way.
        if error.errno != zmq.ETERM:
            raise
    finally:
        socket.close(linger_ms)
    return ending


def _monitor(socket: RelaySocket) -> RelaySocket:
    address = f"inproc://geventrelay-closing-{next(_names)}"
    socket.monitor(address, zmq.EVENT_MONITOR_STOPPED)
    ending: RelaySocket = socket.context.socket(zmq.PAIR, socket_class=RelaySocket)
    ending.connect(address)
    return ending


def _wait_for(ending: RelaySocket) -> None:
    try:
        # The only event there is.
        while not ending.readable:
            ending.wait_readable()
    except zmq.ZMQError as error:
        if error.errno != zmq.ETERM:
            raise
    finally:
        ending.close(0)
