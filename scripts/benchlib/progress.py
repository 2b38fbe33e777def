"""How far a run is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

LINE_EVERY_S = 10.0


def _bar(total: int) -> Any:
    """tqdm's bar, if there are a terminal and tqdm; it draws between measurements only."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return None
    # Without its monitor thread, which would wake up beside the measurements.
    tqdm.monitor_interval = 0
    return tqdm(total=total, unit="run", leave=False, dynamic_ncols=True)


class Progress:
    """Counts measurements up to ``total``; writes to standard error."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._last_line_s = 0.0
        self._bar = _bar(total)

    def step(self, what: str) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(what, refresh=False)
            self._bar.update()
        elif self._done == self._total or time.monotonic() - self._last_line_s > LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            print(f"{self._done}/{self._total} {what}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
