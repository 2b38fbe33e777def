"""What each subscriber of a socket has got and lost, also of those that have left."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..engine.fair import FairYield
from ..engine.peeraccount import ACCOUNTS_AT_A_TIME, MOST_ACCOUNTS
from ..engine.peertable import PeerSnapshot
from ..engine.values import added
from .accounts import account_of
from .contract import LostTopic, Peer, PeerCounts

if TYPE_CHECKING:
    from .journal import Journal
    from .link import Link

MOST_GONE = 100
"""Of so many subscribers that have left it is told what they had lost: of the last ones."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """What one subscriber has got and lost.

    :ivar peer: who it is, with its account. One that is not connected has the endpoint as its address, where the device
        connects to it; its `since` is 0, and so is the `id` of its account.
    :ivar connected: whether it is connected.
    :ivar lost_topics: what it has lost by topic, most first; empty where no topics are counted.
    :ivar left_at: when it left, as Unix time; None if it is there.
    """

    peer: PeerSnapshot
    connected: bool = True
    lost_topics: tuple[LostTopic, ...] = ()
    left_at: float | None = None

    @property
    def lost(self) -> int:
        """How many deliveries it has lost, whatever the reasons."""
        return 0 if self.peer.account is None else sum(self.peer.account.lost.values())


@dataclass(frozen=True, slots=True)
class SubscribersSnapshot:
    """The subscribers of one socket at one moment.

    While nothing moves, what the socket has lost is the sum of what its subscribers have lost and `gone_lost`, as long
    as all of them are told.

    :ivar counts: what was counted of all of them together, also of those that have left.
    :ivar total: how many there are; endpoints that the device connects to and that are away are among them.
    :ivar subscribers: those that are there, no more than `geventrelay.engine.peeraccount.MOST_ACCOUNTS`: those that
        have lost most first, then those that are connected longest.
    :ivar gone: the last `MOST_GONE` that have left and had lost something, newest last.
    :ivar gone_total: how many such there were.
    :ivar gone_lost: how many deliveries all of these have lost.
    """

    counts: PeerCounts = field(default_factory=PeerCounts)
    total: int = 0
    subscribers: tuple[Subscriber, ...] = ()
    gone: tuple[Subscriber, ...] = ()
    gone_total: int = 0
    gone_lost: int = 0

    def merged_with(self, later: SubscribersSnapshot) -> SubscribersSnapshot:
        """The same for both lives of a socket, this one and a `later` one; who is there is the later one's."""
        counts = dataclasses.replace(
            later.counts,
            matched=self.counts.matched + later.counts.matched,
            delivered=self.counts.delivered + later.counts.delivered,
            dropped=added(self.counts.dropped, later.counts.dropped),
        )
        return dataclasses.replace(
            later,
            counts=counts,
            gone=(*self.gone, *later.gone)[-MOST_GONE:],
            gone_total=self.gone_total + later.gone_total,
            gone_lost=self.gone_lost + later.gone_lost,
        )


class Subscribers:
    """Those of one socket; and of those that have left, who had lost something.

    :param journal: knows who is connected.
    :param by_topic: whether losses are counted by topic.
    """

    def __init__(self, journal: Journal, *, by_topic: bool) -> None:
        self._journal = journal
        self._by_topic = by_topic
        self._gone: deque[Subscriber] = deque(maxlen=MOST_GONE)
        self._gone_total = self._gone_lost = 0

    def leaving(self, link: Link) -> Subscriber | None:
        """What is known of the subscriber at a `link` that is about to leave; None if it loses nothing by then."""
        return self._connected(link) if _loses(link.peer) else None

    def away(self, peer: Peer, endpoint: str) -> Subscriber | None:
        """The same for a `peer` without a connection, which the device connects to at an `endpoint`."""
        return self._away(peer, endpoint) if _loses(peer) else None

    def left(self, peer: Peer, known: Subscriber | None) -> None:
        """A `peer` has been removed, and this was `known` of it before."""
        if known is None or known.peer.account is None:
            return
        counts = peer.counts()
        account = dataclasses.replace(
            known.peer.account,
            # A core may have forgotten these before it said that the connection has ended.
            topics=(),
            subscriptions=0,
            matched=counts.matched,
            delivered=counts.delivered,
            lost=counts.dropped,
            waiting=0,
            waiting_bytes=0,
            oldest_s=None,
            # It has none any more, and what it had would stand there for ever.
            received_per_s=None,
            delivered_per_s=None,
        )
        who = dataclasses.replace(known.peer, account=account)
        gone = Subscriber(who, False, self._lost_topics(peer), left_at=time.time())
        if gone.lost:
            self._gone.append(gone)
            self._gone_total += 1
            self._gone_lost += gone.lost

    def snapshot(self, links: Collection[Link], away: Mapping[Peer, str]) -> list[Subscriber]:
        """Those that are there: those that have lost most first, no more than `MOST_ACCOUNTS`. Yields.

        :param links: the connections.
        :param away: peers without a connection, each with the endpoint where the device connects to it.
        """
        with FairYield() as turn:
            lost: list[tuple[int, Link]] = []
            for link in list(links):
                lost.append((-sum(link.peer.counts().dropped.values()), link))
                if len(lost) % (10 * ACCOUNTS_AT_A_TIME) == 0:
                    turn.wait()
            lost.sort(key=lambda one: one[0])
            found = [self._away(peer, endpoint) for peer, endpoint in away.items()]
            for _, link in lost[: max(0, MOST_ACCOUNTS - len(found))]:
                # It may have ended meanwhile.
                if not link.closed and (one := self._connected(link)) is not None:
                    found.append(one)
                if len(found) % ACCOUNTS_AT_A_TIME == 0:
                    turn.wait()
        found.sort(key=lambda one: -one.lost)
        return found[:MOST_ACCOUNTS]

    def all(self, counts: PeerCounts, total: int = 0, subscribers: Collection[Subscriber] = ()) -> SubscribersSnapshot:
        """Those that are there, and those that have left. Does not yield.

        :param counts: as in `SubscribersSnapshot`, and there are `total` and `subscribers`.
        """
        return SubscribersSnapshot(
            counts, total, tuple(subscribers), tuple(self._gone), self._gone_total, self._gone_lost
        )

    def _connected(self, link: Link) -> Subscriber | None:
        peer = self._journal.peer(link)
        if peer is None:
            return None
        peer = dataclasses.replace(peer, account=link.account(time.monotonic()))
        return Subscriber(peer, lost_topics=self._lost_topics(link.peer))

    def _away(self, peer: Peer, endpoint: str) -> Subscriber:
        account = account_of(peer, time.monotonic())
        return Subscriber(PeerSnapshot(endpoint, 0.0, "", account=account), False, self._lost_topics(peer))

    def _lost_topics(self, peer: Peer) -> tuple[LostTopic, ...]:
        return tuple(peer.lost_topics()) if self._by_topic else ()


def _loses(peer: Peer) -> bool:
    counts = peer.counts()
    return bool(counts.waiting or any(counts.dropped.values()))
