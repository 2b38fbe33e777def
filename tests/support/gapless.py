"""A log and its replay port as a model, written from the wire: what subscribers without gaps are tested against."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

from geventrelay.retention.replay_wire import (
    EndAnswer,
    EpochAnswer,
    Fetch,
    Head,
    HeadAnswer,
    LostAnswer,
    MessageAnswer,
    Request,
    number_bytes,
)

_lives = itertools.count(1)


class ModelLog:
    """One life of a device: what it has published, and which of that it still keeps.

    :param first: the number of its first message.
    :param stamped: whether it says that it stamps messages.
    :ivar published: all of its messages, also those that it has forgotten.
    :ivar oldest: the oldest that it keeps.
    """

    def __init__(self, first: int, *, stamped: bool = True) -> None:
        self.epoch = next(_lives).to_bytes(16, "big")
        self.first = self.oldest = first
        self.stamped = stamped
        self.published: list[list[bytes]] = []

    @property
    def next(self) -> int:
        return self.first + len(self.published)

    def publish(self, *parts: bytes) -> list[bytes]:
        """Keep a message; returns it as subscribers get it."""
        self.published.append(list(parts))
        return [*parts, number_bytes(self.next - 1)]

    def forget_before(self, number: int) -> None:
        self.oldest = max(self.oldest, min(number, self.next))

    def __getitem__(self, number: int) -> list[bytes]:
        return self.published[number - self.first]

    def answers(self, request: Request) -> Iterator[list[bytes]]:
        """The answers, one after the other; each is made of what the log has when it is asked for."""
        tag = request.tag
        if isinstance(request, Head):
            yield HeadAnswer(tag, self.epoch, self.oldest, self.next, self.stamped).frames()
            return
        assert isinstance(request, Fetch)
        if request.epoch not in (b"", self.epoch):
            yield EpochAnswer(tag, self.epoch, self.oldest, self.next).frames()
            return
        newest = self.next - 1
        last = newest if request.last is None else min(request.last, newest)
        number = request.first
        while number <= last:
            if number < self.oldest:
                end = min(self.oldest, last + 1)
                yield LostAnswer(tag, number, end).frames()
                number = end
            else:
                parts = self[number]
                if matches(parts, request.prefixes):
                    yield MessageAnswer(tag, number, tuple(parts)).frames()
                number += 1
        yield EndAnswer(tag, self.epoch, number).frames()


class ModelPort:
    """The replay port of a log, over a connection of its own: answers requests in order."""

    def __init__(self) -> None:
        self._waiting: deque[Iterator[list[bytes]]] = deque()

    def ask(self, log: ModelLog, request: Request) -> None:
        self._waiting.append(log.answers(request))

    def next_answer(self) -> list[bytes] | None:
        """The next answer; None if all requests are answered."""
        while self._waiting:
            answer = next(self._waiting[0], None)
            if answer is not None:
                return answer
            self._waiting.popleft()
        return None


def matches(parts: Sequence[bytes], prefixes: Sequence[bytes]) -> bool:
    return not prefixes or parts[0].startswith(tuple(prefixes))
