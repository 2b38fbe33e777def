"""What answers one request from a log, piece by piece, at the pace of the one who asked. Pure.

An answer is asked for its next pieces. Its caller notes each that was sent; what was not is asked for again later.
Meanwhile the log goes on, and may forget what was to come.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..engine.grant import Prefixes, needed

AT_A_TIME = 100
"""How many messages are asked of the log at a time. Others go on after them."""

OVER = -1
"""The position of an answer that is over. Others are the number of the message to go on with."""


class State(Protocol):
    """What a log has: see `geventrelay.switch.contract.LogState`."""

    @property
    def oldest(self) -> int:
        """The number of the oldest message that it keeps."""

    @property
    def next(self) -> int:
        """The number of the next message."""


class Log(Protocol):
    """What is asked: see `geventrelay.switch.contract.Side`, where there is a log."""

    def log_state(self) -> State | None:
        """What it has now."""

    def logged(
        self, first: int, last: int, prefixes: tuple[bytes, ...], most: int, until: float
    ) -> tuple[list[tuple[int, list[bytes]]], int]:
        """Some messages of it, and the number to go on with.

        `first`, `last`, `prefixes`, `most` and `until` are as there.
        """


class Piece(NamedTuple):
    """A step of an answer.

    :ivar frames: what is to be sent; None if it is a step without a word.
    :ivar position: where the answer is once it is sent.
    :ivar messages: how many messages these are: 0 or 1.
    :ivar lost: of how many messages it says that they are kept no more.
    """

    frames: list[bytes] | None
    position: int
    messages: int = 0
    lost: int = 0


class Answer(Protocol):
    """The answer to one request.

    :ivar position: where it is. Set it to the position of each piece once that was sent.
    """

    position: int

    def pieces(self, until: float) -> Sequence[Piece]:
        """What comes next, one piece at least. None of it has to be sent.

        :param until: when the turn is over, by `time.monotonic`.
        """


@dataclass(slots=True)
class Said:
    """An answer of one message.

    :ivar frames: the message.
    :ivar position: see `Answer`.
    """

    frames: list[bytes]
    position: int = 0

    def pieces(self, until: float) -> Sequence[Piece]:
        """The message, by any time `until`; see `Answer.pieces`."""
        return [Piece(self.frames, OVER)]


def state_of(log: Log) -> State:
    """What a `log` has now, which is one."""
    state = log.log_state()
    assert state is not None  # a device that is asked has a log
    return state


def narrowed(wanted: tuple[bytes, ...], allowed: Prefixes | None) -> Prefixes | None:
    """What messages have to begin with that begin with something `wanted` and with something `allowed`.

    :param wanted: prefixes; none for all messages.
    :param allowed: prefixes, sorted, of which none begins with another, as a `Grant` has them; None for all messages.
    :returns: the same as `allowed`. None at all (an empty tuple) is no message.
    """
    asked = needed(wanted) if wanted else None
    if asked is None or allowed is None:
        return allowed if asked is None else asked
    found: list[bytes] = []
    for one in asked:
        index = bisect_right(allowed, one)
        if index and one.startswith(allowed[index - 1]):
            found.append(one)
        else:
            # Those that begin with it stand side by side.
            at = bisect_left(allowed, one)
            while at < len(allowed) and allowed[at].startswith(one):
                found.append(allowed[at])
                at += 1
    return needed(found)
