"""The core in Python: makes sides and ways, and knows which peers have something to write."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from typing import cast

from ...engine.counters import OutletCounters, PumpCounters
from ...engine.gate import Gate
from ...engine.rate import Rate, RateLimit
from .. import contract
from ..contract import Destination, SidePlan
from .account import Account, Kept
from .peer import Peer
from .publish import Publish
from .push import Push
from .router import Router
from .side import Side
from .subscribe import Subscribe
from .way import Lane, Way
from .writing import write_until

_BUFFER_BYTES = 64 << 10

_SIDES: dict[str, type[Side]] = {
    "PULL": Side,
    "PUSH": Push,
    "SUB": Subscribe,
    "XSUB": Subscribe,
    "PUB": Publish,
    "XPUB": Publish,
    "ROUTER": Router,
    "DEALER": Push,
}


class PythonCore:
    """`geventrelay.switch.contract.Core`: runs everywhere, and is the yardstick for the native one.

    :param account: what is kept for peers is counted there; None for one of its own, without a limit.
    :ivar account: that.
    :ivar kept: this core's share.
    :ivar sides: all of them.
    :ivar shed: messages dropped for want of memory, since the last `take_shed`.
    :ivar buffer: what all connections are read into, and `view` is the same.
    :ivar now: when the present turn began, by `time.monotonic`.
    """

    def __init__(self, account: Account | None = None) -> None:
        self.account = Account() if account is None else account
        self.kept = Kept()
        self.account.join(self)
        self.sides: list[Side] = []
        self.shed = 0
        self._attention: Callable[[], None] | None = None
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.now = 0.0
        self._dirty: list[Peer] = []
        self._stalled: list[Peer] = []
        self._ended: list[contract.Peer] = []
        self._unlinking: deque[tuple[Sized, Callable[[], bool]]] = deque()

    def side(self, plan: SidePlan) -> Side:
        """See `geventrelay.switch.contract.Core.side`, and there of `plan`."""
        if plan.type not in _SIDES:
            raise ValueError(f"socket type: expected one of {', '.join(_SIDES)}, got {plan.type!r}")
        made = _SIDES[plan.type](self, plan)
        self.sides.append(made)
        return made

    def rate(self, limit: RateLimit) -> Rate:
        """See `geventrelay.switch.contract.Core.rate`, and there of `limit`."""
        return Rate(limit)

    def gate(self) -> Gate:
        """See `geventrelay.switch.contract.Core.gate`."""
        return Gate()

    def way(self, source: contract.Side, destinations: Sequence[Destination]) -> Way:
        """See `geventrelay.switch.contract.Core.way`, and there of `source` and `destinations`.

        :raises ValueError: if a destination, or what it has otherwise, is of a type that cannot be one.
        """
        counters = PumpCounters(outlets=tuple(OutletCounters() for _ in destinations))
        lanes = []
        for one, outlet in zip(destinations, counters.outlets, strict=True):
            lanes.append(
                Lane(cast(Side, one.side), one.when_full, one.payload, outlet, cast("Side | None", one.otherwise))
            )
        made = cast(Side, source).way = Way(lanes, counters)
        return made

    def take_stalled(self) -> list[contract.Peer]:
        """See `geventrelay.switch.contract.Core.take_stalled`."""
        found: list[contract.Peer] = []
        for peer in dict.fromkeys((*self._stalled, *self._dirty)):
            peer.is_dirty = False
            # What waited may have been dropped since.
            peer.is_stalled = peer.wants_write
            if peer.is_stalled:
                found.append(peer)
        self._stalled, self._dirty = [], []
        return found

    def take_ended(self) -> list[contract.Peer]:
        """See `geventrelay.switch.contract.Core.take_ended`."""
        ended, self._ended = self._ended, []
        return ended

    def take_shed(self) -> int:
        """See `geventrelay.switch.contract.Core.take_shed`."""
        shed, self.shed = self.shed, 0
        return shed

    def set_attention(self, call: Callable[[], None] | None) -> None:
        """See `geventrelay.switch.contract.Core.set_attention`, and there of `call`."""
        self._attention = call

    def tidy(self, until: float) -> bool:
        """See `geventrelay.switch.contract.Core.tidy`, and there of `until`."""
        while self._unlinking:
            if not self.unlink():
                return False
            if self.is_over(until):
                break
        return bool(self._unlinking)

    def call_attention(self) -> None:
        """The account has had something done here."""
        if self._attention is not None:
            self._attention()

    # For its peers

    def leave_unlinking(self, left: Sized, step: Callable[[], bool]) -> None:
        """A peer has gone, and more is `left` of it than is forgotten at once: each `step` makes that less."""
        self._unlinking.append((left, step))

    def unlink(self) -> bool:
        """Go on with one step of what is left of peers that have gone; False if that has to wait."""
        if not self._unlinking:
            return True
        left, step = self._unlinking[0]
        done = step()
        if not left:
            self._unlinking.popleft()
        return done

    def is_over(self, until: float) -> bool:
        """Whether a turn that lasts `until` is over."""
        self.now = time.monotonic()
        return self.now >= until

    def dirty(self, peer: Peer) -> None:
        """Something waits to be written to `peer`."""
        if not peer.is_dirty and not peer.is_stalled and peer.connected:
            peer.is_dirty = True
            self._dirty.append(peer)

    def flush(self, until: float) -> None:
        """Write what waits, up to the time `until`."""
        while self._dirty and not self.is_over(until):
            peer = self._dirty.pop()
            peer.is_dirty = False
            if not peer.is_stalled:
                self.write(peer, until)

    def write(self, peer: Peer, until: float = math.inf) -> None:
        """Write what waits for `peer`, up to the time `until`."""
        write_until(peer, until)
        if peer.wants_write and not peer.is_stalled:
            peer.is_stalled = True
            self._stalled.append(peer)

    def end(self, peer: Peer) -> None:
        """The connection of `peer` has ended in a write."""
        self._ended.append(peer)

    def unmark_ended(self, peer: Peer) -> None:
        """The caller has been told otherwise that the connection of `peer` has ended."""
        if peer in self._ended:
            self._ended.remove(peer)
