"""The two sockets of a subscriber without gaps: how they are made, and made anew."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import zmq

from ..errors import SettingsError
from ..settings.concealed import Unshown
from .gapless import Renew


class Sockets:
    """A SUB and a DEALER, with the same options.

    :param context: the context to make them in; or a module with a class `Context`, of which one is then made.
    :param sub_endpoint: where messages are published.
    :param replay_endpoint: where the log is served.
    :param prefixes: what to subscribe to.
    :param options: ZeroMQ's options by name, for both.
    :raises SettingsError: if an option or an endpoint is none. Nothing is left open then.
    """

    def __init__(
        self, context: Any, sub_endpoint: str, replay_endpoint: str, prefixes: tuple[bytes, ...],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._options = {name: (_number_of(name), _bytes_of(value)) for name, value in options.items()}
        self._endpoints = {"sub_endpoint": sub_endpoint, "replay_endpoint": replay_endpoint}
        self._prefixes = prefixes
        self._own = isinstance(context, ModuleType)
        self.context = context.Context() if self._own else context
        self.sub: Any = None
        self.replay: Any = None
        try:
            self.renew(Renew.REPLAY)
            self.renew(Renew.SUB)
        except BaseException:
            self.close()
            raise

    def renew(self, which: Renew) -> None:
        """Close this socket, if there is one, and make it and connect it anew."""
        if which is Renew.SUB:
            old, self.sub = self.sub, None
            _close(old)
            self.sub = self._made(zmq.SUB)
            for prefix in self._prefixes or (b"",):
                self.sub.set(zmq.SUBSCRIBE, prefix)
            self._connect(self.sub, "sub_endpoint")
        else:
            old, self.replay = self.replay, None
            _close(old)
            self.replay = self._made(zmq.DEALER)
            self._connect(self.replay, "replay_endpoint")

    def close(self) -> None:
        """Close both, and the context if it was made here. May be called twice."""
        _close(self.sub)
        _close(self.replay)
        if self._own:
            self.context.term()

    def _made(self, kind: int) -> Any:
        socket = self.context.socket(kind)
        try:
            socket.set(zmq.LINGER, 0)
            for name, (number, value) in self._options.items():
                try:
                    socket.set(number, value)
                except (zmq.ZMQError, TypeError, OverflowError):
                    # It may be a key or a password.
                    shown = Unshown(f"{len(value)} bytes") if isinstance(value, bytes) else value
                    raise SettingsError(name, "a value that ZeroMQ takes for this option", shown) from None
            if kind == zmq.DEALER:
                # A request waits for its connection there.
                socket.set(zmq.IMMEDIATE, 0)
        except BaseException:
            socket.close(0)
            raise
        return socket

    def _connect(self, socket: Any, name: str) -> None:
        endpoint = self._endpoints[name]
        try:
            socket.connect(endpoint)
        except (zmq.ZMQError, TypeError):
            raise SettingsError(name, "an endpoint to connect to, such as tcp://127.0.0.1:5556", endpoint) from None


def _close(socket: Any) -> None:
    if socket is not None:
        socket.close(0)


def _number_of(name: str) -> zmq.SocketOption:
    try:
        return zmq.SocketOption[name.upper()]
    except KeyError:
        near = difflib.get_close_matches(name.upper(), list(zmq.SocketOption.__members__), 1)
        hint = f" (did you mean {near[0].lower()}?)" if near else ""
        raise SettingsError("socket option", f"an argument or a socket option of ZeroMQ{hint}", name) from None


def _bytes_of(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
