"""The busiest of many topics, and how often each came: a table of fixed size."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from ..contract import RATE_S

ENTRY_BYTES = 400
"""What a topic in a table takes beside itself, about."""


class Entry:
    """One topic of a table.

    :param topic: the topic.
    :param error: see `geventrelay.switch.contract.TopicCount`.
    :ivar count: how often it came, and maybe up to `error` too many.
    :ivar turn: in which turn of the table it came last.
    :ivar nbytes: see `geventrelay.switch.contract.TopicCount`, as all that follows.
    """

    __slots__ = ("bytes_per_s", "count", "error", "last", "nbytes", "per_s", "topic", "turn")

    def __init__(self, topic: bytes, error: int) -> None:
        self.topic = topic
        self.error = self.count = error
        self.turn = 0
        self.nbytes = 0
        self.per_s = self.bytes_per_s = self.last = 0.0

    def measure(self, count: int, nbytes: int, now: float) -> None:
        """At the time `now`, `count` messages have come with `nbytes`."""
        left = decay(now - self.last)
        self.per_s = self.per_s * left + count / RATE_S
        self.bytes_per_s = self.bytes_per_s * left + nbytes / RATE_S
        self.nbytes += nbytes
        self.last = now


class Busiest:
    """Space-Saving, see `geventrelay.switch.contract.TopicCounts`.

    :param most: how many topics are counted, from 1 on.
    :ivar total: the sum of all counts, which is how often any topic came.
    :ivar nbytes: what the table takes, about.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[bytes, Entry] = {}
        # Once it is full: each entry with a count and a turn that it had, which it has still or exceeds.
        self._heap: list[tuple[int, int, Entry]] = []
        self._turn = 0
        self.total = 0
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, topic: bytes) -> Entry | None:
        """The entry of a `topic`; None if it is not in the table."""
        return self._entries.get(topic)

    def add(self, topic: bytes, count: int) -> Entry:
        """A `topic` came `count` times more, with no other between: its entry."""
        self.total += count
        self._turn += 1
        entry = self._entries.get(topic)
        if entry is None:
            return self._take_in(topic, count)
        entry.count += count
        entry.turn = self._turn
        return entry

    def stop_growing(self) -> None:
        """Go on as a table of as many topics as are there now, of which there is one at least."""
        self._most = len(self)

    def most_first(self) -> list[Entry]:
        """Those with the highest counts first, then by topic."""
        return sorted(self, key=lambda one: (-one.count, one.topic))

    def _take_in(self, topic: bytes, count: int) -> Entry:
        least = None if len(self._entries) < self._most else self._least()
        entry = Entry(topic, 0 if least is None else least.count)
        entry.count += count
        entry.turn = self._turn
        if least is not None:
            del self._entries[least.topic]
            self.nbytes -= len(least.topic) + ENTRY_BYTES
            heapq.heapreplace(self._heap, (entry.count, entry.turn, entry))
        self._entries[topic] = entry
        self.nbytes += len(topic) + ENTRY_BYTES
        return entry

    def _least(self) -> Entry:
        """The entry with the smallest count; of several, the one that came longest ago. It is the heap's first one."""
        if not self._heap:
            self._heap = [(one.count, one.turn, one) for one in self]
            heapq.heapify(self._heap)
        while True:
            _, turn, entry = self._heap[0]
            if turn == entry.turn:
                return entry
            # It came again since: that puts it behind others, which may have been counted as often.
            heapq.heapreplace(self._heap, (entry.count, entry.turn, entry))


def decay(passed_s: float) -> float:
    """How much a rate is worth after a time of `passed_s`. Where time goes back, it is worth the same."""
    return math.exp(-passed_s / RATE_S) if passed_s > 0 else 1.0
