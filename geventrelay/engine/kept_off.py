"""What the log says of connections that were ended since too few descriptors are free. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping

from .descriptors import RESERVE

_EVERY_S = 1.0
_FEW = f"fewer than {RESERVE} file descriptors are free"
_NONE = "no file descriptor is free, so connections wait to be accepted"


class KeptOff:
    """Counts such connections of one socket between two lines of the log, of which there is one a second at most."""

    def __init__(self) -> None:
        self._count = 0
        self._next_s = 0.0

    def line(self, ended: int, now_s: float) -> Mapping[str, str] | None:
        """The keys of a line of the log; None if it is not time for one.

        :param ended: how many connections were ended now; 0 says that one waits, for which no descriptor is free.
        :param now_s: by `time.monotonic`.
        """
        self._count += ended
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _EVERY_S
        count, self._count = self._count, 0
        return {"connections": str(count), "reason": _FEW if ended else _NONE}
