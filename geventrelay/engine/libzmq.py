"""What has to be known about libzmq in many places, said once: faults that mean an end, names, addresses, contexts."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

# gevent imports the pool when it is asked for one, and without a free descriptor `terminate` could not have it then.
import gevent.threadpool  # noqa: F401
import zmq
from gevent.hub import get_hub

# ZMQ_TOPICS_COUNT, which pyzmq does not name (libzmq 4.3.5 on).
_TOPICS_COUNT = 116
_GONE = (zmq.ENOTSOCK, zmq.ETERM)

_numbers = itertools.count()


def is_gone(error: zmq.ZMQError) -> bool:
    """Whether `error` says that the socket was closed (ENOTSOCK) or its context terminated (ETERM). Does not yield."""
    return error.errno in _GONE


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """Run a ``with`` block, and leave it quietly where a socket or its context has gone; see `is_gone`.

    :raises zmq.ZMQError: any other one that the block raises.
    """
    try:
        yield
    except zmq.ZMQError as error:
        if not is_gone(error):
            raise


def unique_inproc(what: str) -> str:
    """An inproc address that this process has not used before. Does not yield.

    :param what: what it is for, as a word; part of the address.
    """
    return f"inproc://geventrelay-{what}-{next(_numbers)}"


def last_endpoint(socket: zmq.Socket[Any]) -> str:
    """Where `socket` was bound or connected last; empty if it was not. Does not yield.

    :raises zmq.ZMQError: if the socket or its context has gone.
    """
    return bytes(socket.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode(errors="surrogateescape")


def topics_count(socket: zmq.Socket[Any]) -> int:
    """How many topics the peers of `socket`, a PUB or XPUB, have subscribed to; 0 if unknown. Does not yield."""
    try:
        # Not the green socket's own: it would look for news each time.
        return int(zmq.Socket.get(socket, _TOPICS_COUNT))
    except zmq.ZMQError:
        return 0


def encoded(address: str | bytes) -> Any:
    """An `address` as pyzmq takes it: it encodes text by itself, but not the bytes of a path that are not UTF-8."""
    if isinstance(address, bytes):
        return address
    try:
        address.encode()
    except UnicodeEncodeError:
        return address.encode(errors="surrogateescape")
    return address


def terminate(context: zmq.Context[Any]) -> None:
    """Terminate `context`: yields until its last socket has been closed and has delivered what lingers.

    zmq_ctx_term(3) blocks the thread that calls it, if only for a moment, so this is done in the hub's thread pool.
    """
    get_hub().threadpool.apply(context.term)
