"""Waiting with a limit, and saying what for."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

import gevent

LIMIT_S = 5.0
"""How long everything here waits unless told otherwise, in seconds."""

# How often a condition that nobody announces is looked at.
_LOOK_S = 0.001

Result = TypeVar("Result")


@contextlib.contextmanager
def within(what: str | Callable[[], str], within_s: float = LIMIT_S) -> Iterator[None]:
    """Fail if the block takes longer than `within_s` seconds. The block must yield to the hub for this to work.

    :param what: what the block waits for; a function is called when it has failed, to tell how far things had come.
    :raises AssertionError: with a sentence that names `what`.
    """
    timeout = gevent.Timeout(within_s)
    timeout.start()
    try:
        yield
    except gevent.Timeout as expired:
        if expired is not timeout:
            raise
        sentence = what if isinstance(what, str) else what()
        raise AssertionError(f"waited {within_s:g} s for {sentence}") from None
    finally:
        timeout.close()


def eventually(condition: Callable[[], Result], what: str | Callable[[], str], within_s: float = LIMIT_S) -> Result:
    """Let the hub run until `condition()` is true, and return what it said. Yields at least when it is not yet.

    For what nobody announces; where there is an event or a message, wait for that.

    :param what: what is waited for, as for `within`.
    :param within_s: for how long at most, in seconds.
    :raises AssertionError: with a sentence that names `what`.
    """
    with within(what, within_s):
        while not (result := condition()):
            gevent.sleep(_LOOK_S)
    return result


def let_run(turns: int = 5) -> None:
    """Yield so that every other greenlet that is ready, and every socket that has news, gets `turns` turns."""
    for _ in range(turns):
        # A timer, however short, is only looked at after descriptors have been polled.
        gevent.sleep(1e-6)


Itself = TypeVar("Itself", bound="Closing")


class Closing(ABC):
    """A context manager that is its own value, and that its end closes."""

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Put everything away."""
