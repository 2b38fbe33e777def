"""One socket of pyzmq's device classes: what is asked for it before the start."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import zmq

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Side:
    """Collects what is asked for one socket, and makes it.

    :param socket_type: ZeroMQ's, e.g. ``zmq.ROUTER``.
    :param reserved: the ports that all sockets of the device have got from `bind_to_random_port`.
    :ivar binds: the addresses to bind.
    :ivar connects: the addresses to connect to.
    :ivar options: the socket options to set before, and their values.
    """

    def __init__(self, socket_type: int, reserved: set[str]) -> None:
        self.binds: list[str] = []
        self.connects: list[str] = []
        self.options: list[tuple[int, Any]] = []
        self._type, self._reserved = socket_type, reserved

    def bind(self, addr: str) -> None:
        """Have the socket bind `addr` at the start."""
        self.binds.append(addr)

    def connect(self, addr: str) -> None:
        """Have the socket connect to `addr` at the start."""
        self.connects.append(addr)

    def setsockopt(self, opt: int, value: Any) -> None:
        """Have the socket's option `opt` set to `value` at the start."""
        self.options.append((opt, value))

    def bind_to_random_port(self, /, addr: str, *args: int, **kwargs: int) -> int:
        """Have the socket bind a free port of `addr`, e.g. ``tcp://127.0.0.1``, and return which.

        :param args: as for `zmq.Socket.bind_to_random_port`; `kwargs` too.
        :raises zmq.ZMQBindError: if there is none.
        """
        # Bound until the port is known and then released, as pyzmq does. `start` binds it again.
        with zmq.Context() as context, context.socket(zmq.PUSH) as probe:
            for _ in range(5):
                port: int = probe.bind_to_random_port(addr, *args, **kwargs)
                if f"{addr}:{port}" not in self._reserved:
                    break
            else:
                raise zmq.ZMQBindError("Could not reserve random port.")
        self._reserved.add(f"{addr}:{port}")
        self.bind(f"{addr}:{port}")
        return port

    def make(self, context: zmq.Context[Any]) -> zmq.Socket[Any]:
        """Make the socket in `context`, with its options set; the caller binds and connects it. Does not yield."""
        socket = context.socket(self._type)
        try:
            self.set_options(socket)
        except BaseException:
            socket.close(0)
            raise
        return cast("zmq.Socket[Any]", socket)

    def set_options(self, socket: zmq.Socket[Any]) -> None:
        """Set the options that were asked for on `socket`. Does not yield; raises as `zmq.Socket.set` does."""
        for option, value in self.options:
            socket.setsockopt(option, value)


def of_side(
    method: Callable[Concatenate[Side, Arguments], Result], key: str, socket: str
) -> Callable[Concatenate[Any, Arguments], Result]:
    """A method of a device class that calls `method` of one of its sides, with the name that pyzmq has for it.

    :param method: e.g. `Side.bind`, which becomes ``bind_in``.
    :param key: the side's key among the device's sides, e.g. ``in``.
    :param socket: what the docstring calls it, e.g. "the frontend".
    """

    @functools.wraps(method)
    def delegate(self: Any, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return method(self._sides[key], *args, **kwargs)

    verb, underscore, rest = method.__name__.partition("_")
    delegate.__name__ = f"{verb}_{key}{underscore}{rest}"
    delegate.__doc__ = (method.__doc__ or "").replace("the socket", socket)
    # What `wraps` returns has the right signature, but mypy takes its `self` for a name that callers may use.
    return cast("Callable[Concatenate[Any, Arguments], Result]", delegate)
