"""Which lines of the log are told, where one cause would fill it. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Hashable

_MOST = 1000
# In the place of a cause, where there are too many.
_OTHERS = object()


class Seldom:
    """Lets one line through for each cause in `every_s` seconds, and counts the rest.

    Above 1,000 causes at a time, all others are one.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        # When the next line is due, and how many were left out.
        self._causes: dict[Hashable, tuple[float, int]] = {}

    def line(self, cause: Hashable, now_s: float) -> int | None:
        """How many lines of a `cause` were left out before this one; None if this one is to be left out too.

        :param now_s: by `time.monotonic`.
        """
        if cause not in self._causes and len(self._causes) >= _MOST:
            self._forget(now_s)
            if len(self._causes) >= _MOST:
                cause = _OTHERS
        due_s, left_out = self._causes.get(cause, (now_s, 0))
        if now_s < due_s:
            self._causes[cause] = (due_s, left_out + 1)
            return None
        self._causes[cause] = (now_s + self._every_s, 0)
        return left_out

    def _forget(self, now_s: float) -> None:
        """Forget the causes of which a line would be told now; what they have left out is one count from then on."""
        gone = [cause for cause, (due_s, _) in self._causes.items() if due_s <= now_s]
        left_out = sum(self._causes.pop(cause)[1] for cause in gone)
        if left_out:
            due_s, others = self._causes.get(_OTHERS, (now_s, 0))
            self._causes[_OTHERS] = (due_s, others + left_out)
