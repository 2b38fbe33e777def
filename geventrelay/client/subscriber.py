"""The subscriber without gaps for threads, and for greenlets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ..errors import SettingsError
from .base import Step, Subscriber, modules_of
from .events import Event
from .waits import Poll, Wait

Itself = TypeVar("Itself", bound="GaplessSubscriber")


class GaplessSubscriber(Subscriber):
    """Hands out each message once, in order, or says that it is lost. For threads, and for greenlets.

    An iterator over `Event`, without an end, and a context manager. It belongs to one thread or greenlet at a time, as
    a socket does. With a context of `zmq.green`, or this module, it yields to the hub where it waits, and now and then
    where it does not have to. `Subscriber` has the arguments.
    """

    def wait_started(self, timeout: float | None = None) -> bool:
        """Wait until it knows where to begin; what is published after that is not missed.

        :param timeout: for how long at most, in seconds; None without a limit.
        :returns: whether it does.
        :raises GaplessError: if what is at the endpoints is no relay that numbers and keeps its messages.
        """
        return self._advance(lambda: self._gapless.started, timeout)

    def recv(self, timeout: float | None = None) -> Event | None:
        """The next `Message`, or `Lost` in the place of messages that will not come.

        :param timeout: for how long to wait for it at most, in seconds; None without a limit.
        :returns: None if the time was over first.
        :raises GaplessError: as `wait_started`. It may be called again.
        """
        if self._advance(lambda: self._gapless.has_event, timeout):
            return self._gapless.take_event()
        return None

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.recv()
        assert event is not None
        return event

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _advance(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Read, ask and wait until `reached()`; False if the time was over first."""
        steps, received = self.steps(reached, timeout), None
        while True:
            try:
                step = steps.send(received)
            except StopIteration as stop:
                return bool(stop.value)
            received = self._do(step)

    def _do(self, step: Step | float) -> list[bytes] | None:
        if step is Step.READ_LIVE:
            return _received(self._sockets.sub)
        if step is Step.READ_ANSWER:
            return _received(self._sockets.replay)
        if isinstance(step, Step):
            self._wait.let_others_run()
        else:
            self._wait.wait((self._sockets.sub, self._sockets.replay), step)
        return None

    def _opened(self) -> None:
        self._wait: Wait = Poll()
        if "zmq.green" in modules_of(self._sockets.context):
            from .green import GreenWait

            self._wait = GreenWait()
        self._act()

    def _context(self, context: Any) -> Any:
        context = zmq if context is None else context
        modules = modules_of(context)
        if not modules or "zmq.asyncio" in modules:
            rule = "a context of zmq or zmq.green, or one of these modules (AsyncGaplessSubscriber takes zmq.asyncio's)"
            raise SettingsError("context", rule, context)
        return context


def _received(socket: Any) -> list[bytes] | None:
    try:
        parts: list[bytes] = socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
    return parts
