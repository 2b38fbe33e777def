"""One peer: its connection, what waits for it, and what is counted of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...engine.counters import Drop
from ...engine.grant import Grant
from ...zmtp import commands, events, frames
from ...zmtp.errors import Fault, ProtocolError
from ...zmtp.greeting import Version
from ..contract import Ended, PeerCounts, Progress
from .queue import Queue
from .reading import Buffer, Found, Reader
from .run import Run
from .sealed import Sealed

if TYPE_CHECKING:
    from .core import PythonCore
    from .side import Side

NO_LIMIT = 1 << 62
_MOST_PIECES = min(64, os.sysconf("SC_IOV_MAX"))
"""Of one write: a run has up to 256 messages, so few pieces fill a socket's buffer."""
_MOST_CONTROL_BYTES = 4096
"""Of commands that wait: a peer that reads nothing gets no more of them."""


class Peer:
    """`geventrelay.switch.contract.Peer`.

    :param core: where it belongs.
    :param side: likewise.
    :param queues_before: see `geventrelay.switch.contract.Side.new_peer`.
    :ivar core: where it belongs.
    :ivar routing_id: by which a ROUTER knows it; None where it is no ROUTER's.
    :ivar info: what the handshake has told; None without a connection.
    :ivar queue: what waits for it.
    :ivar more_control: bytes of commands that are to be written, as they are wanted; None if there are none.
    :ivar topics: what a PUB or XPUB knows of its subscriptions.
    :ivar grant: what it may do.
    :ivar forbidden: messages from it that it may not send, and `forbidden_subscriptions` likewise.
    """

    def __init__(self, core: PythonCore, side: Side, *, queues_before: bool) -> None:
        self.ended: Ended | None = None
        self.on_ping: Callable[[int], None] | None = None
        self.side = side
        self.queues_before = queues_before
        self.info: events.Peer | None = None
        self.routing_id: bytes | None = None
        self.core = core
        self.queue = Queue(core.kept)
        self.more_control: Callable[[], bytes] | None = None
        self.topics: Any = None
        self.grant = Grant()
        self.forbidden = self.forbidden_subscriptions = 0
        self.is_dirty = False
        self.is_stalled = False
        self._fd = -1
        self._rest = bytearray()
        # What the account has of it.
        self._rest_bytes = 0
        # Whether the rest may have whole messages, since a read had to stop in front of them.
        self._kept = False
        self._reader: Reader | None = None
        # Of a connection of CURVE.
        self._sealed: Sealed | None = None
        self._control = bytearray()
        self._heard = 0
        self._received = self._received_bytes = self._matched = self._delivered = 0
        self._dropped: dict[Drop, int] = {}

    # Its connection

    @property
    def connected(self) -> bool:
        """Whether it has a connection that goes on."""
        return self._fd >= 0 and self.ended is None

    @property
    def takes(self) -> bool:
        """Whether messages may be routed to it."""
        return self.connected or self.queues_before

    def attach(self, fd: int, peer: events.Peer, rest: bytes, grant: Grant | None = None) -> None:
        """See `geventrelay.switch.contract.Peer.attach`; `fd`, `peer`, `rest` and `grant` are told there."""
        if self._fd >= 0:
            raise ValueError("attach: expected a peer without a connection")
        self.ended = None
        self._fd = fd
        self.info = peer
        self.grant = Grant() if grant is None else grant
        v1_0 = peer.version is Version.V1_0
        self.queue.change_encoding(v1_0=v1_0)
        self._reader = Reader(
            self.side.plan.bounds,
            v1_0=v1_0,
            legacy=peer.version.is_legacy,
            subscriptions=self.side.takes_subscriptions,
        )
        self._heard += len(rest)
        self._rest = bytearray()
        if peer.session is not None:
            self._sealed = Sealed(peer.session, self.side.plan.bounds)
            self._sealed.feed(rest)
        else:
            self._rest += rest
            self._kept = bool(rest)
        self._count_rest()
        self.is_stalled = False
        self.side.attached(self)

    def detach(self) -> None:
        """See `geventrelay.switch.contract.Peer.detach`."""
        if self._fd < 0:
            return
        self._fd = -1
        self.info = self._reader = self._sealed = self.more_control = None
        self.forget_rest()
        self._control.clear()
        self.core.unmark_ended(self)
        self.ended = None
        self.queue.rewind()
        self.side.detached(self)
        self.core.account.keep()

    def forget_rest(self) -> None:
        """Nothing more is done with what has come and was not moved."""
        self._rest = bytearray()
        if self._sealed is not None:
            self._sealed.forget()
        self._kept = False
        self._count_rest()

    def end(self, fault: Fault | None, what: str) -> None:
        """Have its connection end, because of its `fault` if there is one; `what` is for the log."""
        if self.connected:
            self.ended = Ended(fault, what)
            self.core.end(self)
            self.side.detached(self)

    # What comes

    @property
    def heard(self) -> int:
        """See `geventrelay.switch.contract.Peer.heard`."""
        return self._heard

    def read(self, until: float) -> Progress:
        """See `geventrelay.switch.contract.Peer.read`, and there of `until`."""
        if not self.connected:
            return Progress.ENDED
        core = self.core
        core.now = time.monotonic()
        core.unlink()
        if self.side.way is not None:
            self.side.way.counters.bursts += 1
        try:
            progress = self._read(until)
        except ProtocolError as error:
            self.end(error.fault, str(error))
            progress = Progress.ENDED
        except OSError as error:
            self.end(None, f"read: {error.strerror or error}")
            progress = Progress.ENDED
        core.flush(until)
        self._count_rest()
        core.account.keep()
        if self.ended is not None:
            core.unmark_ended(self)
            return Progress.ENDED
        return progress

    def _read(self, until: float) -> Progress:
        core = self.core
        if self._kept:
            self._kept = False
            rest = self._rest
            progress = self._move(rest, len(rest), until)
            if progress is not None:
                return progress
            core.flush(until)
        if self._sealed is not None:
            return self._read_sealed(self._sealed, until)
        while self.ended is None:
            room, count = self._fill()
            if count < 0:
                return Progress.NOT_READY
            if count == 0:
                self._has_come_to_its_end()
                return Progress.ENDED
            progress = self._move_filled(count, until)
            if progress is not None:
                return progress
            core.flush(until)
            self._count_rest()
            core.account.keep()
            if count < room:
                return Progress.NOT_READY
            if core.is_over(until):
                return Progress.TURN_OVER
        return Progress.ENDED

    def _read_sealed(self, sealed: Sealed, until: float) -> Progress:
        core, rest = self.core, self._rest
        while self.ended is None:
            opened = sealed.open_some()
            if opened:
                rest += opened
                progress = self._move(rest, len(rest), until)
                if progress is not None:
                    return progress
                core.flush(until)
            elif (progress := self._feed(sealed)) is not None:
                return progress
            self._count_rest()
            core.account.keep()
            if opened and core.is_over(until):
                return Progress.TURN_OVER
        return Progress.ENDED

    def _feed(self, sealed: Sealed) -> Progress | None:
        """Read something that is to be opened; None if there was something."""
        try:
            count = os.readv(self._fd, [self.core.view])
        except (BlockingIOError, InterruptedError):
            return Progress.NOT_READY
        if count == 0:
            self._has_come_to_its_end()
            return Progress.ENDED
        self._heard += count
        sealed.feed(self.core.view[:count])
        return None

    def _fill(self) -> tuple[int, int]:
        """Read into the core's buffer, behind a small rest; how much fits, and how much came, -1 for nothing now."""
        rest, buffer, view = self._rest, self.core.buffer, self.core.view
        kept = len(rest) if len(rest) <= len(buffer) // 2 else 0
        if kept:
            buffer[:kept] = rest
        try:
            return len(buffer) - kept, os.readv(self._fd, [view[kept:]])
        except (BlockingIOError, InterruptedError):
            return 0, -1

    def _move_filled(self, count: int, until: float) -> Progress | None:
        self._heard += count
        rest, buffer = self._rest, self.core.buffer
        if len(rest) <= len(buffer) // 2:
            size = len(rest) + count
            rest.clear()
            return self._move(buffer, size, until)
        rest += self.core.view[:count]
        return self._move(rest, len(rest), until)

    def _move(self, buffer: Buffer, size: int, until: float) -> Progress | None:
        """Move what there is in `buffer`, and keep the rest of it; None if all that is there wholly is moved."""
        at, progress, reader, core = 0, None, self._reader, self.core
        assert reader is not None
        while True:
            found = reader.next(buffer, at, size, core.now)
            if found is None:
                break
            moved = self._take(found)
            if moved:
                at, size = reader.ends[moved - 1], reader.take_out(buffer, size)
            if moved < len(reader.ends):
                reader.step_back()
                progress, self._kept = Progress.NO_ROOM, True
                break
            if self.ended is not None:
                return Progress.ENDED
            if core.is_over(until) and at < size:
                progress, self._kept = Progress.TURN_OVER, True
                break
        if buffer is self._rest:
            del buffer[size:], buffer[:at]
        else:
            self._rest += core.view[at:size]
        return progress

    def _count_rest(self) -> None:
        kept = len(self._rest) + (0 if self._sealed is None else self._sealed.unread_bytes)
        self.core.kept.used_bytes += kept - self._rest_bytes
        self._rest_bytes = kept

    @property
    def unfinished_bytes(self) -> int:
        """How much there is of a message that has no end yet."""
        return 0 if self._kept or not self.connected else self._rest_bytes

    def _take(self, found: Found) -> int:
        """Do what was `found`; how many messages of it, or 1 for something else that is done."""
        if isinstance(found, Run):
            moved = self.side.receive(self, found)
            if moved:
                piece = found.piece(0, moved)
                self._received += moved
                self._received_bytes += piece.body_bytes
            return moved
        if isinstance(found, commands.Command):
            self._obey(found)
            return 1
        return int(self.side.apply(self, found))

    def _obey(self, command: commands.Command) -> None:
        """Commands that are not known mean nothing, as in libzmq (session_base_t::push_msg)."""
        if command.name == commands.PING:
            ttl_ds, context = commands.parse_ping(command.data)
            if ttl_ds and self.on_ping is not None:
                self.on_ping(ttl_ds)
            self._send_command(commands.Command(commands.PONG, context))

    def _has_come_to_its_end(self) -> None:
        assert self._reader is not None
        within = bool(self._rest) or self._reader.within_message
        if self._sealed is not None:
            within = within or self._sealed.unread_bytes > 0
        if within:
            self.end(Fault.CUT, "the connection has ended within a message")
        else:
            self.end(None, "the other end has closed the connection")

    # What goes

    def room(self) -> int:
        """How many messages it may take now."""
        plan, queue = self.side.plan, self.queue
        room = plan.sndhwm - queue.messages if plan.sndhwm else NO_LIMIT
        if plan.sndhwm_bytes:
            # One at a time: how large the next ones are is not known here.
            room = min(room, 1) if queue.nbytes < plan.sndhwm_bytes else 0
        if self.core.account.tight and self.side.holds_back:
            room = min(room, 1 - queue.messages)
        return max(room, 0)

    @property
    def why_full(self) -> Drop:
        """Why it takes no message now."""
        most = self.side.plan.sndhwm
        short = self.core.account.tight and (not most or self.queue.messages < most)
        return Drop.MEMORY if short else Drop.FULL

    @property
    def can_drop_bytes(self) -> int:
        """How much of what waits may be dropped for want of memory; a message that is written in half stays, alone."""
        queue = self.queue
        if self.side.holds_back or (queue.messages == 1 and queue.unwritten):
            return 0
        return queue.nbytes

    @property
    def subscribed_bytes(self) -> int:
        """How much the subscriptions take, about, that are kept for it."""
        return self.side.subscribed_bytes(self) if self.connected else 0

    def make_room(self) -> int:
        """How many messages it may take now, once the kernel has got what it takes."""
        room = self.room()
        if room or self.is_stalled or not self.connected:
            return room
        self.core.write(self)
        return self.room()

    def put(self, run: Run) -> None:
        """Have `run` wait for it, which there is room for."""
        self._matched += len(run.ends)
        self.queue.put(run)
        self.core.dirty(self)

    def drop(self, reason: Drop, messages: int) -> None:
        """Count `messages` that were routed to it as dropped for `reason`, and not kept."""
        self._matched += messages
        self.lose(reason, messages)

    def lose(self, reason: Drop, messages: int) -> None:
        """Count `messages` that waited for it as dropped for `reason`."""
        if messages:
            self._dropped[reason] = self._dropped.get(reason, 0) + messages

    def ping(self, ttl_ds: int) -> None:
        """See `geventrelay.switch.contract.Peer.ping`, and there of `ttl_ds`."""
        if self.info is None or self.info.version is not Version.V3_1:
            raise ValueError("PING: expected a peer with ZMTP 3.1 that is connected")
        self._send_command(commands.ping(ttl_ds))

    @property
    def wants_write(self) -> bool:
        """See `geventrelay.switch.contract.Peer.wants_write`."""
        if not self.connected:
            return False
        waits = self.queue.messages or self._control or self.more_control
        return bool(waits) or (self._sealed is not None and self._sealed.has_output)

    def write(self, until: float) -> Progress:
        """See `geventrelay.switch.contract.Peer.write`, and there of `until`."""
        if not self.connected:
            return Progress.ENDED
        self.is_stalled = False
        progress = self.write_now(until)
        self.core.account.keep()
        if self.ended is not None:
            self.core.unmark_ended(self)
            return Progress.ENDED
        # Its caller is told, and waits.
        self.is_stalled = self.wants_write
        return progress

    def write_now(self, until: float) -> Progress:
        """Write what waits until the kernel takes no more of it, or the time `until` has come."""
        self.side.before_write(self)
        while self.wants_write:
            try:
                self._write_once()
            except (BlockingIOError, InterruptedError):
                return Progress.NOT_READY
            except OSError as error:
                self.end(None, f"write: {error.strerror or error}")
                return Progress.ENDED
            if time.monotonic() >= until and self.wants_write:
                return Progress.TURN_OVER
        return Progress.NOT_READY

    def _write_once(self) -> None:
        if self.more_control is not None and len(self._control) < _MOST_CONTROL_BYTES:
            more = self.more_control()
            self._control += more
            if not more:
                self.more_control = None
        queue, control = self.queue, self._control
        if self._sealed is not None:
            self._delivered += self._sealed.write(self._fd, control, queue)
            return
        half = queue.unwritten
        pieces = queue.buffers(_MOST_PIECES)
        if control:
            # Between two messages, and never within one.
            head = [pieces[0][:half]] if half else []
            tail = [pieces[0][half:]] if pieces else []
            pieces = [*head, memoryview(bytes(control)), *tail, *pieces[1:]]
        if not pieces:
            return
        count = os.writev(self._fd, pieces)
        if control:
            of_half = min(count, half)
            of_control = min(count - of_half, len(control))
            del control[:of_control]
            count -= of_control
        self._delivered += queue.advance(count)

    def _send_command(self, command: commands.Command) -> None:
        if len(self._control) < _MOST_CONTROL_BYTES:
            self._control += frames.encode(command.body, command=True)
            self.core.dirty(self)

    # What is counted

    def counts(self) -> PeerCounts:
        """See `geventrelay.switch.contract.Peer.counts`."""
        return PeerCounts(
            received=self._received,
            received_bytes=self._received_bytes,
            matched=self._matched,
            delivered=self._delivered,
            dropped=dict(self._dropped),
            waiting=self.queue.messages,
            waiting_bytes=self.queue.nbytes,
            subscriptions=self.side.subscriptions_of(self),
            forbidden=self.forbidden,
            forbidden_subscriptions=self.forbidden_subscriptions,
        )

    @property
    def waits_since(self) -> float | None:
        """See `geventrelay.switch.contract.Peer.waits_since`."""
        return self.queue.since

    def some_topics(self, most: int) -> list[bytes]:
        """See `geventrelay.switch.contract.Peer.some_topics`, and there of `most`."""
        return self.side.some_topics_of(self, most)
