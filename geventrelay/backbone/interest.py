"""What a device asks the others for: prefixes of messages, as few as say it, and bounded."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Collection, Iterable

from ..terms import LONGEST_TOPIC_BYTES

MOST_PREFIXES = 1000
"""So many prefixes are looked for in each message that is sent, and are told to every other device."""
MOST_BYTES = 64 * 1024
"""How long all of them together are at most."""

ID_BYTES = 16
"""How long the name of an interest is."""

EVERYTHING = (b"",)
"""The interest in all messages."""

Interest = tuple[bytes, ...]
"""Prefixes in order, none of which begins with another one of them. Empty, it is in no message at all."""


def interest_of(
    topics: Collection[bytes],
    most: int = MOST_PREFIXES,
    most_bytes: int = MOST_BYTES,
    longest: int = LONGEST_TOPIC_BYTES,
) -> Interest:
    """The smallest interest in all messages that begin with one of `topics`, and as few others as the bounds allow.

    What is too much is asked for by shorter prefixes, at the worst by the empty one. Who wants less filters it out.

    :param topics: as subscribers ask for them.
    :param most: how many prefixes there may be, from 1 on.
    :param most_bytes: how long they may be together.
    :param longest: how long each may be.
    """
    whole = _normal(topic[:longest] for topic in topics)
    if _fits(whole, most, most_bytes):
        return whole
    # Cut at `short` they fit, at `long` they do not.
    short, long = 0, max(map(len, whole))
    while long - short > 1:
        middle = (short + long) // 2
        if _fits(_normal(topic[:middle] for topic in whole), most, most_bytes):
            short = middle
        else:
            long = middle
    return _normal(topic[:short] for topic in whole)


def _fits(interest: Interest, most: int, most_bytes: int) -> bool:
    return len(interest) <= most and sum(map(len, interest)) <= most_bytes


def _normal(topics: Iterable[bytes]) -> Interest:
    kept: list[bytes] = []
    for topic in sorted(set(topics)):
        # All that begin with one of them stand behind it, before any other.
        if not kept or not topic.startswith(kept[-1]):
            kept.append(topic)
    return tuple(kept)


def is_normal(prefixes: Interest) -> bool:
    """Whether `prefixes` are an interest as `interest_of` makes them."""
    return all(one < other and not other.startswith(one) for one, other in itertools.pairwise(prefixes))


def covers(interest: Interest, topic: bytes) -> bool:
    """Whether messages that begin with `topic` are in an `interest`."""
    place = bisect_right(interest, topic) - 1
    return place >= 0 and topic.startswith(interest[place])


def id_of(interest: Interest) -> bytes:
    """The name of an interest, which no other one has: `ID_BYTES` of a hash."""
    digest = hashlib.blake2b(digest_size=ID_BYTES)
    for prefix in interest:
        digest.update(len(prefix).to_bytes(4, "big") + prefix)
    return digest.digest()


class Wanted:
    """What a device's subscribers ask for, however many topics that is.

    Beyond so many topics, only their beginnings are known, and the whole ones no more: until there are none.

    :param most: how many topics, or beginnings of them, are kept.
    :param most_bytes: how long all topics may be together that are kept whole.
    """

    def __init__(self, most: int = 4 * MOST_PREFIXES, most_bytes: int = 64 * MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        # How many topics have each beginning, and how long a beginning is.
        self._counts: dict[bytes, int] = {}
        self._length = LONGEST_TOPIC_BYTES
        self._nbytes = 0

    def add(self, topic: bytes) -> None:
        """A `topic` is asked for that was not."""
        key = topic[: self._length]
        found = self._counts.get(key, 0)
        self._counts[key] = found + 1
        if not found:
            self._nbytes += len(key)
            if len(self._counts) > self._most or self._nbytes > self._most_bytes:
                self._shorten()

    def discard(self, topic: bytes) -> None:
        """A `topic` is asked for no more. One that was not has no effect."""
        key = topic[: self._length]
        found = self._counts.get(key, 0)
        if found > 1:
            self._counts[key] = found - 1
        elif found:
            del self._counts[key]
            self._nbytes -= len(key)
            if not self._counts:
                self._length = LONGEST_TOPIC_BYTES

    def covering(self, topic: bytes) -> int:
        """How many of the topics, or of their beginnings, messages that begin with `topic` are in."""
        return sum(map(topic.startswith, self._counts))

    def interest(self, own: Iterable[bytes] = (), most_bytes: int = MOST_BYTES) -> Interest:
        """The interest in all of that, and in what begins with one of `own`; `most_bytes` bounds it further."""
        return interest_of({*self._counts, *own}, most_bytes=min(most_bytes, MOST_BYTES))

    def _shorten(self) -> None:
        """Keep so much less of each topic that there are half as many beginnings."""
        short, long = 0, max(map(len, self._counts))
        while long - short > 1:
            middle = (short + long) // 2
            keys = {key[:middle] for key in self._counts}
            if len(keys) <= self._most // 2 and sum(map(len, keys)) <= self._most_bytes // 2:
                short = middle
            else:
                long = middle
        counts: dict[bytes, int] = {}
        for key, count in self._counts.items():
            counts[key[:short]] = counts.get(key[:short], 0) + count
        self._counts, self._length, self._nbytes = counts, short, sum(map(len, counts))
