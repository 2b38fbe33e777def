"""The replay port of a device: takes requests, and answers them in the hub's turns as readers have room."""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from ..components.replay import MOST_QUEUED_BYTES, ReplayCounts, ReplayRefusal
from ..engine.seldom import Seldom
from ..settings import DeviceSettings
from ..switch.budget import limit_bytes
from ..switch.contract import Ended, Peer, Side
from ..switch.turns import Job
from ..terms import ReplayProtocol
from ..zmtp.errors import Fault
from .answers import OVER
from .dialect import MOST_WAITING, MOST_WAITING_BYTES, Dialect
from .large import LargeMessages
from .numbered import Life, Numbered
from .reader import Reader
from .sequenced import Sequenced

if TYPE_CHECKING:
    from ..switch.driver import Driver
    from ..switch.station import Station

# What a request takes besides its own bytes.
_REQUEST_BYTES = 1000
LONGEST_UNREAD_S = 30.0
"""How long a large message may wait to be written while others wait for the room that it takes, in seconds."""

_LARGE_SHARE = 8
"""Of the memory budget, such a part is for large messages of one port."""

_NOT_READ = "it goes on asking, and does not read the answers"
_UNREAD = "it does not read a large answer, and others wait for the memory that this takes"


class ReplayService:
    """Answers the peers of a ROUTER from the log of a PUB or XPUB. Nothing here yields.

    One request of a peer is answered at a time, in their order. Of all peers that have room, each is served a little in
    turn. What a peer has no room for stays in the log until it has, or until it is forgotten there. Messages that are
    larger than what may wait for a peer have room for all peers together: `LargeMessages`.

    :param driver: the device's.
    :param station: the socket that is asked.
    :param log: the side that has the log.
    :param settings: the device's.
    :param epoch: tells this life of the device from all others.
    """

    def __init__(self, driver: Driver, station: Station, log: Side, settings: DeviceSettings, epoch: bytes) -> None:
        self._driver = driver
        self._side = station.side
        self._dialect = _dialect(log, settings, epoch)
        self._job = Job(self._serve, urgent=False)
        self._readers: dict[Peer, Reader] = {}
        # Those that have something to get and room for it.
        self._ready: deque[Reader] = deque()
        self._waiting_bytes = 0
        self._large: LargeMessages[Reader] = LargeMessages(limit_bytes() // _LARGE_SHARE)
        self._looks_for_unread = False
        self._requests = self._messages = self._lost = 0
        self._refused: Counter[ReplayRefusal] = Counter()
        self._seldom = Seldom()
        self._side.on_message = self._on_message

    def counts(self) -> ReplayCounts:
        """What it has done up to now."""
        readers = sum(one.is_served for one in self._readers.values())
        return ReplayCounts(self._requests, self._messages, self._lost, dict(self._refused), readers)

    def close(self) -> None:
        """Answer nothing more. May be called twice."""
        self._side.on_message = None
        self._ready.clear()
        self._large = LargeMessages(0)
        while self._readers:
            self._readers.popitem()[1].leave()

    def _on_message(self, peer: Peer, frames: list[bytes]) -> None:
        # The core is in the middle of a read: nothing of this peer is ended here.
        link = self._driver.links.get(peer)
        if link is None:
            return
        reader = self._readers.get(peer)
        if reader is None:
            reader = self._readers[peer] = Reader(link)
            link.on_room = functools.partial(self._on_room, reader)
            link.on_close = functools.partial(self._leave, reader)
        self._requests += 1
        if reader.overrun:
            self._refused[ReplayRefusal.TOO_MANY] += 1
            return
        size = _REQUEST_BYTES + sum(map(len, frames))
        if len(reader.line) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
            rule = f"more than {MOST_WAITING} requests of one peer wait, or {MOST_WAITING_BYTES} bytes of all peers"
            self._refuse(reader, ReplayRefusal.TOO_MANY, rule)
            refusal = self._dialect.too_many(frames)
            if refusal is not None and not peer.put(refusal):
                reader.overrun = _NOT_READ
        else:
            question = self._dialect.read(frames, reader.allowed)
            if question.wrong:
                self._refuse(reader, ReplayRefusal.MALFORMED, question.wrong)
            if question.answer is not None:
                reader.line.append((question, size))
                self._waiting_bytes += size
        self._make_ready(reader)

    def _make_ready(self, reader: Reader) -> None:
        if not reader.ready:
            reader.ready = True
            self._ready.append(reader)
        self._driver.turns.queue(self._job)

    def _on_room(self, reader: Reader) -> None:
        """Some of what waits for a `reader` was written."""
        if self._large.holds(reader) and reader.has_written_large:
            self._large.give_back(reader)
            self._go_on_with_large()
        if reader.full and reader.has_room:
            reader.full = False
            self._make_ready(reader)

    def _leave(self, reader: Reader) -> None:
        """The connection of a `reader` has ended."""
        self._readers.pop(reader.link.peer, None)
        self._waiting_bytes -= sum(size for _, size in reader.line)
        reader.leave()
        self._large.give_back(reader)
        self._go_on_with_large()

    def _serve(self, until: float) -> bool:
        # In a forked child, the connections are the parent's.
        while self._ready and not self._driver.dead:
            reader = self._ready.popleft()
            reader.ready = False
            if not reader.gone:
                self._step(reader, until)
                self._large.give_back_unused(reader)
                self._go_on_with_large()
            if time.monotonic() >= until:
                break
        return bool(self._ready) and not self._driver.dead

    def _step(self, reader: Reader, until: float) -> None:
        """Send a `reader` a little of what it is to get."""
        link = reader.link
        if reader.overrun:
            link.end(Ended(Fault.NOT_READ, reader.overrun))
            return
        link.write_soon()
        if reader.full:
            return
        self._waiting_bytes -= reader.begin()
        answer = reader.answer
        if answer is None:
            return
        for piece in answer.pieces(until):
            if piece.frames is not None and not self._put(reader, reader.front + piece.frames):
                return
            answer.position = piece.position
            self._messages += piece.messages
            self._lost += piece.lost
        if answer.position == OVER:
            reader.answer = None
        if reader.is_served:
            self._make_ready(reader)

    def _put(self, reader: Reader, frames: list[bytes]) -> bool:
        """Have `frames` wait for a `reader`; False if it has to wait for room first."""
        size = sum(map(len, frames))
        if size <= MOST_QUEUED_BYTES:
            done = reader.link.peer.put(frames)
        elif self._large.holds(reader):
            done = False
        elif not self._large.take(reader, size):
            reader.wait_in_line()
            self._look_for_unread_later()
            return False
        elif done := reader.link.peer.put(frames):
            reader.note_large()
        else:
            self._large.give_back(reader)
        if not done:
            reader.wait_for_room()
        return done

    def _go_on_with_large(self) -> None:
        for reader in self._large.next_ones():
            reader.full = False
            self._make_ready(reader)

    def _look_for_unread_later(self) -> None:
        if not self._looks_for_unread:
            self._looks_for_unread = True
            self._driver.later(LONGEST_UNREAD_S, self._look_for_unread)

    def _look_for_unread(self) -> None:
        """End those that have not read a large message for long while others wait to have theirs."""
        self._looks_for_unread = False
        if not self._large.anyone_waits:
            return
        now = time.monotonic()
        for reader in self._large.holders:
            since = reader.link.peer.waits_since
            if since is not None and now - since >= LONGEST_UNREAD_S:
                reader.overrun = _UNREAD
                self._make_ready(reader)
        self._look_for_unread_later()

    def _refuse(self, reader: Reader, reason: ReplayRefusal, what: str) -> None:
        self._refused[reason] += 1
        left_out = self._seldom.line(reason, time.monotonic())
        if left_out is not None:
            more = {"left_out": str(left_out)} if left_out else {}
            keys = {"socket": self._side.plan.key, "peer": reader.link.address, "reason": reason.value}
            self._driver.tell(logging.WARNING, "replay-refused", **keys, detail=what, **more)


def _dialect(log: Side, settings: DeviceSettings, epoch: bytes) -> Dialect:
    protocol = getattr(settings, "replay_protocol", ReplayProtocol.GEVENTRELAY)
    if protocol is ReplayProtocol.GEVENTRELAY:
        plan = log.plan.log
        assert plan is not None  # it has a log
        return Numbered(log, Life(epoch, bool(getattr(settings, "stamp", False)), plan.first))
    return Sequenced(log, with_topic=protocol is ReplayProtocol.VLLM)
