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
