"""One message that has passed: when, where it came in, and all its parts."""

from __future__ import annotations

from typing import NamedTuple


# A named tuple, since a million of them are made in a row: a frozen dataclass takes three times as long.
class Record(NamedTuple):
    """A message as somebody saw it pass.

    :ivar time_ns: when it was seen, in ns since 1970 (UTC).
    :ivar source: the key of the socket at which it came in, e.g. ``frontend``.
    :ivar parts: its parts, as they came.
    """

    time_ns: int
    source: str
    parts: tuple[bytes, ...]


def source_name(part: bytes) -> str:
    """The key of a socket out of the first `part` of a tap's message; any bytes at all have one."""
    return part.decode(errors="surrogateescape")


def source_part(source: str) -> bytes:
    """The bytes that `source_name` made into `source`."""
    return source.encode(errors="surrogateescape")


class RecordFilter:
    """Takes some records and leaves the others; call it with each, in order.

    :param direction: take only what came in at the socket with this key; None takes every direction.
    :param topic: take only messages whose first part begins so; empty takes all.
    :param sample: of those, take every so manieth, beginning with the first.
    """

    def __init__(self, direction: str | None = None, topic: bytes = b"", sample: int = 1) -> None:
        self.direction, self._topic, self._sample = direction, topic, sample
        self._seen = 0

    def __call__(self, record: Record) -> bool:
        """Whether to take `record`."""
        if self.direction is not None and record.source != self.direction:
            return False
        if self._topic and not (record.parts and record.parts[0].startswith(self._topic)):
            return False
        self._seen += 1
        return self._sample == 1 or self._seen % self._sample == 1
