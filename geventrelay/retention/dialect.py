"""What a protocol of the replay port has to do: to understand requests, and to answer them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..engine.grant import Prefixes
from .answers import Answer

MOST_WAITING = 16
"""How many requests of one peer wait, besides the one that is answered."""


MOST_WAITING_BYTES = 16 * 1024 * 1024
"""How many bytes of requests of all peers wait, about."""


class Question(NamedTuple):
    """What came of a peer.

    :ivar front: the frames in front of each answer.
    :ivar answer: the answer, or what begins it once its turn has come; None if there is none.
    :ivar wrong: what is wrong with the request, in one line; empty if nothing is.
    """

    front: list[bytes]
    answer: Answer | Callable[[], Answer] | None
    wrong: str = ""


class Dialect(Protocol):
    """A protocol of the replay port."""

    def read(self, frames: list[bytes], allowed: Prefixes | None) -> Question:
        """What is asked for.

        :param frames: the message, as the peer has sent it.
        :param allowed: what messages have to begin with that the peer may have; None for all.
        """

    def too_many(self, frames: list[bytes]) -> list[bytes] | None:
        """The answer to the request `frames`, which may not wait, since too many do; None if the protocol has none."""
