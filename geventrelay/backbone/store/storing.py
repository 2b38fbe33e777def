"""Work that no worker of this device takes: it is stored at NATS, in packs. Each counts as waiting until NATS has it.

::

    device --work_out--> packs --Nats-Msg-Id--> stream
                            <---- stored ------

How much may be on its way is bounded by how many messages the device is let hand over: see `geventrelay.engine.gate`.
A pack without an answer is sent again with the same id, so that it is stored once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ...components.work import Work
from .. import whole
from ..pack import HEAD_BYTES, STORED, PackHead
from ..values import BackboneDrop
from . import jetstream
from .jetstream import JetStream
from .questions import NO_RESPONDERS, Answer, Question, Questions

PACK_MESSAGES, PACK_BYTES = 64, 32 * 1024
"""A pack has no more than that, but for one message that is larger: if it is delivered again, so much is repeated."""

MOST_PACKS = 512
"""So many packs are on their way to NATS at most."""
_MOST_PERMITS = 10_000
_PAUSE_S = 0.001
_ANSWER_S, _AGAIN_S = 2.0, 0.5
OVERHEAD_BYTES = HEAD_BYTES + 512
"""The head of a pack, and headers, which a server counts too."""


class Outgoing(Protocol):
    """Work that leaves the device."""

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as ZMTP has them in a connection, and how many.

        :raises ConnectionError: if the device has ended.
        """


@dataclass(slots=True)
class _Pack:
    """Messages on their way to the stream.

    :ivar count: how many.
    :ivar nbytes: how long.
    :ivar stored: called once they are there; None if the device has handed them over, which is counted in order.
    :ivar is_done: whether they are there, or were dropped.
    :ivar question: how they are sent.
    """

    count: int
    nbytes: int
    stored: Callable[[], None] | None
    is_done: bool = False
    question: Question | None = None


