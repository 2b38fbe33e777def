"""What one run of a burst may let pass, where more is dropped."""

from __future__ import annotations

from ..counters import Drop
from ..outlet import Parts


class Allowance:
    """Lets so many messages and bytes pass; the message with which the bytes are reached passes whole.

    A burst has one at most. native/allowance.pxd is the same in C.

    :param messages: how many messages may pass; as an attribute, how many still.
    :param nbytes: how many bytes of them, likewise; it may fall below 0.
    """

    reason = Drop.RATE

    def __init__(self, messages: int = 0, nbytes: int = 0) -> None:
        self.messages = messages
        self.nbytes = nbytes

    def passes(self, parts: Parts) -> bool:
        """See `geventrelay.engine.stages.contract.Stage.passes`, and there of `parts`."""
        if self.messages <= 0 or self.nbytes <= 0:
            return False
        self.messages -= 1
        self.nbytes -= sum(map(len, parts))
        return True
