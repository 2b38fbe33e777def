"""Destinations that give each message to one peer, in turn: PUSH and DEALER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engine.counters import Drop, OutletCounters
from ..contract import SidePlan
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
        for peer in self._takers:
            room += peer.room()
            if room >= wanted:
                return wanted
        # A write may end a peer, which is then none of them.
        return min(wanted, sum(peer.make_room() for peer in tuple(self._takers)))

    @property
    def has_room(self) -> bool:
        """See `Side.has_room`."""
        return any(peer.room() for peer in self._takers)

    def send(self, run: Run, counters: OutletCounters) -> None:
        """See `Side.send`, and there of `run` and `counters`."""
        done, count = 0, len(run.ends)
        while done < count:
            peer = self._choose()
            if peer is None:
                counters.drop(Drop.FULL if self._takers else Drop.NO_PEER, count - done)
                return
            # To the only one as much as there is room for, else one each.
            last = min(count, done + peer.room()) if len(self._takers) == 1 else done + 1
            piece = run.piece(done, last)
            peer.put(piece)
            count_sent(counters, piece)
            done = last

    def _choose(self) -> Peer | None:
        """The next peer with room, whose turn is over with this."""
        for _ in range(len(self._takers)):
            if not self._takers:
                break
            self._next %= len(self._takers)
            peer = self._takers[self._next]
            if peer.room() or (peer.make_room() and peer.takes):
                self._next += 1
                return peer
            # A peer that its write has ended is not there any more.
            self._next += peer.takes
        return None
