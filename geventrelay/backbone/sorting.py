"""Sorts messages by who wants them: one look at a table for each message, however many interests there are.

All messages that begin with a prefix stand together, if messages are put in order by their bytes. So the prefixes of
all interests cut this order into pieces, and all messages of a piece have the same takers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from .interest import Interest

Takers = tuple[bytes, ...]
"""The names of the interests that a message is for."""

_MORE, _LONG = 0x01, 0x02


class Sorter:
    """Knows who wants a message.

    :param interests: each interest by its name.
    """

    def __init__(self, interests: Mapping[bytes, Interest]) -> None:
        self._edges, self._takers = _pieces(interests)
        # Longer than any prefix, a topic need not be looked at.
        self._longest = max((len(edge) for edge in self._edges), default=0)
        # With one interest in everything and no other, all messages have the same takers.
        self.only: Takers | None = self._takers[0] if len(self._edges) == 1 else None

    def takers(self, first_part: bytes) -> Takers:
        """Who wants a message that begins with `first_part`."""
        return self._takers[bisect_right(self._edges, first_part) - 1]

    def sort(self, data: bytes) -> Iterator[tuple[Takers, int, int, int]]:
        """Who wants which of several messages: takers, where theirs begin and end in `data`, and how many these are.

        Consecutive messages with the same takers come together. Those that no interest is in have no takers.

        :param data: whole messages, as ZMTP has them in a connection.
        """
        edges, all_takers, longest = self._edges, self._takers, self._longest
        at, begin, count, end = 0, 0, 0, len(data)
        takers: Takers = ()
        while at < end:
            here = at
            flags = data[at]
            if flags & _LONG:
                size = int.from_bytes(data[at + 1 : at + 9], "big")
                at += 9
            else:
                size = data[at + 1]
                at += 2
            found = all_takers[bisect_right(edges, data[at : at + (size if size < longest else longest)]) - 1]
            at += size
            while flags & _MORE:
                flags = data[at]
                if flags & _LONG:
                    at += 9 + int.from_bytes(data[at + 1 : at + 9], "big")
                else:
                    at += 2 + data[at + 1]
            if found is not takers:
                if count:
                    yield takers, begin, here, count
                takers, begin, count = found, here, 0
            count += 1
        if count:
            yield takers, begin, end, count


def _pieces(interests: Mapping[bytes, Interest]) -> tuple[list[bytes], list[Takers]]:
    """Where pieces of the order begin, the first one with the empty message, and the takers of each.

    The same takers are the same object.
    """
    changes: dict[bytes, set[bytes]] = {b"": set()}
    for name, interest in interests.items():
        for prefix in interest:
            changes.setdefault(prefix, set()).symmetric_difference_update({name})
            behind = _behind(prefix)
            if behind is not None:
                changes.setdefault(behind, set()).symmetric_difference_update({name})
    edges: list[bytes] = []
    takers: list[Takers] = []
    same: dict[frozenset[bytes], Takers] = {frozenset(): ()}
    now: frozenset[bytes] = frozenset()
    for edge in sorted(changes):
        # A name that ends and begins at one edge is in there twice, and so not at all.
        now = now.symmetric_difference(changes[edge])
        found = same.setdefault(now, tuple(sorted(now)))
        if not takers or takers[-1] is not found:
            edges.append(edge)
            takers.append(found)
    return edges, takers


def _behind(prefix: bytes) -> bytes | None:
    """The first message in order that stands behind all that begin with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
