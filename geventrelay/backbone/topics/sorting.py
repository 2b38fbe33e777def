"""Sorts messages by who wants them: mostly with one look at a table for each message, however many interests there are.

All messages that begin with a prefix stand together, if messages are put in order by their bytes. So the prefixes of
all interests cut this order into pieces, and all messages of a piece have the same takers. A piece is found, once, for
the first message that falls into it: to find all pieces beforehand would take as long as a new interest stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from ..interest import EVERYTHING, Interest

Takers = tuple[bytes, ...]
"""The names of the interests that a message is for."""

_MORE, _LONG = 0x01, 0x02
_MOST_PIECES = 10_000
# With so many interests, one more piece takes so long to be found that a caller may want to have a turn behind it.
_MANY = 64


class Sorter:
    """Knows who wants a message.

    :param interests: each interest by its name.
    """

    def __init__(self, interests: Mapping[bytes, Interest]) -> None:
        self._interests = sorted(interests.items())
        self._longest = max((len(prefix) for _, one in self._interests for prefix in one), default=0)
        # Longer than what is looked at of a message, and behind all of that.
        self._end = b"\xff" * (self._longest + 1)
        # The pieces that were found: where each begins, where it ends, and the takers. They have no message in common.
        self._begins: list[bytes] = []
        self._ends: list[bytes] = []
        self._takers: list[Takers] = []
        self._same: dict[Takers, Takers] = {(): ()}
        self.only: Takers | None = None
        """The takers of all messages, where that is known without a look at any."""
        if all(interest == EVERYTHING for _, interest in self._interests):
            self.only = tuple(name for name, _ in self._interests)

    def takers(self, first_part: bytes) -> Takers:
        """Who wants a message that begins with `first_part`; the same takers are the same object."""
        topic = bytes(first_part[: self._longest])
        place = bisect_right(self._begins, topic) - 1
        if place >= 0 and topic < self._ends[place]:
            return self._takers[place]
        return self._find(topic)

    def sort(self, data: bytes) -> Iterator[tuple[Takers, int, int, int]]:
        """Who wants which of several messages: takers, where theirs begin and end in `data`, and how many these are.

        Consecutive messages with the same takers come together, mostly. Those that no interest is in have no takers.

        :param data: whole messages, as ZMTP has them in a connection.
        """
        begins, ends, all_takers, longest = self._begins, self._ends, self._takers, self._longest
        at, begin, count, end = 0, 0, 0, len(data)
        takers: Takers = ()
        # None behind a piece that took long to be found.
        last: Takers | None = takers
        while at < end:
            here = at
            flags = data[at]
            if flags & _LONG:
                size = int.from_bytes(data[at + 1 : at + 9], "big")
                at += 9
            else:
                size = data[at + 1]
                at += 2
            topic = data[at : at + (size if size < longest else longest)]
            place = bisect_right(begins, topic) - 1
            if place >= 0 and topic < ends[place]:
                found = all_takers[place]
            else:
                found = self._find(topic)
                if len(self._interests) >= _MANY:
                    last = None
            at += size
            while flags & _MORE:
                flags = data[at]
                if flags & _LONG:
                    at += 9 + int.from_bytes(data[at + 1 : at + 9], "big")
                else:
                    at += 2 + data[at + 1]
            if found is not last:
                if count:
                    yield takers, begin, here, count
                takers, last, begin, count = found, found, here, 0
            count += 1
        if count:
            yield takers, begin, end, count

    def _find(self, topic: bytes) -> Takers:
        """The takers of a message that begins with `topic`, whose piece was not found before."""
        begins, ends = b"", self._end
        names = []
        for name, interest in self._interests:
            place = bisect_right(interest, topic) - 1
            # Of prefixes none of which begins with another, only the last one before it can be its own.
            if place >= 0 and topic.startswith(interest[place]):
                names.append(name)
                begins, ends = max(begins, interest[place]), min(ends, self._behind(interest[place]))
            else:
                if place >= 0:
                    begins = max(begins, self._behind(interest[place]))
                if place + 1 < len(interest):
                    ends = min(ends, interest[place + 1])
        takers = tuple(names)
        takers = self._same.setdefault(takers, takers)
        if len(self._begins) >= _MOST_PIECES:
            for one in (self._begins, self._ends, self._takers):
                one.clear()
        place = bisect_right(self._begins, begins)
        self._begins.insert(place, begins)
        self._ends.insert(place, ends)
        self._takers.insert(place, takers)
        return takers

    def _behind(self, prefix: bytes) -> bytes:
        """The first message in order that stands behind all that begin with `prefix`."""
        kept = prefix.rstrip(b"\xff")
        return kept[:-1] + bytes([kept[-1] + 1]) if kept else self._end
