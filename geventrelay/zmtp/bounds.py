"""What the other end of a connection may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the other end may send.

    :ivar frame_bytes: of one part, and `message_bytes` of all parts of a message together. A stranger can make this
        end keep so much of a message that never ends.
    :ivar parts: of one message. An empty part is 2 bytes on the wire, and much more in memory.
    :ivar command_bytes: of one command. The largest that makes sense has a topic, or metadata.
    :ivar topic_bytes: of one subscription.
    """

    frame_bytes: int = 64 << 20
    message_bytes: int = 64 << 20
    parts: int = 1000
    command_bytes: int = 64 << 10
    topic_bytes: int = 8 << 10


DEFAULT_BOUNDS = Bounds()
