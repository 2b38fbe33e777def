"""Reads files in a thread: a disk that stalls holds up what needs a file, and nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore

from ..engine import fork as fork

_Found = TypeVar("_Found")

_MOST_AT_ONCE = 2
"""How many threads read at a time: names and passwords need the hub's pool too, and a stalled one is not given back."""

# By hub: the process for which they count, and its slots.
_slots: weakref.WeakKeyDictionary[Any, tuple[int, BoundedSemaphore]] = weakref.WeakKeyDictionary()


def in_thread(read: Callable[..., _Found], *arguments: Any) -> _Found:
    """What `read` returns for `arguments`, run in a thread of the hub's pool. Yields until then.

    A greenlet that is killed meanwhile leaves the thread to its end: nothing can end a read.

    :raises Exception: what it raises.
    """
    hub = get_hub()
    slots = _slots_of(hub)
    slots.acquire()
    try:
        reading = hub.threadpool.spawn(_caught, read, arguments)
    except BaseException:
        slots.release()
        raise
    # Not when the caller goes on: one that is killed would give a slot back that its thread still has.
    reading.rawlink(lambda _: slots.release())
    answer = reading.get()
    assert answer is not None  # what `_caught` returns
    found, error = answer
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _slots_of(hub: Any) -> BoundedSemaphore:
    made_in, slots = _slots.get(hub, (None, None))
    if slots is None or made_in != fork.current():
        # A forked child has no thread of its parent, and so none would give a slot back.
        slots = BoundedSemaphore(_MOST_AT_ONCE)
        _slots[hub] = fork.current(), slots
    return slots


def _caught(read: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    # gevent prints what a thread raises, although its caller gets it.
    try:
        return read(*arguments), None
    except Exception as error:
        return None, error
