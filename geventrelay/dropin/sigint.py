"""SIGINT during a drop-in call: a KeyboardInterrupt that cannot be lost on its way."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

import gevent
from gevent.hub import get_hub


class NotedInterrupt:
    """Runs a ``with`` block, and notes that Python's own handler of SIGINT has raised KeyboardInterrupt in it.

    Python drops what is raised while an object is freed, and pyzmq asks for signals when it frees a part. A handler of
    the program's own is left alone, and so is every greenlet but the main one, to which gevent brings the interrupt.

    :ivar came: whether SIGINT has come.
    """

    def __init__(self) -> None:
        self.came = False
        main = threading.current_thread() is threading.main_thread() and gevent.getcurrent() is get_hub().parent
        self._takes = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> NotedInterrupt:
        if self._takes:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._takes and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)
