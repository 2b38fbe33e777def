"""What the subscribers without gaps have in common: what they are given, and what is done with their sockets."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

import zmq

from . import arguments
from .events import Position, Start
from .gapless import Gapless, Renew
from .sockets import Sockets

MOST_LIVE = 16
"""How many messages that come live are read at a time while the log is read: all but the newest are dropped."""
STRAIGHT = 64
"""After so many steps without a wait, others run that share the thread."""


class Subscriber:
    """Subscribes to a relay with ``--stamp`` and ``--replay-port``, and fetches what it has missed from there.

    :param sub_endpoint: where the relay publishes, as for `zmq.Socket.connect`.
    :param replay_endpoint: the relay's replay port, likewise.
    :param prefixes: what to subscribe to; none is everything.
    :param context: where to make the sockets. None, or a module with a class `Context`, has a context of its own made.
    :param start: where to begin: ``"now"``, ``"oldest"`` for all that the log has, or a `position` from before.
    :param quiet_s: after how long without a new message it asks whether there is one, in seconds.
    :param answer_s: how long it waits for an answer before it connects anew, in seconds. It doubles each time, up to
        15 s.
    :param start_s: how long it waits for the first answer before `GaplessError`, in seconds; None for ever.
    :param options: socket options of ZeroMQ by name, for both sockets, such as ``rcvhwm``, ``curve_serverkey``,
        ``curve_publickey``, ``curve_secretkey``, ``plain_username`` and ``plain_password``.
    :raises SettingsError: if one of these breaks a rule.
    """

    def __init__(
        self,
        sub_endpoint: str,
        replay_endpoint: str,
        *prefixes: str | bytes,
        context: Any = None,
        start: Start = "now",
        quiet_s: float = 1.0,
        answer_s: float = 2.0,
        start_s: float | None = 10.0,
        **options: Any,
    ) -> None:
        context, wanted = self._context(context), arguments.prefixes(prefixes)
        self._gapless = Gapless(
            wanted,
            arguments.start(start),
            time.monotonic(),
            quiet_s=arguments.seconds("quiet_s", quiet_s),
            answer_s=arguments.seconds("answer_s", answer_s),
            start_s=None if start_s is None else arguments.seconds("start_s", start_s),
        )
        self._sockets = Sockets(context, sub_endpoint, replay_endpoint, wanted, options)
        self._opened()

    @property
    def position(self) -> Position | None:
        """What comes after the last event that was handed out: a `start` for later. None before it has started."""
        return self._gapless.position

    def close(self) -> None:
        """Close its sockets, and its context if it has made one. May be called twice."""
        self._sockets.close()

    def _context(self, context: Any) -> Any:
        """The context, or the module that has its class, for what was given.

        :raises SettingsError: if it is none that fits.
        """
        raise NotImplementedError

    def _opened(self) -> None:
        """Its sockets are there."""

    def _act(self) -> None:
        for action in self._gapless.actions():
            if isinstance(action, Renew):
                self._sockets.renew(action)
            else:
                # A DEALER that has been connected has room for the one request.
                self._sockets.replay.send_multipart(action, zmq.NOBLOCK)


def modules_of(context: Any) -> set[str]:
    """The modules that the class of a `context`, or a module's class `Context`, comes from; empty if it is none."""
    kind = getattr(context, "Context", None) if isinstance(context, ModuleType) else type(context)
    if not (isinstance(kind, type) and issubclass(kind, zmq.Context)):
        return set()
    return {".".join(base.__module__.split(".")[:2]) for base in kind.__mro__}
