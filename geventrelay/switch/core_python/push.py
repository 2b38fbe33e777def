"""Destinations that give each message to one peer, in turn: PUSH and DEALER."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...engine.counters import Drop, OutletCounters
from ...engine.gate import is_request
from ..contract import MOST_FREE_PLACES, SidePlan
from .peer import Peer
from .run import Run
from .side import Side, count_sent

if TYPE_CHECKING:
    from .core import PythonCore


class Push(Side):
    """Round-robin by message over the peers that have room (RFC 30; libzmq's lb.cpp).

    :param core: see `Side`.
    :param plan: see `Side`.
    """

    def __init__(self, core: PythonCore, plan: SidePlan) -> None:
        super().__init__(core, plan)
        self._takers: list[Peer] = []
        self._next = 0

    def new_peer(self, *, queues_before: bool) -> Peer:
        """See `Side.new_peer`, and there of `queues_before`."""
        peer = super().new_peer(queues_before=queues_before)
        self._update(peer)
        return peer

    def attached(self, peer: Peer) -> None:
        """See `Side.attached`, and there of `peer`."""
        self._update(peer)

    def detached(self, peer: Peer) -> None:
        """See `Side.detached`, and there of `peer`."""
        self._update(peer)

    stands_in_for = "each message to one peer, in turn"

    def free_places(self) -> int:
        """See `geventrelay.switch.contract.Side.free_places`."""
        return min(sum(peer.free_places() for peer in self._takers), MOST_FREE_PLACES)

    def _update(self, peer: Peer) -> None:
        if peer.takes and peer not in self._takers:
            self._takers.append(peer)
        elif not peer.takes and peer in self._takers:
            index = self._takers.index(peer)
            del self._takers[index]
            self._next -= index < self._next

    def room(self, run: Run) -> int:
        """See `Side.room`, and there of `run`."""
        wanted, room = len(run.ends), 0
        if self.gate is not None:
            wanted = max(0, min(wanted, self.gate.permits))
        for peer in self._takers:
            room += peer.room()
            if room >= wanted:
                return wanted
        # A write may end a peer, which is then none of them.
        return min(wanted, sum(peer.make_room() for peer in tuple(self._takers)))

    @property
    def has_room(self) -> bool:
        """See `Side.has_room`."""
        return not self.is_shut and any(peer.room() for peer in self._takers)

    def send(self, run: Run, counters: OutletCounters) -> None:
        """See `Side.send`, and there of `run` and `counters`."""
        done, count = 0, len(run.ends)
        while done < count:
            last = self._give(run, done, count)
            if last == done:
                counters.drop(self._why_none(), count - done)
                return
            count_sent(counters, run.piece(done, last))
            done = last

    def send_or(self, run: Run, other: Side, counters: OutletCounters) -> int:
        """See `Side.send_or`, and there of `run`, `other` and `counters`."""
        done, count = 0, len(run.ends)
        assert isinstance(other, Push)  # it stands in for this
        while done < count:
            last = self._give(run, done, count)
            if last > done:
                count_sent(counters, run.piece(done, last))
            else:
                # One at a time: there may be room here for the next one.
                last = other._give(run, done, done + 1)
                counters.elsewhere += last - done
            if last == done:
                counters.drop(self._why_none(), count - done)
                return count - done
            done = last
        return 0

    def _give(self, run: Run, first: int, last: int) -> int:
        """Send messages of `run`, from `first` up to and without `last`, as far as there is room; how far that is."""
        if self.gate is not None:
            last = min(last, first + max(self.gate.permits, 0))
        shares, last = self._share(first, last) if first < last else ([], first)
        for peer, indices in shares:
            peer.enqueue(run.pick(indices))
            if self.plan.requests_per_peer:
                peer.unanswered += sum(is_request(run.parts_of(index)) for index in indices)
        if self.gate is not None:
            self.gate.permits -= last - first
        return last

    def _why_none(self) -> Drop:
        """Why no peer takes a message."""
        # A queue without a peer may be full too.
        reasons = {peer.why_full for peer in self._takers if peer.connected}
        return Drop.MEMORY if Drop.MEMORY in reasons else Drop.FULL if reasons else Drop.NO_PEER

    def _share(self, first: int, last: int) -> tuple[list[tuple[Peer, Sequence[int]]], int]:
        """Who gets which of the messages from `first` to `last`, and up to which one there is room."""
        if not any(peer.room() for peer in self._takers):
            for peer in tuple(self._takers):
                peer.make_room()
        count, peers = last - first, self._in_turn()
        each = -(-count // max(len(peers), 1))
        if peers and all(peer.room() >= each for peer in peers):
            self._next += count
            return [(peer, range(first + i, last, len(peers))) for i, peer in enumerate(peers[:count])], last
        return self._share_one_by_one(first, last)

    def _share_one_by_one(self, first: int, last: int) -> tuple[list[tuple[Peer, Sequence[int]]], int]:
        """The same where some peer has too little room for its share."""
        left = {peer: room for peer in self._in_turn() if (room := peer.room())}
        shares: dict[Peer, list[int]] = {}
        turns = deque(left)
        while turns and first < last:
            peer = turns.popleft()
            shares.setdefault(peer, []).append(first)
            self._next = self._takers.index(peer) + 1
            first += 1
            left[peer] -= 1
            if left[peer]:
                turns.append(peer)
        return list(shares.items()), first

    def _in_turn(self) -> list[Peer]:
        """The peers, from the one whose turn it is."""
        self._next %= max(len(self._takers), 1)
        return [*self._takers[self._next :], *self._takers[: self._next]]
