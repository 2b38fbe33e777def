"""What the subscribers without gaps have in common: what they are given, and what is done with their sockets."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Generator
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


class Step(enum.Enum):
    """What to do next: see `Subscriber.steps`."""

    READ_LIVE = enum.auto()
    """Receive a message from the SUB, without a wait; None if there is none."""
    READ_ANSWER = enum.auto()
    """The same from the replay port."""
    LET_OTHERS_RUN = enum.auto()
    """Let all others run that share the thread."""


Steps = Generator[Step | float, list[bytes] | None, bool]
"""Steps, or for how many seconds at most to wait until one of the two sockets is readable. It is sent what was
received, and returns whether its aim was reached."""


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
        self._straight = 0
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

    def steps(self, reached: Callable[[], bool], timeout: float | None) -> Steps:
        """What to do until `reached()`, whatever the way to wait is; False if the time was over first.

        :param timeout: for how long at most, in seconds; None without a limit.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._act()
        yield from self._breathe()
        while not reached():
            if (yield from self._read()):
                yield from self._breathe()
                continue
            now = time.monotonic()
            due = self._gapless.tick(now)
            self._act()
            if deadline is not None and now >= deadline:
                return False
            self._straight = 0
            yield (due if deadline is None else min(due, deadline)) - now
        return True

    def _read(self) -> Steps:
        """Take a little of what has come; False if there is nothing."""
        gapless, found = self._gapless, False
        for _ in range(MOST_LIVE if gapless.catching_up else 1):
            parts = yield Step.READ_LIVE
            if parts is None:
                break
            found = True
            gapless.on_live(parts, time.monotonic())
        if gapless.waiting and not gapless.has_event:
            frames = yield Step.READ_ANSWER
            if frames is not None:
                found = True
                gapless.on_answer(frames, time.monotonic())
        self._act()
        return found

    def _breathe(self) -> Generator[Step, None, None]:
        self._straight += 1
        if self._straight >= STRAIGHT:
            self._straight = 0
            yield Step.LET_OTHERS_RUN

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
