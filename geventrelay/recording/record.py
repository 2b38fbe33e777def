"""One message that was seen: the time, the socket, and all its parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


# A named tuple, because a recording has millions of them: a frozen dataclass takes three times as long.
class Record(NamedTuple):
    """A message as a watcher saw it.

    :ivar time_ns: when it was seen, in ns since 1970 (UTC).
    :ivar source: the key of the socket at which it came in, e.g. ``frontend``.
    :ivar parts: its parts, unchanged.
    """

    time_ns: int
    source: str
    parts: tuple[bytes, ...]


class RecordClock:
    """The times of the records of one watcher: a clock that is set meanwhile changes no gap between two of them.

    :param now_ns: the time of the day when this is made, in ns since 1970 (UTC).
    :param monotonic_ns: a clock that is never set, in ns.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = now_ns() - monotonic_ns()

    def __call__(self) -> int:
        """The time of a record that is made now, in ns since 1970 (UTC)."""
        return self._offset_ns + self._monotonic_ns()


def source_name(part: bytes) -> str:
    """The key of a socket from the first `part` of a tap's message; every sequence of bytes has one."""
    return part.decode(errors="surrogateescape")


def source_part(source: str) -> bytes:
    """The bytes from which `source_name` made `source`."""
    return source.encode(errors="surrogateescape")


class RecordFilter:
    """Selects records; call it with each record, in order.

    :param direction: select only messages that came in at the socket with this key; None selects all.
    :param topic: select only messages whose first part begins with it; empty selects all.
    :param sample: select every n-th of these, beginning with the first; 1 selects all.
    """

    def __init__(self, direction: str | None = None, topic: bytes = b"", sample: int = 1) -> None:
        self.direction, self._topic, self._sample = direction, topic, sample
        self._seen = 0

    def __call__(self, record: Record) -> bool:
        """Whether `record` is selected."""
        if self.direction is not None and record.source != self.direction:
            return False
        if self._topic and not (record.parts and record.parts[0].startswith(self._topic)):
            return False
        self._seen += 1
        return self._sample == 1 or self._seen % self._sample == 1
