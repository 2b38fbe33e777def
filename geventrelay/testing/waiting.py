"""Waiting with a time limit; the error says for what."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

import gevent

LIMIT_S = 5.0
"""How long everything here waits by default, in seconds."""

# How often a condition without an event is checked.
_LOOK_S = 0.001

Result = TypeVar("Result")
Itself = TypeVar("Itself", bound="Closing")


@contextlib.contextmanager
def within(what: str | Callable[[], str], within_s: float = LIMIT_S) -> Iterator[None]:
    """Fail if the block takes longer than `within_s` seconds. This works only if the block yields to the hub.

    :param what: what the block waits for; a function is called after a failure, and can say how far things had come.
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
    """Wait until `condition()` is true, and return its result. Yields if it is not true at once.

    Only for conditions without an event; where there is an event or a message, wait for that.

    :param what: what it waits for, as for `within`.
    :param within_s: for how long at most, in seconds.
    :raises AssertionError: with a sentence that names `what`.
    """
    with within(what, within_s):
        while not (result := condition()):
            gevent.sleep(_LOOK_S)
    return result


def let_run(turns: int = 5) -> None:
    """Let every other ready greenlet, and every socket with events, run `turns` times. Yields."""
    for _ in range(turns):
        # The hub checks a timer, however short, only after it has polled the descriptors.
        gevent.sleep(1e-6)


class Closing(ABC):
    """A context manager that returns itself and is closed at the end."""

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close everything."""
