"""Answers at the replay port in the protocol of geventrelay: by the device's numbers, and losses are told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..engine.grant import Prefixes
from .answers import AT_A_TIME, OVER, Answer, Log, Piece, Said, narrowed, state_of
from .dialect import MOST_WAITING, MOST_WAITING_BYTES, Question
from .replay_wire import (
    EndAnswer,
    EpochAnswer,
    ErrorAnswer,
    Fetch,
    HeadAnswer,
    LostAnswer,
    Request,
    WireError,
    message_frames,
    read_request,
    split_delimiter,
)


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a device.

    :ivar epoch: tells it from all others: 16 bytes.
    :ivar stamped: whether subscribers get numbers.
    :ivar first: the number of its first message. There have been none before.
    """

    epoch: bytes
    stamped: bool
    first: int = 0


class Numbered:
    """See `geventrelay.retention.dialect.Dialect`.

    :param log: what is asked for.
    :param life: the device's.
    """

    def __init__(self, log: Log, life: Life) -> None:
        self._log = log
        self._life = life

    def read(self, frames: list[bytes], allowed: Prefixes | None) -> Question:
        """What is asked by `frames` of a peer that has what is `allowed`; see `Dialect.read`."""
        front, rest = split_delimiter(frames)
        try:
            request = read_request(rest)
        except WireError as error:
            return Question(front, Said(ErrorAnswer(error.tag, str(error)).frames()), str(error))
        return Question(front, lambda: self._answer(request, allowed))

    def too_many(self, frames: list[bytes]) -> list[bytes] | None:
        """That the request `frames` is one too many; see `Dialect.too_many`."""
        front, rest = split_delimiter(frames)
        try:
            tag = read_request(rest).tag
        except WireError as error:
            tag = error.tag
        rule = f"at most {MOST_WAITING} of one peer that wait, and {MOST_WAITING_BYTES} bytes of all peers"
        return front + ErrorAnswer(tag, f"requests: expected {rule}, got one more").frames()

    def _answer(self, request: Request, allowed: Prefixes | None) -> Answer:
        if isinstance(request, Fetch) and request.epoch in (b"", self._life.epoch):
            return FetchAnswer(request, self._log, self._life, allowed)
        state = state_of(self._log)
        if isinstance(request, Fetch):
            return Said(EpochAnswer(request.tag, self._life.epoch, state.oldest, state.next).frames())
        head = HeadAnswer(request.tag, self._life.epoch, state.oldest, state.next, self._life.stamped)
        return Said(head.frames())


class FetchAnswer:
    """The answer to a FETCH of this life; see `Answer`.

    :param request: what was asked for.
    :param log: what has it.
    :param life: the device's.
    :param allowed: what the peer may have.
    """

    def __init__(self, request: Fetch, log: Log, life: Life, allowed: Prefixes | None) -> None:
        self._tag = request.tag
        self._log = log
        self._epoch = life.epoch
        self._prefixes = narrowed(request.prefixes, allowed)
        newest = state_of(log).next
        self._end = newest if request.last is None else min(request.last + 1, newest)
        # What was never there is not lost.
        self.position = min(max(request.first, life.first), self._end)

    def pieces(self, until: float) -> Sequence[Piece]:
        """What was lost, messages, or the end, in a turn `until` then; see `Answer.pieces`."""
        at, end = self.position, self._end
        if at >= end:
            return [Piece(EndAnswer(self._tag, self._epoch, end).frames(), OVER)]
        messages: list[tuple[int, list[bytes]]] = []
        go_on = end
        if self._prefixes != ():
            messages, go_on = self._log.logged(at, end - 1, self._prefixes or (), AT_A_TIME, until)
            go_on = min(go_on, end)
        # The oldest may have been forgotten for their age since `at` was looked at, though not those that were found.
        gone = min(state_of(self._log).oldest, messages[0][0] if messages else go_on)
        found = [Piece(LostAnswer(self._tag, at, gone).frames(), gone, lost=gone - at)] if at < gone else []
        found += (Piece(message_frames(self._tag, number, parts), number + 1, 1) for number, parts in messages)
        if not found or found[-1].position < go_on:
            # Those between did not begin with what is wanted.
            found.append(Piece(None, go_on))
        return found
