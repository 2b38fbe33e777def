"""How a reader asks a tap whether its subscription is in force: bytes alone.

A reader of a tap subscribes to what it wants to see, and then to a question: a topic that begins with `RESERVED` and
goes on with what no other reader has. A tap that has read this subscription has read those before it too. It answers
with a message of one part, the question itself. A publisher that is no tap does not answer.
"""

from __future__ import annotations

import itertools
import os

RESERVED = b"\xffgeventrelay.tap?"
"""The beginning of every question. libzmq sends the topics of a new connection sorted by their bytes: a question comes
last, behind what it asks about."""

_LONGEST_BYTES = 64


class Questions:
    """The questions of one reader."""

    def __init__(self) -> None:
        self._own = RESERVED + os.urandom(8).hex().encode() + b"."
        self._numbers = itertools.count(1)

    def new(self) -> bytes:
        """A question that was not asked before: an XPUB reports a topic that it has already only once."""
        return self._own + b"%d" % next(self._numbers)

    def answered_by(self, part: bytes) -> bool:
        """Whether the first `part` of a message answers one of them."""
        return part.startswith(self._own)


def is_question(topic: bytes) -> bool:
    """Whether a tap answers a subscription to `topic`. Longer ones are refused, since an answer is as long."""
    return topic.startswith(RESERVED) and len(topic) <= _LONGEST_BYTES
