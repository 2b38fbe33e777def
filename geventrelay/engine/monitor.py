"""Closes sockets and waits, in greenlets, until libzmq has let go of them.

The last word of a socket's monitor (ZMQ_EVENT_MONITOR_STOPPED) tells that it is done, and has to be heard: libzmq sends
a monitor's events with a zmq_msg_send(3) that waits, from threads that all sockets of the context share. If the pair of
sockets by which events come is closed at our end before that, the first event to come keeps its thread waiting for
ever, and everything stands still.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from typing import Any

import gevent
import zmq

from .socket import RelaySocket

_EVENT = struct.Struct("=Hi")
_names = itertools.count()


def close(sockets: Iterable[RelaySocket], linger_ms: int | None) -> None:
    """Close `sockets` and yield until each has delivered what lingers and its addresses are free again.

    zmq_close(3) returns at once and leaves all that to a thread of libzmq's. Without a monitor, only the end of the
    whole context would tell, for which one would have to block.

    :param sockets: without a monitor by now; those that are closed already are passed over.
    :param linger_ms: how long to go on delivering what is queued, in ms; None leaves each socket's option as it is.
    """
    gevent.joinall([heard for socket in sockets if not socket.closed for heard in _close(socket, linger_ms)])


def close_after_stopped(events: RelaySocket) -> gevent.Greenlet[..., None]:
    """Close our end of a monitor as soon as its last word has come. Does not yield, and returns who waits for it.

    :param events: the PAIR that gets the events, EVENT_MONITOR_STOPPED among them, of a socket that has been closed.
    """
    return gevent.spawn(_close_after_stopped, events)


def _close(socket: RelaySocket, linger_ms: int | None) -> list[Any]:
    events = None
    try:
        events = _monitor(socket)
    except zmq.ZMQError as error:
        # The context has gone, and closed it in its own way.
        if error.errno != zmq.ETERM:
            raise
    finally:
        socket.close(linger_ms)
    # In a greenlet of its own: whoever waits for it may be killed.
    return [] if events is None else [close_after_stopped(events)]


def _monitor(socket: RelaySocket) -> RelaySocket:
    address = f"inproc://geventrelay-closing-{next(_names)}"
    events: RelaySocket = socket.context.socket(zmq.PAIR, socket_class=RelaySocket)
    try:
        socket.monitor(address, zmq.EVENT_MONITOR_STOPPED)
        events.connect(address)
    except BaseException:
        events.close(0)
        raise
    return events


def _close_after_stopped(events: RelaySocket) -> None:
    last = 0
    try:
        while last != zmq.EVENT_MONITOR_STOPPED:
            events.wait_readable()
            while events.readable:
                last = _EVENT.unpack(events.readiness.receive()[0].bytes)[0]
    except zmq.ZMQError as error:
        if error.errno != zmq.ETERM:
            raise
    finally:
        events.close(0)
