"""One socket of a device: what all types have in common, and those that only receive."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ...engine.counters import Drop, OutletCounters
from ...engine.gate import Gate
from ...engine.grant import Prefixes, allows
from .. import contract
from ..contract import KeptValues, LogState, PeerCounts, SidePlan, TopicCounts
from .incoming import Subscription
from .last_values import LastValues
from .log import Log
from .peer import Peer
from .rated import receive_rated
from .run import Run

if TYPE_CHECKING:
    from .core import PythonCore
    from .way import Way


class Side:
    """`geventrelay.switch.contract.Side`, as it is for a PULL; other types change what is theirs.

    :param core: where it belongs.
    :param plan: what it is to be.
    :ivar peers: all of them.
    :ivar way: where messages from its peers go; None if they go nowhere.
    :ivar last_values: what it keeps for later subscribers; None for nothing.
    :ivar log: what it keeps of all that it has published; None for nothing.
    :ivar gate: see `geventrelay.switch.contract.Side`.
    :ivar on_message: likewise.
    """

    takes_subscriptions = False
    """Whether its peers may subscribe."""
    run_messages = 256
    """How many messages are moved together at most: after each run the clock is read."""

    def __init__(self, core: PythonCore, plan: SidePlan) -> None:
        self.plan = plan
        self.core = core
        self.peers: list[Peer] = []
        self.way: Way | None = None
        self.last_values: LastValues | None = None
        self.log: Log | None = None
        self.gate: Gate | None = None
        self.on_message: Callable[[contract.Peer, list[bytes]], None] | None = None
        # What was counted of peers that were removed.
        self._past = PeerCounts()

    def new_peer(self, *, queues_before: bool) -> Peer:
        """See `geventrelay.switch.contract.Side.new_peer`, and there of `queues_before`."""
        peer = Peer(self.core, self, queues_before=queues_before)
        self.peers.append(peer)
        return peer

    def remove(self, peer: contract.Peer, reason: Drop = Drop.LEFT) -> None:
        """See `geventrelay.switch.contract.Side.remove`, and there of `peer` and `reason`."""
        peer = cast(Peer, peer)
        peer.detach()
        peer.queues_before = False
        self.detached(peer)
        self.peers.remove(peer)
        peer.lose(reason, peer.queue.clear())
        self._past = _sum([self._past, dataclasses.replace(peer.counts(), subscriptions=0)])

    def counts(self) -> PeerCounts:
        """See `geventrelay.switch.contract.Side.counts`."""
        return _sum([self._past, *(peer.counts() for peer in self.peers)])

    def free_places(self) -> int:
        """See `geventrelay.switch.contract.Side.free_places`."""
        return 0

    def subscribe(self, topic: bytes) -> None:
        """See `geventrelay.switch.contract.Side.subscribe`, and there of `topic`."""
        raise ValueError(f"subscribe: expected a SUB, got a {self.plan.type}: {topic!r}")

    def cancel(self, topic: bytes) -> None:
        """See `geventrelay.switch.contract.Side.cancel`, and there of `topic`."""
        raise ValueError(f"cancel: expected a SUB, got a {self.plan.type}: {topic!r}")

    def drop_too_old(self, now: float) -> float | None:
        """See `geventrelay.switch.contract.Side.drop_too_old`, and there of `now`."""
        return None

    def kept_values(self) -> KeptValues | None:
        """See `geventrelay.switch.contract.Side.kept_values`."""
        return None if self.last_values is None else self.last_values.counts(time.monotonic())

    def log_state(self) -> LogState | None:
        """See `geventrelay.switch.contract.Side.log_state`."""
        return None if self.log is None else self.log.state()

    def logged(
        self, first: int, last: int, prefixes: tuple[bytes, ...], most: int, until: float
    ) -> tuple[list[tuple[int, list[bytes]]], int]:
        """See `geventrelay.switch.contract.Side.logged`, and there of `first`, `last`, `prefixes`, `most` and `until`.

        :raises ValueError: if there is no log.
        """
        if self.log is None:
            raise ValueError("logged: expected a side with a log")
        return self.log.read(first, last, prefixes, most, until)

    def last_values_from(self, prefix: bytes, after: bytes | None, most: int) -> list[tuple[bytes, float, list[bytes]]]:
        """See `geventrelay.switch.contract.Side.last_values_from`, and there of `prefix`, `after` and `most`."""
        return [] if self.last_values is None else self.last_values.read(prefix, after, most, time.monotonic())

    def topic_counts(self) -> TopicCounts | None:
        """See `geventrelay.switch.contract.Side.topic_counts`."""
        return None

    def forget(self, until: float) -> bool:
        """See `geventrelay.switch.contract.Side.forget`, and there of `until`."""
        return False

    @property
    def asks_for(self) -> Sequence[bytes]:
        """See `geventrelay.switch.contract.Side.asks_for`."""
        return ()

    # What happens to its peers

    def attached(self, peer: Peer) -> None:
        """A `peer` has a connection."""

    def detached(self, peer: Peer) -> None:
        """A `peer` has lost its connection, or is removed."""

    def before_write(self, peer: Peer) -> None:
        """What waits for `peer` is about to be written."""

    def subscriptions_of(self, peer: Peer) -> int:
        """How many topics `peer` is subscribed to."""
        return 0

    def some_topics_of(self, peer: Peer, most: int) -> list[bytes]:
        """Of these topics of `peer`, the last `most`, sorted."""
        return []

    def subscribed_bytes(self, peer: Peer) -> int:
        """How much the subscriptions take, about, that are kept for `peer`."""
        return 0

    def forget_subscriptions(self, peer: Peer) -> None:
        """Have `peer`, whose connection has ended, be subscribed to nothing any more."""

    # What comes

    def receive(self, peer: Peer, run: Run) -> int:
        """Move a `run` that has come from `peer`; how many of its messages. They go nowhere if there is no way."""
        if self.way is None:
            return len(run.ends)
        if peer.rate is None or self.way.is_over:
            return self.move(peer, run)
        return receive_rated(self, peer, peer.rate, run)

    def move(self, peer: Peer, run: Run) -> int:
        """Move a `run` of `peer` that is wanted, and drop what it may not send; how many of its messages."""
        assert self.way is not None  # it has been asked for
        if peer.grant.send is None:
            return self.way.move(self.in_envelope(peer, run))
        done = 0
        for allowed, count in _allowed(peer.grant.send, run):
            piece = run.piece(done, done + count)
            if allowed:
                moved = self.way.move(self.in_envelope(peer, piece))
                if moved < count:
                    return done + moved
            else:
                self.way.drop(piece, Drop.FORBIDDEN)
                peer.forbidden += count
            done += count
        return done

    def in_envelope(self, peer: Peer, run: Run) -> Run:
        """What is moved of a `run` that has come from `peer`."""
        return run

    def apply(self, peer: Peer, subscription: Subscription) -> bool:
        """Do what a `subscription` of `peer` says; False if it has to wait."""
        return True

    # What goes

    blocks = True
    """Whether a destination of this type blocks where it is asked to."""
    stands_in_for: str | None = None
    """For which destinations one of this type may be what they have otherwise: a word that both types have."""

    @property
    def holds_back(self) -> bool:
        """Whether it takes no more of what comes while memory is short. Elsewhere what waits is dropped."""
        return True

    @property
    def is_shut(self) -> bool:
        """Whether it has a gate without a permit."""
        return self.gate is not None and self.gate.permits <= 0

    def end_slow(self, peer: Peer) -> None:
        """Disconnect `peer`, a subscriber that is slow."""

    def room(self, run: Run) -> int:
        """How many messages of `run`, from its beginning, can go now."""
        raise ValueError(f"a destination: expected a type that sends, got {self.plan.type}")

    @property
    def has_room(self) -> bool:
        """Whether `room` has probably changed since it was 0."""
        return True

    def send(self, run: Run, counters: OutletCounters) -> None:
        """Send `run`, or drop what there is no room for, and count it in `counters`."""
        raise ValueError(f"a destination: expected a type that sends, got {self.plan.type}")

    def send_or(self, run: Run, other: Side, counters: OutletCounters) -> int:
        """Send `run`, and have `other`, which may stand in, send what there is no room for; drop the rest.

        :returns: how many were dropped, but for those that are `Drop.MALFORMED`. All are counted in `counters`.
        """
        raise ValueError(f"a destination: expected a type that has an alternative, got {self.plan.type}")


def count_sent(counters: OutletCounters, run: Run) -> None:
    """Count a `run` in `counters` as sent."""
    counters.sent += len(run.ends)
    counters.sent_parts += run.parts
    counters.sent_bytes += run.body_bytes


def _allowed(prefixes: Prefixes, run: Run) -> Iterator[tuple[bool, int]]:
    """Whether the next messages of `run` may be sent, and for how many that is so."""
    firsts = (run.data[slice(*run.first_part(index))] for index in range(len(run.ends)))
    for allowed, group in itertools.groupby(allows(prefixes, first) for first in firsts):
        yield allowed, sum(1 for _ in group)


def _sum(several: Sequence[PeerCounts]) -> PeerCounts:
    dropped: Counter[Drop] = Counter()
    for one in several:
        dropped.update(one.dropped)
    names = (field.name for field in dataclasses.fields(PeerCounts) if field.name != "dropped")
    return PeerCounts(**{name: sum(getattr(one, name) for one in several) for name in names}, dropped=dict(dropped))
