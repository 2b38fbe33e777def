"""What engine zmtp knows of one peer, exactly. libzmq tells none of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .counters import LOSSES, Drop
from .values import counter, gauge, values_of

MOST_TOPICS = 10
"""How many of a peer's topics are told. It may have a hundred thousand."""

MOST_TOPIC_BYTES = 100
"""How much of each of these is told."""

MOST_ACCOUNTS = 1000
"""Of how many peers of a socket there is an account, those that are connected longest."""

ACCOUNTS_AT_A_TIME = 20
"""After so many everything else has a turn: each takes some 50 µs."""


@dataclass(frozen=True, slots=True)
class PeerAccount:
    """One peer at one moment: ``matched == delivered + sum(lost) + waiting``.

    :ivar id: its number, which no other connection of this process has or had: see `Device.disconnect`.
    :ivar type: the type of its socket, e.g. ``SUB``; None if it does not tell, as with ZMTP 1.0.
    :ivar routing_id: what it calls itself; empty for nothing.
    :ivar version: of ZMTP, that is spoken with it, e.g. ``3.1``.
    :ivar topics: of those that it is subscribed to, the last `MOST_TOPICS`, sorted, and `MOST_TOPIC_BYTES` of each.
    :ivar oldest_s: for how many seconds the oldest message has waited for it; None if none waits.
    :ivar received_per_s: how many messages a second came from it, between the last two looks that were at least a
        second apart; None before that.
    :ivar delivered_per_s: how many were delivered to it, likewise.
    """

    id: int
    type: str | None
    routing_id: bytes
    version: str
    topics: tuple[bytes, ...]
    oldest_s: float | None
    received_per_s: float | None
    delivered_per_s: float | None
    received: int = counter("messages", "Messages that have come from the peer.", path=("received", "messages"))
    received_bytes: int = counter("bytes", "Bytes of the messages from the peer.", path=("received", "bytes"))
    forbidden: int = counter(
        "messages", "Messages from the peer that were dropped, since it has no right to send them.",
        path=("forbidden", "messages"),
    )  # fmt: skip
    forbidden_subscriptions: int = counter(
        "subscriptions", "Subscriptions of the peer that were ignored, since it has no right to them.",
        path=("forbidden", "subscriptions"),
    )  # fmt: skip
    over_rate: int = counter(
        "messages", "Messages from the peer that were dropped, since more came than max-rate or max-rate-bytes allows.",
        path=("over_rate",),
    )  # fmt: skip
    subscriptions: int = gauge("topics", "Topics that the peer is subscribed to.", path=("subscriptions",))
    matched: int = counter("deliveries", "Messages that were for the peer.", path=("matched",))
    delivered: int = counter(
        "deliveries", "Messages for the peer that the kernel has taken wholly.", path=("delivered",)
    )
    lost: Mapping[Drop, int] = counter(
        "deliveries", "Messages for the peer that were dropped, by reason.",
        path=("lost",), by="reason", known=[one.value for one in LOSSES],
    )  # fmt: skip
    waiting: int = gauge("messages", "Messages that wait until the peer takes more.", path=("waiting",))
    waiting_bytes: int = gauge(
        "bytes", "Bytes of the messages that wait, heads of frames among them.", path=("waiting_bytes",)
    )


OF_PEER = values_of(PeerAccount)
"""Every value of a peer."""
