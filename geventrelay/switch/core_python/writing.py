"""How what waits for a peer is written."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ...zmtp import commands, frames
from ..contract import Progress

if TYPE_CHECKING:
    from .peer import Peer

_MOST_PIECES = min(64, os.sysconf("SC_IOV_MAX"))
"""Of one write: a run has up to 256 messages, so few pieces fill a socket's buffer."""
_MOST_CONTROL_BYTES = 4096
"""Of commands that wait: a peer that reads nothing gets no more of them."""


def has_something(peer: Peer) -> bool:
    """Whether something waits to be written to `peer`."""
    waits = peer.queue.messages or peer.control or peer.more_control
    return bool(waits) or (peer.sealed is not None and peer.sealed.has_output)


def write_until(peer: Peer, until: float) -> Progress:
    """Write what waits for `peer` until the kernel takes no more of it, or the time `until` has come."""
    peer.side.before_write(peer)
    while peer.connected and has_something(peer):
        try:
            _write_once(peer)
        except (BlockingIOError, InterruptedError):
            return Progress.NOT_READY
        except OSError as error:
            peer.end(None, f"write: {error.strerror or error}")
            return Progress.ENDED
        if time.monotonic() >= until and peer.wants_write:
            return Progress.TURN_OVER
    return Progress.NOT_READY


def _write_once(peer: Peer) -> None:
    _take_news(peer)
    if peer.sealed is not None:
        peer.delivered += peer.sealed.write(peer.fd, peer.control, peer.queue)
        return
    half = peer.queue.unwritten
    pieces = _gather(peer, half)
    if pieces:
        _count_written(peer, os.writev(peer.fd, pieces), half)


def _take_news(peer: Peer) -> None:
    """Some of the subscriptions that are to be told."""
    if peer.more_control is not None and len(peer.control) < _MOST_CONTROL_BYTES:
        more = peer.more_control()
        peer.control += more
        if not more:
            peer.more_control = None


def _gather(peer: Peer, half: int) -> list[memoryview]:
    """What is to be written next; `half` is what is not written of a message that is written in part."""
    pieces = peer.queue.buffers(_MOST_PIECES)
    if not peer.control:
        return pieces
    # Between two messages, and never within one.
    head = [pieces[0][:half]] if half else []
    tail = [pieces[0][half:]] if pieces else []
    return [*head, memoryview(bytes(peer.control)), *tail, *pieces[1:]]


def _count_written(peer: Peer, count: int, half: int) -> None:
    control = peer.control
    if control:
        of_half = min(count, half)
        of_control = min(count - of_half, len(control))
        del control[:of_control]
        count -= of_control
    peer.delivered += peer.queue.advance(count)


def send_command(peer: Peer, command: commands.Command) -> None:
    """Put `command` before the messages that wait for `peer`."""
    if len(peer.control) < _MOST_CONTROL_BYTES:
        peer.control += frames.encode(command.body, command=True)
        peer.core.dirty(peer)
