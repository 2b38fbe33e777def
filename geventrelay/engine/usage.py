"""Whether a connection has sent more than it may: decisions from counts of bytes. Pure; time is an argument.

A peer of a socket that only sends (PUB, XPUB, PUSH) has nothing to send but subscriptions. What it sends fills a
bucket, and the bucket leaks.

A peer of a socket that reads (PULL, SUB, XSUB, ROUTER, DEALER, PAIR) may send as much as it likes, as long as messages
come of it. libzmq hands a message over when it is whole. So bytes that have come in while the socket had nothing to
read belong to a message that is not whole yet. All that has been read from the socket meanwhile is taken off again: it
may have been this connection's.
"""

from __future__ import annotations

from dataclasses import dataclass

PART_COST_BYTES = 48
"""What a part costs on the wire beside its own bytes, at most: the head of its frame, and what CURVE adds."""
# ZMTP's PINGs are no part of messages.
_UNFINISHED_LEAK_BYTES_S = 1024


@dataclass(frozen=True, slots=True)
class Offence:
    """Why a connection is ended here.

    :ivar reason: what such ends are counted by.
    :ivar option: the option that lifts the bound, for the log.
    """

    reason: str
    option: str


_SENDS_TOO_MUCH = Offence("sends_too_much", "subscriber-burst")
_UNFINISHED = Offence("unfinished", "max-unfinished")
TOO_MANY_PARTS = Offence("too_many_parts", "max-parts")
REVOKED = Offence("revoked", "on-revoke")
REASONS = tuple(one.reason for one in (_SENDS_TOO_MUCH, _UNFINISHED, TOO_MANY_PARTS, REVOKED))
"""What the ends of connections are counted by."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a connection may send.

    :ivar burst_bytes: at once.
    :ivar rate_bytes_s: beyond that, in a second.
    :ivar offence: what it is to send more.
    :ivar reads: whether messages are read from the socket.
    """

    burst_bytes: int
    rate_bytes_s: int
    offence: Offence
    reads: bool


def subscriber_bound(burst_bytes: int, rate_bytes_s: int) -> Bound:
    """The bound of peers that are to send nothing but subscriptions.

    :param burst_bytes: at once.
    :param rate_bytes_s: beyond that, in a second.
    """
    return Bound(burst_bytes, rate_bytes_s, _SENDS_TOO_MUCH, reads=False)


def unfinished_bound(limit_bytes: int) -> Bound:
    """The bound of what is sent of a message that never ends: `limit_bytes`."""
    return Bound(limit_bytes, _UNFINISHED_LEAK_BYTES_S, _UNFINISHED, reads=True)


@dataclass(slots=True)
class Usage:
    """What one connection has sent, and how much of it counts.

    :ivar received: how many bytes had come in when it was looked at last.
    :ivar at: when that was, in seconds.
    :ivar counted: the bytes that count.
    """

    received: int
    at: float
    counted: float = 0.0

    def look(self, bound: Bound, received: int, now: float, *, read_bytes: int = 0, idle: bool = True) -> bool:
        """Take in how many bytes have come in by now; whether that is too much. Does not yield.

        :param bound: what it may send.
        :param received: bytes that have come in over the connection, all in all.
        :param now: the time, in seconds.
        :param read_bytes: bytes that were read from the socket since the last look, from any connection.
        :param idle: whether the socket has nothing to read now. If it has, what came in may be in its queue.
        """
        left = max(0.0, self.counted - bound.rate_bytes_s * max(0.0, now - self.at))
        grown = received - self.received if idle else 0
        self.received, self.at = received, now
        self.counted = max(0.0, left + grown - read_bytes)
        return self.counted > bound.burst_bytes
