"""Answers at the replay port as vLLM's and SGLang's publishers give them: by the publisher's own numbers. Pure.

A message is ``[topic, number, payload]``, the number in 8 bytes, big endian. A request is ``[empty, first number]``;
it is answered with each message from that number on, and with an end that has the number -1. There are two dialects:
vLLM from 0.26 on answers with the topic, SGLang and vLLM before without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..engine.grant import Prefixes
from .answers import AT_A_TIME, OVER, Log, Piece, state_of
from .dialect import Question

NUMBER_BYTES = 8
END_NUMBER = b"\xff" * NUMBER_BYTES
"""-1: no message has it."""

MOST_TOPICS = 10_000
"""How many topics have runs that are told apart, those with the newest messages."""

_LONGEST_KEY_BYTES = 64


class Runs:
    """Where the latest run of each topic begins in a log.

    A publisher that is started again begins to count anew: its number is not higher than the one before. What it has
    sent before is of no use to those who ask then.

    :param log: the log.
    :param most: how many topics are known.
    """

    def __init__(self, log: Log, most: int = MOST_TOPICS) -> None:
        self._log = log
        self._most = most
        self._looked_to = 0
        # By topic: the number of the first message of its run, the publisher's number of the newest, and the log's. The
        # topic with the newest message is the last one.
        self._topics: dict[bytes, tuple[int, int, int]] = {}

    def look(self, end: int, until: float) -> bool:
        """Look at what has come; whether all before the number `end` was looked at.

        :param until: when the turn is over, by `time.monotonic`.
        """
        if self._looked_to < end:
            messages, go_on = self._log.logged(self._looked_to, end - 1, (), AT_A_TIME, until)
            for number, parts in messages:
                if _is_sequenced(parts):
                    self._note(number, parts)
            self._looked_to = min(go_on, end)
            self._forget()
        return self._looked_to >= end

    def is_latest(self, number: int, topic: bytes) -> bool:
        """Whether the message with a `number` is of the latest run of its `topic`."""
        known = self._topics.get(_key(topic))
        return known is None or number >= known[0]

    def _note(self, number: int, parts: Sequence[bytes]) -> None:
        key, sequence = _key(parts[0]), int.from_bytes(parts[1], "big")
        before = self._topics.pop(key, None)
        start = number if before is None or sequence <= before[1] else before[0]
        self._topics[key] = (start, sequence, number)

    def _forget(self) -> None:
        oldest = state_of(self._log).oldest
        while self._topics:
            key = next(iter(self._topics))
            if len(self._topics) <= self._most and self._topics[key][2] >= oldest:
                return
            del self._topics[key]


class Sequenced:
    """See `geventrelay.retention.dialect.Dialect`.

    :param log: what is asked for.
    :param with_topic: whether answers have the topic.
    """

    def __init__(self, log: Log, *, with_topic: bool) -> None:
        self._log = log
        self._with_topic = with_topic
        self._runs = Runs(log)

    def read(self, frames: list[bytes], allowed: Prefixes | None) -> Question:
        """What is asked by `frames` of a peer that has what is `allowed`; see `Dialect.read`."""
        if len(frames) != 2 or frames[0]:
            rule = "expected an empty part, which a REQ sends by itself, and a number"
            got = f"{len(frames)} parts" if len(frames) != 2 else "a first part that is not empty"
            return Question([], None, f"request: {rule}, got {got}")
        if len(frames[1]) != NUMBER_BYTES:
            return Question([], None, f"number: expected {NUMBER_BYTES} bytes, got {len(frames[1])}")
        first = int.from_bytes(frames[1], "big")
        return Question([b""], lambda: SequencedAnswer(first, self._log, self._runs, self._with_topic, allowed))

    def too_many(self, frames: list[bytes]) -> list[bytes] | None:
        """Nothing, whatever `frames` are: the protocol has no word for it."""
        return None


class SequencedAnswer:
    """The answer to one request; see `Answer`.

    :param first: the publisher's number to begin with.
    :param log: what has the messages.
    :param runs: where their latest runs begin.
    :param with_topic: whether answers have the topic.
    :param allowed: what the peer may have.
    """

    def __init__(self, first: int, log: Log, runs: Runs, with_topic: bool, allowed: Prefixes | None) -> None:
        state = state_of(log)
        self._first = first
        self._log = log
        self._runs = runs
        self._with_topic = with_topic
        self._allowed = allowed
        self._end = state.next
        self.position = state.oldest

    def pieces(self, until: float) -> Sequence[Piece]:
        """Messages, or the end, in a turn `until` then; see `Answer.pieces`."""
        at, end = self.position, self._end
        if at >= end or self._allowed == ():
            return [Piece([b""] * self._with_topic + [END_NUMBER, b""], OVER)]
        if not self._runs.look(end, until):
            return [Piece(None, at)]
        messages, go_on = self._log.logged(at, end - 1, self._allowed or (), AT_A_TIME, until)
        go_on = min(go_on, end)
        found = [
            Piece(parts if self._with_topic else parts[1:], number + 1, 1)
            for number, parts in messages
            if self._is_wanted(number, parts)
        ]
        if not found or found[-1].position < go_on:
            found.append(Piece(None, go_on))
        return found

    def _is_wanted(self, number: int, parts: Sequence[bytes]) -> bool:
        return (
            _is_sequenced(parts)
            and int.from_bytes(parts[1], "big") >= self._first
            and self._runs.is_latest(number, parts[0])
        )


def _is_sequenced(parts: Sequence[bytes]) -> bool:
    return len(parts) == 3 and len(parts[1]) == NUMBER_BYTES and parts[1] != END_NUMBER


def _key(topic: bytes) -> bytes:
    # Topics can be as long as a message.
    return topic if len(topic) < _LONGEST_KEY_BYTES else b"\0" + hashlib.sha512(topic).digest()
