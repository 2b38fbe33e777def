"""What is asked of NATS and has not been answered: each question goes again when its time is over. Pure.

A server answers to a subject that names the question. It may die with a question, and so may the connection; then the
same question is asked again, so whatever is asked must do no harm the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_STATUS = b"NATS/1.0 "
_STATUS_DIGITS = 3

NO_RESPONDERS = 503
"""The status of an answer that says that none listens to what was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    :ivar data: its payload.
    :ivar status: what the server says by itself, as 503 if none takes what was asked; 0 if this is an answer.
    :ivar reason: what that status means, in the server's words.
    """

    data: bytes
    status: int = 0
    reason: str = ""

    @classmethod
    def of(cls, data: bytes, headers: bytes) -> Answer:
        """What has come with `headers` as NATS has them in a connection; these may be empty."""
        line = headers.partition(b"\r\n")[0]
        number, _, reason = line.removeprefix(_STATUS).strip().partition(b" ")
        if not line.startswith(_STATUS) or not number.isdigit() or len(number) > _STATUS_DIGITS:
            return cls(data)
        return cls(data, int(number), reason.decode(errors="replace"))


@dataclass(slots=True)
class Question:
    """What is asked.

    :ivar subject: where.
    :ivar data: what.
    :ivar headers: what else the server is told.
    :ivar answered: is called with the answer. It may have the question asked `again`, later.
    :ivar number: names it in the subject of its answer; -1 if no answer is wanted.
    :ivar wait_s: after so long without an answer, it is asked again.
    :ivar due: when that is, or when it is asked first; None while it waits to be sent.
    :ivar tries: how often it was sent.
    """

    subject: str
    data: bytes
    answered: Callable[[Answer], None] | None = None
    wait_s: float = 0.0
    headers: Mapping[str, str] | None = None
    number: int = -1
    due: float | None = field(default=None, init=False)
    tries: int = field(default=0, init=False)


class Questions:
    """All that is asked by one device. It is sent in the order in which it was asked."""

    def __init__(self) -> None:
        self._last = -1
        self._open: dict[int, Question] = {}
        self._to_send: dict[int, Question] = {}

    def __bool__(self) -> bool:
        """Whether there is something to send."""
        return bool(self._to_send)

    def ask(
        self,
        subject: str,
        data: bytes,
        answered: Callable[[Answer], None],
        wait_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Question:
        """Ask something.

        :param subject: where; this and the others are as in `Question`.
        :param data: what.
        :param answered: is called with the answer.
        :param wait_s: after so long without one, it is asked again.
        :param headers: what else the server is told.
        """
        question = self._put(Question(subject, data, answered, wait_s, headers))
        self._open[question.number] = question
        return question

    def say(self, subject: str, data: bytes) -> None:
        """Say `data` to a `subject`, which is not answered. It is lost with the connection."""
        self._put(Question(subject, data))

    def take(self) -> Question | None:
        """What is to be sent next; None if nothing is. It is to be followed by `sent`, or by nothing if it was not."""
        return next(iter(self._to_send.values()), None)

    def sent(self, question: Question, now: float) -> None:
        """A `question` has been sent, `now`."""
        # It may have been answered, or dropped, meanwhile.
        self._to_send.pop(question.number, None)
        question.tries += 1
        question.due = now + question.wait_s

    def again(self, question: Question, due: float) -> None:
        """Ask an answered `question` once more, when that is `due`."""
        self._open[question.number] = question
        question.due = due

    def answer(self, number: int, answer: Answer) -> None:
        """Take in the `answer` to a question with this `number`, which may have had one before."""
        question = self._open.pop(number, None)
        if question is not None:
            self._to_send.pop(number, None)
            assert question.answered is not None  # it was asked, not said
            question.answered(answer)

    def drop(self, question: Question) -> None:
        """A `question` needs no answer any more."""
        self._open.pop(question.number, None)
        self._to_send.pop(question.number, None)

    def disconnected(self) -> None:
        """The connection has ended: all without an answer is asked again, in the same order."""
        self._to_send = dict(sorted(self._open.items()))
        for question in self._to_send.values():
            question.due = None

    def tick(self, now: float) -> None:
        """Have sent again what has waited long enough `now`."""
        for number, question in self._open.items():
            if question.due is not None and now >= question.due:
                question.due = None
                self._to_send[number] = question

    def _put(self, question: Question) -> Question:
        self._last += 1
        question.number = self._last
        self._to_send[question.number] = question
        return question
