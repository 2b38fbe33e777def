"""How much the stream of a device holds: NATS is asked now and then, and says so also when it is looked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import jetstream
from .questions import Answer, Question, Questions

ASK_S = 5.0
"""How often NATS is asked at most."""


class Holding:
    """What is known of it. It may be older than `ASK_S`, and no more than twice that.

    :param subject: where to ask about the stream.
    :param questions: what is asked.
    :ivar packs: how many packs the stream holds that no device has acknowledged; None while that is not known.
    :ivar nbytes: how many bytes these take there; None likewise.
    """

    def __init__(self, subject: str, questions: Questions) -> None:
        self._subject, self._questions = subject, questions
        self._asked: Question | None = None
        self._next: float | None = None
        self.packs: int | None = None
        self.nbytes: int | None = None

    def hear(self, said: Mapping[str, Any]) -> None:
        """Take in what NATS has `said` of the stream."""
        self.packs, self.nbytes = jetstream.held(said)

    def open(self, now: float) -> None:
        """It can be asked, from `now` on. What was said just before is known."""
        if self._next is None and self._asked is None:
            self._next = now + ASK_S

    def close(self) -> None:
        """It cannot: nothing is known."""
        if self._asked is not None:
            self._questions.drop(self._asked)
        self._asked = self._next = self.packs = self.nbytes = None

    def tick(self, now: float) -> None:
        """Ask if that is due `now`."""
        if self._next is not None and now >= self._next:
            self._next = None
            # Not asked again before the next time would be.
            self._asked = self._questions.ask(self._subject, b"", self._answered(now), ASK_S)
        if self._asked is not None and self._asked.tries > 1:
            # It was asked again: what was said before is old.
            self.packs = self.nbytes = None

    def _answered(self, asked: float) -> Callable[[Answer], None]:
        def answered(answer: Answer) -> None:
            self._asked, self._next = None, asked + ASK_S
            said, code, _ = jetstream.result_of(answer)
            self.hear({} if code else said)

        return answered
