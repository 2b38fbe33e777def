"""Models of what is counted by topic: a table of the busiest, and what each subscriber is to get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Parts = list[bytes]


def counted_topic(parts: Sequence[bytes], until: bytes) -> bytes:
    """The topic that a message counts for; `until` is `TopicPlan.topic_until`."""
    if until:
        return parts[0].split(until)[0][:255]
    return (parts[0] if len(parts) > 1 else parts[0].split(b" ")[0])[:255]


class Row(NamedTuple):
    """One topic of a table: how often it came, how much of that may be too much, and when it came last."""

    count: int
    error: int
    turn: int


class NaiveBusiest:
    """Space-Saving as it is described, message by message.

    :param most: how many topics it has.
    """

    def __init__(self, most: int) -> None:
        self.rows: dict[bytes, Row] = {}
        self._most = most
        self._turn = 0

    def add(self, topic: bytes) -> None:
        self._turn += 1
        if topic not in self.rows:
            count = 0
            if len(self.rows) == self._most:
                least = min(self.rows, key=lambda one: (self.rows[one].count, self.rows[one].turn))
                count = self.rows.pop(least).count
            self.rows[topic] = Row(count, count, self._turn)
        row = self.rows[topic]
        self.rows[topic] = Row(row.count + 1, row.error, self._turn)


def check_table(table: Mapping[bytes, tuple[int, int]], came: Counter[bytes], most: int) -> None:
    """All that is promised of a table of `most` topics holds: each topic has a count and its error.

    :param came: how often each topic really came.
    """
    total = sum(came.values())
    assert len(table) == min(most, len(came))
    assert sum(count for count, _ in table.values()) == total
    for topic, (count, error) in table.items():
        assert 0 <= error <= total // most
        assert count - error <= came[topic] <= count
    assert {topic for topic, count in came.items() if count * most > total} <= table.keys()
    if len(came) <= most:
        assert table == {topic: (count, 0) for topic, count in came.items()}


def topics_of(messages: Iterable[Sequence[bytes]], until: bytes) -> Counter[bytes]:
    """How many messages each topic has."""
    return Counter(counted_topic(parts, until) for parts in messages)
