"""What a stage promises: it sees each message that a burst has read, and lets it pass or has it dropped.

::

    source --recv--> burst --message--> stage 1 --> stage 2 --> tap and outlets
                                           |
                                        dropped for every outlet, with the reason of the stage

Stages are asked in a fixed order, and what one has dropped is not seen by the next. What has too many parts, or breaks
off, is dropped before. The native burst has each stage in C, beside the class in Python (native/stage.pxd), and asks no
Python for a message.
"""

from __future__ import annotations

from typing import Protocol

from ..counters import Drop
from ..outlet import Parts


class Stage(Protocol):
    """Decides about messages one by one. It sends nothing, and never waits.

    :ivar reason: what a message that does not pass is counted by.
    """

    reason: Drop

    def passes(self, parts: Parts) -> bool:
        """Whether the message with these `parts`, as they were received, goes on. Does not yield.

        It must not keep them.
        """
