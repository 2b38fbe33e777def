"""Reads files in a thread: a disk that stalls holds up what needs a file, and nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore

_Found = TypeVar("_Found")

_MOST_AT_ONCE = 2
"""How many threads read at a time: names and passwords need the hub's pool too, and a stalled one is not given back."""

_slots: weakref.WeakKeyDictionary[Any, BoundedSemaphore] = weakref.WeakKeyDictionary()


def in_thread(read: Callable[..., _Found], *arguments: Any) -> _Found:
    """What `read` returns for `arguments`, run in a thread of the hub's pool. Yields until then.

    :raises Exception: what it raises.
    """
    hub = get_hub()
    with _slots.setdefault(hub, BoundedSemaphore(_MOST_AT_ONCE)):
        found, error = hub.threadpool.apply(_caught, (read, arguments))
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _caught(read: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    # gevent prints what a thread raises, although its caller gets it.
    try:
        return read(*arguments), None
    except Exception as error:
        return None, error
