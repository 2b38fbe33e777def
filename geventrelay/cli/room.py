"""How many messages may wait to be read, so that they take no more than some memory. Pure."""

from __future__ import annotations

MOST_MESSAGES = 100_000
"""How many may wait at most, and as long as nothing is known of their size."""

LEAST_MESSAGES = 16
"""How many may wait however large they are: with fewer, small ones that follow would come slowly."""

_BYTES = 64 * 1024 * 1024
# What libzmq keeps for a part beside its bytes (zmq_msg_t).
_PART_BYTES = 64


class Room:
    """Bounds what waits in a queue that counts messages, by the size of those that have been read.

    :ivar messages: how many may wait now.
    """

    def __init__(self) -> None:
        self.messages = MOST_MESSAGES

    def after(self, messages: int, parts: int, nbytes: int) -> bool:
        """Take note of what has been read; whether `messages` of this object has become less.

        It falls by half or more at a time, since each change costs a call. It never rises: a queue of libzmq that is
        full when its mark rises is not written to again. No writer is woken then (pipe_t::process_pipe_hwm), and the
        reader wakes one only after it has read half of the new mark.

        :param messages: how many messages these were, 1 or more.
        :param parts: of how many parts.
        :param nbytes: of how many bytes.
        """
        each = max(1, (nbytes + parts * _PART_BYTES) // messages)
        found = max(LEAST_MESSAGES, _BYTES // each)
        if found > self.messages // 2:
            return False
        self.messages = found
        return True
