"""What a test must not leave behind: open sockets and contexts, running devices and greenlets."""

from __future__ import annotations

import gc

import gevent
import zmq
from zmq.utils.garbage import gc as zmq_garbage

from geventrelay import Device, State


def leftovers() -> list[object]:
    """Everything of that kind that is alive in this process."""
    return [one for one in gc.get_objects() if _is_alive(one)]


def clean_up(found: list[object]) -> None:
    """End what a test left, so that the next test does not suffer from it."""
    for one in found:
        if isinstance(one, gevent.Greenlet):
            one.kill()
    for kind, method in ((Device, lambda one: one.stop(0)), (zmq.Socket, lambda one: one.close(0))):
        for one in found:
            if isinstance(one, kind):
                method(one)
    for one in found:
        if isinstance(one, zmq.Context):
            gevent.get_hub().threadpool.apply(one.term)


def _is_alive(one: object) -> bool:
    # type() rather than isinstance(): a weak proxy among the objects must not be followed.
    kind = type(one)
    if issubclass(kind, gevent.Greenlet):
        return not one.dead
    # pyzmq frees large bodies that were sent without a copy in a thread of its own, with a context and a socket that
    # it never closes.
    if issubclass(kind, zmq.Socket):
        return not one.closed and one.context is not zmq_garbage._context
    if issubclass(kind, zmq.Context):
        return not one.closed and one is not zmq_garbage._context
    return issubclass(kind, Device) and one.state not in (State.STOPPED, State.FAILED)
