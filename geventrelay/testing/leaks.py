"""Leaks of a test: open sockets and contexts, running devices and greenlets."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from zmq.utils.garbage import gc as zmq_garbage

from ..devices.device import Device
from ..devices.snapshot import State
from ..engine.libzmq import last_endpoint, terminate

# A greenlet that ends something, e.g. a failed device, may need a moment.
_MOMENT_S = 0.2
_KINDS = (gevent.Greenlet, zmq.Socket, zmq.Context, Device)


class Leftovers:
    """Finds every object of these kinds that was made after this one and is still alive.

    It searches all of Python's objects, so it does not matter how an object was made and which code holds it. pyzmq
    keeps a context and a socket of `zmq.utils.garbage` for ever, to free large bodies; they are not leaks.
    """

    def __init__(self) -> None:
        # The objects themselves, because a new object can get the id of an old one.
        self._before = _alive()

    def found(self) -> list[object]:
        """The leaks at this moment. Does not yield."""
        before = {id(one) for one in self._before}
        return [one for one in _alive() if id(one) not in before]

    def described(self) -> list[str]:
        """A text for each leak, after a short time in which objects may still end. Yields if there are leaks."""
        found, waited_s = self.found(), 0.0
        while found and waited_s < _MOMENT_S:
            gevent.sleep(0.005)
            found, waited_s = self.found(), waited_s + 0.005
        return [_describe(one) for one in found]

    def clean_up(self) -> None:
        """Close every leak, so that the next test is not affected. Yields."""
        found: list[Any] = self.found()
        # Devices first: they end their own greenlets and sockets.
        ends: tuple[tuple[type, Callable[[Any], object]], ...] = (
            (Device, lambda one: one.stop(0)),
            (gevent.Greenlet, lambda one: one.kill()),
            (zmq.Socket, lambda one: one.close(0)),
            (zmq.Context, terminate),
        )
        for kind, end in ends:
            for one in found:
                if isinstance(one, kind) and _is_alive(one):
                    end(one)


def open_sockets(context: object) -> list[object]:
    """Every open socket of `context`, except those that monitors make inside libzmq. Does not yield."""
    return [one for one in _alive() if isinstance(one, zmq.Socket) and one.context is context]


def _alive() -> list[object]:
    # type(), not isinstance(): a weak proxy among the objects must not be followed. Checked once for each type, because
    # there are some hundred thousand objects.
    kinds: dict[type, bool] = {}
    found = []
    for one in gc.get_objects():
        kind = type(one)
        fits = kinds.get(kind)
        if fits is None:
            fits = kinds[kind] = issubclass(kind, _KINDS)
        if fits and _is_alive(one):
            found.append(one)
    return found


def _is_alive(one: Any) -> bool:
    if isinstance(one, gevent.Greenlet):
        return not one.dead
    if isinstance(one, zmq.Socket):
        return not one.closed and one.context is not _garbage_context()
    if isinstance(one, zmq.Context):
        return not one.closed and one is not _garbage_context()
    return isinstance(one, Device) and one.state not in (State.STOPPED, State.FAILED)


def _garbage_context() -> object:
    return zmq_garbage._context


def _describe(one: object) -> str:
    if isinstance(one, zmq.Socket):
        endpoint = last_endpoint(one)
        return f"{one!r} ({endpoint or 'neither bound nor connected'})"
    return repr(one)
