"""What a peer may do at one socket: the part of a user's rights that an engine holds each message against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Prefixes = tuple[bytes, ...]
"""What something may begin with; none of them allows nothing, and an empty one allows everything."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a peer may do at one socket.

    :ivar send: what the first part of its messages may begin with; None for anything.
    :ivar subscribe: what the topics that it subscribes to may begin with; None for anything.
    """

    send: Prefixes | None = None
    subscribe: Prefixes | None = None


def allows(prefixes: Prefixes, data: bytes) -> bool:
    """Whether `data` begins with one of the `prefixes`. Does not yield."""
    return data.startswith(prefixes)


def needed(prefixes: Iterable[bytes]) -> Prefixes | None:
    """The same in fewer `prefixes`, sorted, as a `Grant` has them: None if they allow everything. Does not yield."""
    kept: list[bytes] = []
    for one in sorted(prefixes):
        # What begins with another one stands right behind it, or behind others that do.
        if not kept or not one.startswith(kept[-1]):
            kept.append(one)
    return None if kept == [b""] else tuple(kept)
