"""One peer of a replay port: its requests in line, and whether it has room for more of the answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..engine.grant import Prefixes
from .answers import Answer
from .dialect import Question

if TYPE_CHECKING:
    from ..switch.link import Link


class Reader:
    """A peer that has asked for something.

    :param link: its connection.
    :ivar allowed: what messages have to begin with that it may have; None for all.
    :ivar line: its requests that wait, each with its bytes.
    :ivar answer: what is being answered; None if nothing is.
    :ivar front: the frames in front of each piece of the answer.
    :ivar ready: whether it waits for its turn.
    :ivar full: whether it waits until it has room.
    :ivar overrun: why it is to be ended: it was to get what there was no room for, and that cannot wait; else empty.
    :ivar gone: whether its connection has ended.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.allowed: Prefixes | None = link.grant.subscribe
        self.line: deque[tuple[Question, int]] = deque()
        self.answer: Answer | None = None
        self.front: list[bytes] = []
        self.ready = self.full = self.gone = False
        self.overrun = ""
        self._enough = self._large_end = 0

    @property
    def is_served(self) -> bool:
        """Whether there is something to answer."""
        return self.answer is not None or bool(self.line)

    def begin(self) -> int:
        """Begin with the next answer, if none goes on; how many bytes wait less, about."""
        if self.answer is not None or not self.line:
            return 0
        question, size = self.line.popleft()
        self.front = question.front
        self.answer = question.answer() if callable(question.answer) else question.answer
        return size

    def wait_for_room(self) -> None:
        """Have nothing put for it until half of what waits now was written."""
        self.full = True
        self._enough = self.link.peer.counts().waiting // 2

    def note_large(self) -> None:
        """What was put last is a large message."""
        self._large_end = self.link.peer.counts().matched

    @property
    def has_written_large(self) -> bool:
        """Whether the large message was written that was put last."""
        counts = self.link.peer.counts()
        return counts.matched - counts.waiting >= self._large_end

    def wait_in_line(self) -> None:
        """Have nothing put for it until it is said to go on, whatever was written."""
        self.full = True
        self._enough = -1

    @property
    def has_room(self) -> bool:
        """Whether so much was written."""
        return self.link.peer.counts().waiting <= self._enough

    def leave(self) -> None:
        """Nothing is left of it."""
        self.gone = True
        self.line.clear()
        self.answer = None
        self.link.on_room = self.link.on_close = None
