"""How many messages and bytes may come in within a second, and what happens to more. Pure; time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from .bucket import Bucket

SHORTEST_WAIT_S = 0.01
"""What waits for its rate waits so long at least, in seconds: one timer is for many messages."""

NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What may come in within a second. As much as that may come at once.

    :ivar messages_per_s: how many messages; 0 for no limit.
    :ivar bytes_per_s: how many bytes of them; 0 for no limit.
    :ivar drops: whether more is dropped; without, it waits where it is.
    :ivar seconds_at_once: how many seconds' worth may come at once.
    """

    messages_per_s: float = 0
    bytes_per_s: float = 0
    drops: bool = False
    seconds_at_once: float = 1.0


class Rate:
    """What has come in of late, held against a `limit`.

    :ivar limit: what may come in.
    """

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._messages = _bucket(limit.messages_per_s, limit.seconds_at_once)
        self._bytes = _bucket(limit.bytes_per_s, limit.seconds_at_once)

    def room(self, now: float) -> tuple[int, int]:
        """How many messages, and how many bytes of them, may come in at the time `now`; none if one of them is 0.

        The message with which the bytes are reached may come in whole. Does not yield.
        """
        return _room(self._messages, now), _room(self._bytes, now)

    def has_room(self, now: float) -> bool:
        """Whether a message may come in at the time `now`. Does not yield."""
        return all(self.room(now))

    def take(self, messages: int, nbytes: int) -> None:
        """So many `messages`, of `nbytes` in all, have come in. Does not yield."""
        if self._messages is not None:
            self._messages.take(messages)
        if self._bytes is not None:
            self._bytes.take(nbytes)

    def wait_s(self, now: float) -> float:
        """How long from `now` to wait until more may come in, in seconds: `SHORTEST_WAIT_S` or more. Does not yield."""
        buckets = (one for one in (self._messages, self._bytes) if one is not None)
        return max((SHORTEST_WAIT_S, *(one.wait_s(now) for one in buckets)))

    def is_full(self, now: float) -> bool:
        """Whether at the time `now` it is as a new one. Does not yield."""
        return all(one is None or one.is_full(now) for one in (self._messages, self._bytes))


def _bucket(per_s: float, seconds_at_once: float) -> Bucket | None:
    return Bucket(per_s, max(1.0, per_s * seconds_at_once)) if per_s else None


def _room(bucket: Bucket | None, now: float) -> int:
    return NO_LIMIT if bucket is None else bucket.room(now)
