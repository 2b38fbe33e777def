"""Storms of one event: which of them are written one by one, and which are summed up."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

STORM_LIMIT = 10
"""So many lines of one event for one socket are written within a second; what is more is counted."""
_WINDOW_S = 1.0


@dataclass(slots=True)
class _Window:
    """What has come of one kind since `began`; `passed` says how many of them count as written."""

    began: float
    passed: int = 0
    held_back: int = 0


class Storms:
    """Tells what is to be written from what is only to be counted. Pure: time is an argument.

    The first ones of a storm pass; then, for as long as it lasts, there is a count for every second.

    :param limit: how many of a kind pass within a second.
    """

    def __init__(self, limit: int = STORM_LIMIT) -> None:
        self._limit = limit
        self._windows: dict[Hashable, _Window] = {}
        self._next_look = float("-inf")

    def passes(self, kind: Hashable, now: float) -> bool:
        """Whether one more of this `kind` is to be written `now`; if not, it has been counted. Ask `due` first."""
        window = self._windows.get(kind)
        if window is None or (not window.held_back and now >= window.began + _WINDOW_S):
            window = self._windows[kind] = _Window(now)
        if window.passed < self._limit:
            window.passed += 1
            return True
        window.held_back += 1
        return False

    def due(self, now: float) -> list[tuple[Hashable, int]]:
        """The kinds of which some have been held back for a second by `now`, and how many; told once."""
        if now < self._next_look:
            return []
        found = []
        for kind, window in list(self._windows.items()):
            if now < window.began + _WINDOW_S:
                continue
            if not window.held_back:
                del self._windows[kind]
                continue
            found.append((kind, window.held_back))
            # The storm goes on until a second has been quiet.
            self._windows[kind] = _Window(now, passed=self._limit)
        self._next_look = min((one.began + _WINDOW_S for one in self._windows.values()), default=float("-inf"))
        return found

    def rest(self) -> list[tuple[Hashable, int]]:
        """What has been held back and not been told, and how many; forgets everything."""
        windows, self._windows = self._windows, {}
        self._next_look = float("-inf")
        return [(kind, window.held_back) for kind, window in windows.items() if window.held_back]

    @property
    def holds_back(self) -> bool:
        """Whether something has been held back that has not been told yet."""
        return any(window.held_back for window in self._windows.values())
