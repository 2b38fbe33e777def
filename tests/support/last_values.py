"""A model of last values: what each subscriber is to get."""

from __future__ import annotations

from collections.abc import Sequence

Parts = list[bytes]


def topic_of(parts: Sequence[bytes]) -> bytes:
    return parts[0] if len(parts) > 1 else parts[0].split(b" ")[0]


class Kept:
    """What is kept, and what subscribers have got and will get.

    :param most: how many topics.
    :ivar wanted: by subscriber, all messages that it is to get.
    """

    def __init__(self, most: int) -> None:
        self.values: dict[bytes, Parts] = {}
        self.topics: dict[int, set[bytes]] = {}
        self.wanted: dict[int, list[Parts]] = {}
        self._most = most

    def come(self, who: int) -> None:
        self.topics[who], self.wanted[who] = set(), []

    def go(self, who: int) -> None:
        del self.topics[who]

    def publish(self, parts: Parts) -> None:
        self.values.pop(topic_of(parts), None)
        self.values[topic_of(parts)] = parts
        while len(self.values) > self._most:
            del self.values[next(iter(self.values))]
        for who, topics in self.topics.items():
            if parts[0].startswith(tuple(topics)):
                self.wanted[who].append(parts)

    def subscribe(self, who: int, topic: bytes) -> None:
        before = tuple(self.topics[who])
        self.topics[who].add(topic)
        self.wanted[who] += [
            one for one in self.values.values() if one[0].startswith(topic) and not one[0].startswith(before)
        ]

    def cancel(self, who: int, topic: bytes) -> None:
        self.topics[who].discard(topic)
