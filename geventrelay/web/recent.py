"""An answer that was costly to make serves again for a moment: however often it is asked for, it takes little time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")

CHEAP_S = 0.002
"""What is made faster than that is made anew each time."""
SHARE = 20
"""It serves for so many times the time that it took: 5 % of the hub's time at most goes into it."""
MOST_BYTES = 16 * 1024 * 1024
"""All that serve together take no more than that; if a single one does, it is the only one."""
_MOST = 64


@dataclass(frozen=True, slots=True)
class _Made(Generic[_T]):
    value: _T
    until_s: float


class Recent(Generic[_T]):
    """Keeps costly answers for a moment.

    :param now: the clock, in seconds.
    :param size: how many bytes an answer takes.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, size: Callable[[_T], int] = lambda _: 0) -> None:
        self._now = now
        self._size = size
        self._made: dict[Hashable, _Made[_T]] = {}

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The answer for `key`: the one that is there, or what `make` returns. Yields if `make` does."""
        began = self._now()
        found = self._made.get(key)
        if found is not None and began < found.until_s:
            return found.value
        value = make()
        took = self._now() - began
        self._made.pop(key, None)
        if took >= CHEAP_S:
            self._made[key] = _Made(value, began + took + SHARE * took)
            self._make_room()
        return value

    def _make_room(self) -> None:
        # Keys may come from clients, who so would have as much kept as they like. The newest one always stays.
        while len(self._made) > _MOST or (len(self._made) > 1 and self._nbytes > MOST_BYTES):
            del self._made[next(iter(self._made))]

    @property
    def _nbytes(self) -> int:
        return sum(self._size(one.value) for one in self._made.values())

    def forget(self) -> None:
        """Make everything anew: something was changed on request, and that is to be seen."""
        self._made.clear()
