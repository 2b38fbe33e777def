"""Reading from one connection: what has come is understood, moved and obeyed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ...zmtp import commands
from ...zmtp.errors import Fault, ProtocolError
from ..contract import Progress
from .incoming import Buffer, Found
from .run import Run
from .sealed import Sealed
from .writing import send_command

if TYPE_CHECKING:
    from .peer import Peer


def read_peer(peer: Peer, until: float) -> Progress:
    """Read from `peer` for a turn, see `geventrelay.switch.contract.Peer.read`, and there of `until`."""
    if not peer.connected:
        return Progress.ENDED
    core = peer.core
    core.now = time.monotonic()
    core.unlink()
    if peer.side.way is not None:
        peer.side.way.counters.bursts += 1
    try:
        progress = _read(peer, until)
    except ProtocolError as error:
        peer.end(error.fault, str(error))
        progress = Progress.ENDED
    except OSError as error:
        peer.end(None, f"read: {error.strerror or error}")
        progress = Progress.ENDED
    core.flush(until)
    peer.count_rest()
    core.account.keep()
    if peer.ended is not None:
        core.unmark_ended(peer)
        return Progress.ENDED
    return progress


def _read(peer: Peer, until: float) -> Progress:
    core = peer.core
    if peer.has_stopped:
        peer.has_stopped = False
        progress = _move_some(peer, peer.rest, len(peer.rest), until)
        if progress is not None:
            return progress
        core.flush(until)
    if peer.sealed is not None:
        return _read_sealed(peer, peer.sealed, until)
    while peer.ended is None:
        room, count = _receive(peer)
        if count < 0:
            return Progress.NOT_READY
        if count == 0:
            _has_ended(peer)
            return Progress.ENDED
        progress = _move_received(peer, count, until)
        if progress is not None:
            return progress
        core.flush(until)
        peer.count_rest()
        core.account.keep()
        if count < room:
            return Progress.NOT_READY
        if core.is_over(until):
            return Progress.TURN_OVER
    return Progress.ENDED


def _read_sealed(peer: Peer, sealed: Sealed, until: float) -> Progress:
    """The same for a peer of CURVE: what is there is opened before more is read."""
    core, rest = peer.core, peer.rest
    while peer.ended is None:
        opened = sealed.open_some()
        if opened:
            rest += opened
            progress = _move_some(peer, rest, len(rest), until)
            if progress is not None:
                return progress
            core.flush(until)
        elif (progress := _receive_sealed(peer, sealed)) is not None:
            return progress
        peer.count_rest()
        core.account.keep()
        if opened and core.is_over(until):
            return Progress.TURN_OVER
    return Progress.ENDED


# What comes


def _receive(peer: Peer) -> tuple[int, int]:
    """Read into the core's buffer, behind a small rest; how much fits, and how much came, -1 for nothing now."""
    rest, buffer, view = peer.rest, peer.core.buffer, peer.core.view
    kept = len(rest) if len(rest) <= len(buffer) // 2 else 0
    if kept:
        buffer[:kept] = rest
    try:
        return len(buffer) - kept, os.readv(peer.fd, [view[kept:]])
    except (BlockingIOError, InterruptedError):
        return 0, -1


def _receive_sealed(peer: Peer, sealed: Sealed) -> Progress | None:
    """Read something that is to be opened; None if there was something."""
    try:
        count = os.readv(peer.fd, [peer.core.view])
    except (BlockingIOError, InterruptedError):
        return Progress.NOT_READY
    if count == 0:
        _has_ended(peer)
        return Progress.ENDED
    peer.heard += count
    sealed.feed(peer.core.view[:count])
    return None


def _has_ended(peer: Peer) -> None:
    """Nothing more comes."""
    assert peer.reader is not None
    within = bool(peer.rest) or peer.reader.within_message
    if peer.sealed is not None:
        within = within or peer.sealed.unread_bytes > 0
    if within:
        peer.end(Fault.CUT, "the connection has ended within a message")
    else:
        peer.end(None, "the other end has closed the connection")


# What is moved


def _move_received(peer: Peer, count: int, until: float) -> Progress | None:
    peer.heard += count
    rest, buffer = peer.rest, peer.core.buffer
    if len(rest) <= len(buffer) // 2:
        size = len(rest) + count
        rest.clear()
        return _move_some(peer, buffer, size, until)
    rest += peer.core.view[:count]
    return _move_some(peer, rest, len(rest), until)


def _move_some(peer: Peer, buffer: Buffer, size: int, until: float) -> Progress | None:
    """Move what there is in `buffer`, and keep the rest of it; None if all that is there wholly is moved."""
    at, progress, reader, core = 0, None, peer.reader, peer.core
    assert reader is not None
    while True:
        found = reader.next(buffer, at, size, core.now)
        if found is None:
            break
        moved = _take(peer, found)
        if moved:
            at, size = reader.ends[moved - 1], reader.take_out(buffer, size)
        if moved < len(reader.ends):
            reader.step_back()
            progress, peer.has_stopped = _why_not_moved(peer), True
            break
        if peer.ended is not None:
            return Progress.ENDED
        if core.is_over(until) and at < size:
            progress, peer.has_stopped = Progress.TURN_OVER, True
            break
    if buffer is peer.rest:
        del buffer[size:], buffer[:at]
    else:
        peer.rest += core.view[at:size]
    return progress


def _why_not_moved(peer: Peer) -> Progress:
    if peer.rate is None or peer.side.way is None or peer.side.way.is_over or peer.rate.has_room(peer.core.now):
        return Progress.NO_ROOM
    peer.side.way.counters.rate_waits += 1
    return Progress.OVER_RATE


def _take(peer: Peer, found: Found) -> int:
    """Do what was `found`; how many messages of it, or 1 for something else that is done."""
    if isinstance(found, Run):
        moved = peer.side.receive(peer, found)
        if moved:
            piece = found.piece(0, moved)
            peer.received += moved
            peer.received_bytes += piece.body_bytes
            peer.unanswered = max(peer.unanswered - moved, 0)
        return moved
    if isinstance(found, commands.Command):
        _take_command(peer, found)
        return 1
    return int(peer.side.apply(peer, found))


def _take_command(peer: Peer, command: commands.Command) -> None:
    """Commands that are not known mean nothing, as in libzmq (session_base_t::push_msg)."""
    if command.name == commands.PING:
        ttl_ds, context = commands.parse_ping(command.data)
        if ttl_ds and peer.on_ping is not None:
            peer.on_ping(ttl_ds)
        send_command(peer, commands.Command(commands.PONG, context))
