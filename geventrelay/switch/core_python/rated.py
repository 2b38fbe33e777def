"""Messages of a peer whose rate is limited: how many of them may be moved now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engine.counters import Drop
from ...engine.rate import Rate
from .run import Run

if TYPE_CHECKING:
    from .peer import Peer
    from .side import Side


def receive_rated(side: Side, peer: Peer, rate: Rate, run: Run) -> int:
    """Move or drop messages of a `run` that has come to `side` from `peer`, as its `rate` has it; how many of them."""
    count = len(run.ends)
    allowed = _allowed(run, *rate.room(side.core.now))
    if allowed:
        piece = run.piece(0, allowed)
        moved = side.move(peer, piece)
        if moved:
            rate.take(moved, piece.piece(0, moved).body_bytes)
        if moved < allowed:
            return moved
    if allowed == count or not rate.limit.drops:
        return allowed
    assert side.way is not None  # it has been asked for
    side.way.drop(run.piece(allowed, count), Drop.RATE)
    peer.over_rate += count - allowed
    return count


def _allowed(run: Run, messages: int, nbytes: int) -> int:
    """How many messages of a `run`, from its beginning, may pass where so many may, with so many bytes."""
    most = min(messages, len(run.ends))
    if run.body_bytes <= nbytes:
        return most if nbytes else 0
    index = 0
    while index < most and nbytes > 0:
        nbytes -= run.body_of(index)
        index += 1
    return index
