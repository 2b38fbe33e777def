"""Which streams are sent, and how many devices take each: bounded, however much they ask for."""

from __future__ import annotations

from collections import Counter

from .interest import Interest, interest_of

MOST_SERVED = 20_000
"""How many prefixes there are at most in all streams that are sent, with one more for each stream beyond that."""
MOST_SERVED_BYTES = 2 * 1024 * 1024
"""How long these are together."""


class SentStreams:
    """The streams of one device that others are sent.

    :ivar streams: the interest of each, by its name.
    """

    def __init__(self) -> None:
        self.streams: dict[bytes, Interest] = {}
        # How many others are sent each of them, and how many prefixes, and bytes, all have together.
        self._counts: Counter[bytes] = Counter()
        self._prefixes = self._bytes = 0

    def add(self, stream: bytes, interest: Interest) -> None:
        """One more device is sent a `stream`, that of an `interest`."""
        self._counts[stream] += 1
        if stream not in self.streams:
            made = self.streams[stream] = self._bounded(interest)
            self._prefixes += len(made)
            self._bytes += sum(map(len, made))

    def drop(self, stream: bytes) -> None:
        """One device less is sent a `stream`; one that no device is sent any more is removed."""
        self._counts[stream] -= 1
        if not self._counts[stream]:
            del self._counts[stream]
            gone = self.streams.pop(stream)
            self._prefixes -= len(gone)
            self._bytes -= sum(map(len, gone))

    def _bounded(self, interest: Interest) -> Interest:
        """What is sent in the stream of an `interest`: more than was asked for where the rest has too many prefixes."""
        room, room_bytes = MOST_SERVED - self._prefixes, MOST_SERVED_BYTES - self._bytes
        if len(interest) <= room and sum(map(len, interest)) <= room_bytes:
            return interest
        return interest_of(interest, max(1, room // 2), max(0, room_bytes // 2))
