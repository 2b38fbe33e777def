"""ROUTER: the first part of a message is the routing id of its peer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ...engine.counters import Drop, OutletCounters
from ...zmtp import frames
from ..contract import SidePlan
from .peer import Peer
from .run import Run
from .side import Side, count_sent

if TYPE_CHECKING:
    from .core import PythonCore

_NUMBERS = 1 << 32
_FEW = 16


class Router(Side):
    """Routes by routing id (RFC 28; libzmq's router.cpp). It never blocks, and counts what it cannot route.

    :param core: see `Side`.
    :param plan: see `Side`.
    """

    blocks = False
    stands_in_for = "each message to the peer that it names"

    def __init__(self, core: PythonCore, plan: SidePlan) -> None:
        super().__init__(core, plan)
        self._by_id: dict[bytes, Peer] = {}
        # So that a reply to a peer of an earlier life goes to no other one.
        self._number = random.randrange(_NUMBERS)

    def attached(self, peer: Peer) -> None:
        """See `Side.attached`, and there of `peer`.

        A second peer with the same routing id is refused. libzmq keeps its connection and ignores it; refused, it tries
        again, and comes in once the first has gone.
        """
        announced = b"" if peer.info is None else peer.info.routing_id
        if peer.routing_id is not None and peer.routing_id == (announced or peer.routing_id):
            return
        self._forget(peer)
        routing_id = announced or self._own_id()
        other = self._by_id.get(routing_id)
        if other is not None and not self.plan.router_handover:
            peer.end(None, f"another peer has its routing id, {routing_id!r}")
            return
        if other is not None:
            self._forget(other)
            other.end(None, f"another peer has taken over its routing id, {routing_id!r}")
        self._by_id[routing_id] = peer
        peer.routing_id = routing_id

    def detached(self, peer: Peer) -> None:
        """See `Side.detached`, and there of `peer`."""
        if not peer.takes:
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        if peer.routing_id is not None:
            del self._by_id[peer.routing_id]
            peer.routing_id = None

    def _own_id(self) -> bytes:
        """5 bytes that no other peer has, the first of them 0, as in libzmq."""
        while True:
            self._number = (self._number + 1) % _NUMBERS
            routing_id = b"\0" + self._number.to_bytes(4, "big")
            if routing_id not in self._by_id:
                return routing_id

    def receive(self, peer: Peer, run: Run) -> int:
        """See `Side.receive`, and there of `peer` and `run`."""
        if peer.routing_id is None:
            return len(run.ends)
        if self.way is None:
            self._tell(peer, run)
        return super().receive(peer, run)

    @property
    def run_messages(self) -> int:  # type: ignore[override]
        """See `Side.run_messages`: few where each is work for the owner."""
        return super().run_messages if self.way is not None else _FEW

    def _tell(self, peer: Peer, run: Run) -> None:
        """Hand the messages of `run`, which is from `peer`, to the owner.

        They are for the device itself: what may be sent through it, and how much, is not said of them.
        """
        if self.on_message is None:
            return
        # They are whole. If answers have memory be short, they are not taken for a message without an end.
        peer.has_stopped = True
        for index in range(len(run.ends)):
            self.on_message(peer, run.parts_of(index))
        peer.has_stopped = False

    def in_envelope(self, peer: Peer, run: Run) -> Run:
        """With its routing id; see `Side.in_envelope`, and there of `peer` and `run`."""
        return run.after(frames.encode(peer.routing_id or b"", more=True))

    def send(self, run: Run, counters: OutletCounters) -> None:
        """See `Side.send`, and there of `run` and `counters`."""
        for index in range(len(run.ends)):
            piece = run.piece(index, index + 1)
            reason = self._route(piece)
            if reason is None:
                count_sent(counters, piece)
            else:
                counters.drop(reason)

    def send_or(self, run: Run, other: Side, counters: OutletCounters) -> int:
        """See `Side.send_or`, and there of `run`, `other` and `counters`."""
        assert isinstance(other, Router)  # it stands in for this
        refused = 0
        for index in range(len(run.ends)):
            piece = run.piece(index, index + 1)
            reason = self._route(piece)
            if reason is None:
                count_sent(counters, piece)
            elif not self._knows(piece) and other._route(piece) is None:
                counters.elsewhere += 1
            else:
                counters.drop(reason)
                refused += reason is not Drop.MALFORMED
        return refused

    def _knows(self, piece: Run) -> bool:
        """Whether it has the peer that a message names, or it names none."""
        return piece.parts < 2 or piece.data[slice(*piece.first_part(0))] in self._by_id

    def _route(self, piece: Run) -> Drop | None:
        """Send one message; why it could not be, None if it could."""
        if piece.parts < 2:
            return Drop.MALFORMED
        body, end = piece.first_part(0)
        peer = self._by_id.get(piece.data[body:end])
        if peer is None:
            return Drop.UNROUTABLE
        if not peer.make_room():
            return peer.why_full if peer.takes else Drop.UNROUTABLE
        data = piece.data[end:]
        peer.enqueue(Run(data, [len(data)], piece.parts - 1, piece.head_bytes - body, piece.at))
        return None
