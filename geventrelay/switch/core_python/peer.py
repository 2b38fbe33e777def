"""One peer: its connection, what waits for it, and what is counted of it. `reading` and `writing` do what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ...engine.counters import Drop
from ...engine.grant import Grant
from ...engine.rate import Rate
from ...zmtp import commands, events
from ...zmtp.errors import Fault
from ...zmtp.greeting import Version
from .. import contract
from ..contract import FREE_PLACES, Ended, LostTopic, PeerCounts, Progress
from .busiest import Busiest
from .incoming import Reader
from .queue import Queue
from .reading import read_peer
from .run import Run
from .sealed import Sealed
from .topic_counts import lost_topics
from .writing import has_something, send_command, write_until

if TYPE_CHECKING:
    from .core import PythonCore
    from .side import Side

NO_LIMIT = 1 << 62


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
    :ivar lost: what it has lost by topic; None if that is nothing or is not counted. `lost_bytes` is what the account
        has of that.
    :ivar grant: what it may do.
    :ivar rate: how much may come from it; None for any number.
    :ivar fd: its connection's descriptor; -1 without one.
    :ivar reader: finds what has come over it; None without one.
    :ivar rest: what has come and was not moved, and `rest_bytes` what the account has of that.
    :ivar has_stopped: whether the rest may have whole messages, since a read had to stop in front of them.
    :ivar sealed: of a connection of CURVE; None elsewhere.
    :ivar control: commands, which are written before the messages that wait.
    :ivar unanswered: how many requests it was given and has not answered, where their number has a limit.
    :ivar heard: see `geventrelay.switch.contract.Peer.heard`.
    :ivar received: see `geventrelay.switch.contract.PeerCounts`, as all that follows.
    """

    def __init__(self, core: PythonCore, side: Side, *, queues_before: bool) -> None:
        self.ended: Ended | None = None
        self.on_ping: Callable[[int], None] | None = None
        self.rate: Rate | None = None
        self.side = side
        self.queues_before = queues_before
        self.info: events.Peer | None = None
        self.routing_id: bytes | None = None
        self.core = core
        self.queue = Queue(core.kept)
        self.more_control: Callable[[], bytes] | None = None
        self.topics: Any = None
        self.lost: Busiest | None = None
        self.lost_bytes = 0
        self.grant = Grant()
        self.is_dirty = False
        self.is_stalled = False
        self.fd = -1
        self.rest = bytearray()
        self.rest_bytes = 0
        self.has_stopped = False
        self.reader: Reader | None = None
        self.sealed: Sealed | None = None
        self.control = bytearray()
        self.unanswered = 0
        self.heard = 0
        self.received = self.received_bytes = self.matched = self.delivered = 0
        self.dropped: dict[Drop, int] = {}
        self.forbidden = self.forbidden_subscriptions = self.over_rate = 0

    # Its connection

    @property
    def connected(self) -> bool:
        """Whether it has a connection that goes on."""
        return self.fd >= 0 and self.ended is None

    @property
    def takes(self) -> bool:
        """Whether messages may be routed to it."""
        return self.connected or self.queues_before

    def attach(self, fd: int, peer: events.Peer, rest: bytes, grant: Grant | None = None) -> None:
        """See `geventrelay.switch.contract.Peer.attach`; `fd`, `peer`, `rest` and `grant` are told there."""
        if self.fd >= 0:
            raise ValueError("attach: expected a peer without a connection")
        self.ended = None
        self.fd = fd
        self.info = peer
        self.grant = Grant() if grant is None else grant
        v1_0 = peer.version is Version.V1_0
        self.queue.change_encoding(v1_0=v1_0)
        self.reader = Reader(
            self.side.plan.bounds,
            v1_0=v1_0,
            legacy=peer.version.is_legacy,
            subscriptions=self.side.takes_subscriptions,
            run_messages=self.side.run_messages,
        )
        self.heard += len(rest)
        self.rest = bytearray()
        if peer.session is not None:
            self.sealed = Sealed(peer.session, self.side.plan.bounds)
            self.sealed.feed(rest)
        else:
            self.rest += rest
            self.has_stopped = bool(rest)
        self.count_rest()
        self.is_stalled = False
        self.side.attached(self)

    def set_rate(self, rate: contract.Rate | None) -> None:
        """See `geventrelay.switch.contract.Peer.set_rate`, and there of `rate`."""
        self.rate = cast("Rate | None", rate)

    def detach(self) -> None:
        """See `geventrelay.switch.contract.Peer.detach`."""
        if self.fd < 0:
            return
        self.fd = -1
        self.info = self.reader = self.sealed = self.more_control = None
        self.forget_rest()
        self.control.clear()
        self.core.unmark_ended(self)
        self.ended = None
        self.queue.rewind()
        # What was written to it is lost, and what waits is for its next connection.
        self.unanswered = min(self.unanswered, self.queue.messages)
        self.side.detached(self)
        self.core.account.keep()

    def forget_rest(self) -> None:
        """Nothing more is done with what has come and was not moved."""
        self.rest = bytearray()
        if self.sealed is not None:
            self.sealed.forget()
        self.has_stopped = False
        self.count_rest()

    def end(self, fault: Fault | None, what: str) -> None:
        """Have its connection end, because of its `fault` if there is one; `what` is for the log."""
        if self.connected:
            self.ended = Ended(fault, what)
            self.core.end(self)
            self.side.detached(self)

    # What comes

    def read(self, until: float) -> Progress:
        """See `geventrelay.switch.contract.Peer.read`, and there of `until`."""
        return read_peer(self, until)

    def count_rest(self) -> None:
        """Have the account know how much has come and was not moved."""
        kept = len(self.rest) + (0 if self.sealed is None else self.sealed.unread_bytes)
        self.core.kept.used_bytes += kept - self.rest_bytes
        self.rest_bytes = kept

    def count_lost(self, nbytes: int) -> None:
        """Have the account know that what it has lost by topic takes `nbytes`."""
        self.core.kept.used_bytes += nbytes - self.lost_bytes
        self.core.kept.lost_bytes += nbytes - self.lost_bytes
        self.lost_bytes = nbytes

    @property
    def unfinished_bytes(self) -> int:
        """How much there is of a message that has no end yet."""
        return 0 if self.has_stopped or not self.connected else self.rest_bytes

    # What goes

    def room(self) -> int:
        """How many messages it may take now."""
        plan, queue, room = self.side.plan, self.queue, self._room_but_for_bytes()
        if plan.sndhwm_bytes:
            # One at a time: how large the next ones are is not known here.
            room = min(room, 1) if queue.nbytes - queue.beyond_bytes < plan.sndhwm_bytes else 0
        return max(room, 0)

    def _room_but_for_bytes(self) -> int:
        plan, queue = self.side.plan, self.queue
        room = plan.sndhwm - (queue.messages - queue.beyond) if plan.sndhwm else NO_LIMIT
        if self.core.account.tight and self.side.holds_back:
            room = min(room, 1 - queue.messages)
        return min(room, plan.requests_per_peer - self.unanswered) if plan.requests_per_peer else room

    def free_places(self) -> int:
        """How many messages count as those that it may take now, see `geventrelay.switch.contract.Side.free_places`."""
        if not self.connected or not self.room():
            return 0
        plan, room = self.side.plan, self._room_but_for_bytes()
        return min(room, FREE_PLACES) if plan.sndhwm_bytes or not plan.sndhwm else room

    @property
    def is_busy(self) -> bool:
        """Whether it has as many requests as it may."""
        most = self.side.plan.requests_per_peer
        return most > 0 and self.unanswered >= most

    @property
    def why_full(self) -> Drop:
        """Why it takes no message now."""
        most = self.side.plan.sndhwm
        short = not self.is_busy and self.core.account.tight and (not most or self.queue.messages < most)
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
        if room or self.is_stalled or self.is_busy or not self.connected:
            return room
        self.core.write(self)
        return self.room()

    def put(self, parts: Sequence[bytes]) -> bool:
        """See `geventrelay.switch.contract.Peer.put`, and there of `parts`."""
        waits, tight = self.queue.messages > 0, self.core.account.tight
        if not self.takes or (waits and (tight or not self.room())):
            return False
        self.enqueue(Run.of([parts], time.monotonic()))
        self.core.account.keep()
        return True

    def enqueue(self, run: Run) -> None:
        """Have `run` wait for it, which there is room for."""
        self.matched += len(run.ends)
        self.queue.put(run)
        self.core.dirty(self)

    def drop(self, reason: Drop, messages: int) -> None:
        """Count `messages` that were routed to it as dropped for `reason`, and not kept."""
        self.matched += messages
        self.lose(reason, messages)

    def lose(self, reason: Drop, messages: int) -> None:
        """Count `messages` that waited for it as dropped for `reason`."""
        if messages:
            self.dropped[reason] = self.dropped.get(reason, 0) + messages

    def ping(self, ttl_ds: int) -> None:
        """See `geventrelay.switch.contract.Peer.ping`, and there of `ttl_ds`."""
        if self.info is None or self.info.version is not Version.V3_1:
            raise ValueError("PING: expected a peer with ZMTP 3.1 that is connected")
        send_command(self, commands.ping(ttl_ds))

    @property
    def wants_write(self) -> bool:
        """See `geventrelay.switch.contract.Peer.wants_write`."""
        return self.connected and has_something(self)

    def write(self, until: float) -> Progress:
        """See `geventrelay.switch.contract.Peer.write`, and there of `until`."""
        if not self.connected:
            return Progress.ENDED
        self.is_stalled = False
        progress = write_until(self, until)
        self.core.account.keep()
        if self.ended is not None:
            self.core.unmark_ended(self)
            return Progress.ENDED
        # Its caller is told, and waits.
        self.is_stalled = self.wants_write
        return progress

    # What is counted

    def counts(self) -> PeerCounts:
        """See `geventrelay.switch.contract.Peer.counts`."""
        return PeerCounts(
            received=self.received,
            received_bytes=self.received_bytes,
            matched=self.matched,
            delivered=self.delivered,
            dropped=dict(self.dropped),
            waiting=self.queue.messages,
            waiting_bytes=self.queue.nbytes,
            subscriptions=self.side.subscriptions_of(self),
            forbidden=self.forbidden,
            forbidden_subscriptions=self.forbidden_subscriptions,
            over_rate=self.over_rate,
        )

    @property
    def waits_since(self) -> float | None:
        """See `geventrelay.switch.contract.Peer.waits_since`."""
        return self.queue.since

    def some_topics(self, most: int) -> list[bytes]:
        """See `geventrelay.switch.contract.Peer.some_topics`, and there of `most`."""
        return self.side.some_topics_of(self, most)

    def lost_topics(self) -> list[LostTopic]:
        """See `geventrelay.switch.contract.Peer.lost_topics`."""
        return lost_topics(self.lost)
