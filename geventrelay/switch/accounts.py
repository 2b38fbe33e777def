"""What is known of peers: of each its account, and of each user what has moved."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..engine.fair import FairYield
from ..engine.peeraccount import ACCOUNTS_AT_A_TIME, MOST_ACCOUNTS, MOST_TOPIC_BYTES, MOST_TOPICS, PeerAccount
from ..engine.useraccount import UserAccount
from .contract import Peer, PeerCounts

if TYPE_CHECKING:
    from .link import Link


def account_of(
    peer: Peer,
    now: float,
    counts: PeerCounts | None = None,
    *,
    id: int = 0,
    type: str | None = None,
    routing_id: bytes = b"",
    version: str = "",
    received_per_s: float | None = None,
    delivered_per_s: float | None = None,
) -> PeerAccount:
    """What is known of a `peer` at the time `now`, by `time.monotonic`.

    :param counts: what was counted of it, if the caller has it.
    :param id: as in `PeerAccount`, and there are `type`, `routing_id` and `version`, `received_per_s` and
        `delivered_per_s`.
    """
    counts, since = counts or peer.counts(), peer.waits_since
    return PeerAccount(
        id=id,
        type=type,
        routing_id=routing_id,
        version=version,
        topics=tuple(topic[:MOST_TOPIC_BYTES] for topic in peer.some_topics(MOST_TOPICS)),
        oldest_s=None if since is None else max(0.0, now - since),
        received_per_s=received_per_s,
        delivered_per_s=delivered_per_s,
        received=counts.received,
        received_bytes=counts.received_bytes,
        forbidden=counts.forbidden,
        forbidden_subscriptions=counts.forbidden_subscriptions,
        over_rate=counts.over_rate,
        subscriptions=counts.subscriptions,
        matched=counts.matched,
        delivered=counts.delivered,
        lost=counts.dropped,
        waiting=counts.waiting,
        waiting_bytes=counts.waiting_bytes,
    )


def moved_by(links: Collection[Link]) -> list[tuple[str, UserAccount]]:
    """What has moved over those of the `links` whose user has a name, and that are still there at the end. Yields."""
    found: list[tuple[Link, UserAccount]] = []
    with FairYield() as turn:
        for link in [link for link in links if link.user]:
            found.append((link, link.moved()))
            if len(found) % ACCOUNTS_AT_A_TIME == 0:
                turn.wait()
    # What those have moved that have ended meanwhile is in the account of their user.
    return [(link.user, moved) for link, moved in found if not link.closed]


def accounts_of(links: Collection[Link]) -> dict[int, PeerAccount]:
    """All that is known of the peers of the first `MOST_ACCOUNTS` `links`, by their number. Yields."""
    found: dict[int, PeerAccount] = {}
    with FairYield() as turn:
        for link in list(links)[:MOST_ACCOUNTS]:
            found[link.id] = link.account(time.monotonic())
            if len(found) % ACCOUNTS_AT_A_TIME == 0:
                turn.wait()
    return found