class Storing:
    """What one device stores.

    :param settings: its own.
    :param relay: its id.
    :param work: what it is told of its work.
    :param names: where it is stored.
    :param questions: what is asked.
    :param wake: has what is asked go.
    :param missing: is called when the stream seems not to be there.
    :ivar stored: how many messages NATS has.
    :ivar waiting: how many are on their way to it.
    :ivar waiting_bytes: how long these are.
    :ivar retried: how often a pack was sent again.
    :ivar dropped: how many messages were dropped, by reason.
    """

    def __init__(
        self,
        settings: Any,
        relay: bytes,
        work: Work,
        names: JetStream,
        questions: Questions,
        wake: Callable[[], None],
        missing: Callable[[], None],
    ) -> None:
        self._limit = settings.backbone_buffer_bytes
        self._relay, self._work = relay, work
        self._names, self._questions, self._wake, self._missing = names, questions, wake, missing
        # Permits that were given, and not taken back: those that are used have let a message go.
        self._given = 0
        self._read = self._safe = 0
        self._packs: deque[_Pack] = deque()
        self._on_way: dict[int, _Pack] = {}
        self._number = 0
        self._largest = float(PACK_BYTES)
        self._max_payload = 0
        self.is_open = False
        self.stored = self.waiting = self.waiting_bytes = self.retried = 0
        self.dropped: dict[BackboneDrop, int] = {}

    @property
    def left(self) -> int:
        """How many messages have left the device by permits, ever."""
        return self._given - self._work.gate.permits

    @property
    def safe(self) -> int:
        """Of these, how many of the first ones are stored or dropped, all of them."""
        return self._safe

    def open(self, max_payload: int) -> None:
        """Let messages go: there is a stream.

        :param max_payload: how many bytes NATS takes at once.
        """
        self.is_open, self._max_payload = True, max_payload
        self._permit()

    def close(self) -> None:
        """Let none go that is not on its way already: there is no stream, or no connection."""
        self.is_open = False
        self._given -= self._work.gate.take_all()

    async def read_out(self, outgoing: Outgoing) -> None:
        """Store what comes from `outgoing`, until that ends."""
        due = 0.0
        while True:
            data, count = await outgoing.read()
            self._read += count
            self._largest = max(len(data) / count, self._largest * 0.9)
            for piece, number in packs(data, count, min(PACK_BYTES, self._max_payload - OVERHEAD_BYTES)):
                self._put(piece, number, None)
            self._permit()
            self._wake()
            # What comes until then goes in one pack.
            delay, due = due - time.monotonic(), time.monotonic() + _PAUSE_S
            if delay > 0:
                await asyncio.sleep(delay)

    def put_back(self, data: bytes, count: int, stored: Callable[[], None]) -> None:
        """Store `count` messages that came from there, `data`, anew; then call `stored`."""
        self._put(data, count, stored)
        self._wake()

    def drop_all(self) -> None:
        """Drop what is on its way: the device stops."""
        self.close()
        for pack in self._on_way.values():
            assert pack.question is not None  # it is made with one
            self._questions.drop(pack.question)
            if pack.stored is None:
                self._drop(BackboneDrop.STOPPED, pack.count)
        self._on_way.clear()
        self._packs.clear()
        self.waiting = self.waiting_bytes = 0

    def _put(self, data: bytes, count: int, stored: Callable[[], None] | None) -> None:
        pack = _Pack(count, len(data), stored)
        if stored is None:
            self._packs.append(pack)
        self.waiting += count
        self.waiting_bytes += len(data)
        if len(data) + OVERHEAD_BYTES > self._max_payload:
            self._done(pack, BackboneDrop.TOO_LARGE)
            return
        number = self._number
        self._number += 1
        head = PackHead(self._relay, STORED, number, 0, count)
        pack.question = self._questions.ask(
            self._names.subject,
            head.encoded() + data,
            lambda answer: self._answered(number, answer),
            _ANSWER_S,
            {"Nats-Msg-Id": f"{self._relay.hex()}-{number}", **self._names.expecting},
        )
        self._on_way[number] = pack

    def _answered(self, number: int, answer: Answer) -> None:
        pack = self._on_way[number]
        assert pack.question is not None  # it is made with one
        _, code, _ = jetstream.result_of(answer)
        if not code:
            del self._on_way[number]
            self.retried += pack.question.tries - 1
            self._done(pack, None)
        elif code == jetstream.TOO_LARGE:
            del self._on_way[number]
            self._done(pack, BackboneDrop.TOO_LARGE)
        else:
            # As while the stream has no leader.
            self._questions.again(pack.question, time.monotonic() + _AGAIN_S)
            if answer.status == NO_RESPONDERS:
                self._missing()
        self._permit()

    def _done(self, pack: _Pack, reason: BackboneDrop | None) -> None:
        pack.is_done = True
        self.waiting -= pack.count
        self.waiting_bytes -= pack.nbytes
        if reason is not None:
            self._drop(reason, pack.count)
        else:
            self.stored += pack.count
        while self._packs and self._packs[0].is_done:
            self._safe += self._packs.popleft().count
        if pack.stored is not None:
            pack.stored()
        if not self.waiting:
            # One may wait for that.
            self._wake()

    def _permit(self) -> None:
        """Let the device hand over as much as there is room for."""
        if not self.is_open or len(self._on_way) >= MOST_PACKS:
            return
        gate = self._work.gate
        room = min(_MOST_PERMITS, int((self._limit - self.waiting_bytes) / self._largest))
        out = gate.permits + self.left - self._read
        # A word with the engine for each message would cost as much as the message.
        if 2 * out <= room:
            self._given += room - out
            gate.add(room - out)

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count


def packs(data: bytes, count: int, most_bytes: int) -> Iterator[tuple[bytes, int]]:
    """The messages of `data`, `count` of them, in packs, and how many each has.

    :param most_bytes: no pack has more, but for one of a single message.
    """
    if count <= PACK_MESSAGES and len(data) <= most_bytes:
        yield data, count
        return
    begin = at = number = 0
    for end in whole.ends(data):
        if number and (number == PACK_MESSAGES or end - begin > most_bytes):
            yield data[begin:at], number
            begin, number = at, 0
        at = end
        number += 1
    yield data[begin:], number
