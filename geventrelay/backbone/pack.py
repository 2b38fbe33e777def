"""A pack: many messages that travel as one. Its head says where they stand in their stream, so losses are counted."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .interest import ID_BYTES
from .terms import RELAY_BYTES, MalformedError

_MAGIC = b"GRB1"
_HEAD = struct.Struct(f">4s{RELAY_BYTES}s{ID_BYTES}sQQI")

HEAD_BYTES = _HEAD.size
"""How long the head is; the messages follow, as ZMTP has them in a connection."""

WORK = b"work".ljust(ID_BYTES, b"\0")
"""In the place of an interest: messages for one worker each, of which each goes to one device."""

REPLIES = b"replies".ljust(ID_BYTES, b"\0")
"""In the place of an interest: what workers have answered, on its way back to the device that the request came from."""

STORED = b"stored".ljust(ID_BYTES, b"\0")
"""In the place of an interest: messages for one worker each, which a stream of NATS keeps until one has taken them."""

_MOST_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class PackHead:
    """What the head of a pack says.

    :ivar relay: the id of the device that sends it.
    :ivar stream: the name of the interest that its messages are for, or `WORK` or `REPLIES`.
    :ivar number: how many packs of this stream that device has sent before.
    :ivar first: how many messages these had.
    :ivar count: how many messages this one has, at least one.
    """

    relay: bytes
    stream: bytes
    number: int
    first: int
    count: int

    def encoded(self) -> bytes:
        """Its bytes."""
        return _HEAD.pack(_MAGIC, self.relay, self.stream, self.number, self.first, self.count)


def head_of(data: bytes) -> PackHead:
    """The head of the pack that `data` is. What stands behind it is not looked at.

    :raises MalformedError: if it is none.
    """
    if len(data) <= HEAD_BYTES:
        raise MalformedError(f"a pack of {len(data)} bytes")
    magic, *fields = _HEAD.unpack_from(data)
    head = PackHead(*fields)
    if magic != _MAGIC or not head.count or max(head.number, head.first) >= _MOST_NUMBER:
        raise MalformedError("the head of a pack")
    return head
