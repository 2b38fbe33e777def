"""Messages with topics: what publishers at one device have for subscribers at others, in streams of packs.

::

    device --outgoing--> Sorter -> Outbox --packs--> NATS --packs--> inbox --incoming--> device
    device --news------> interest -> Mesh

What waits is bounded, in outbox and inbox by ``backbone-buffer``. A part of an `Exchange`, on its loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

from ...log import event
from ...terms import WhenFull
from .. import whole
from ..inbox import Inbox, Incoming
from ..interest import Interest, Wanted, covers
from ..mesh import Action, Mesh, Serve
from ..nats.link import Link
from ..pack import HEAD_BYTES, head_of
from ..part import Part, Run
from ..subjects import Subjects
from ..terms import MOST_RELAYS, MalformedError
from ..values import BackboneDrop
from ..words.codec import encoded
from ..words.mesh import Gone, Here
from ..words.word import Word
from .outbox import Outbox, OutPack, OutServed, OutTurn
from .sorting import Sorter

log = logging.getLogger("geventrelay")

DELAY_S = 0.001
"""How long a message waits at most for others that travel with it. The first one after a silence does not wait."""
# Subscribers often come together: they are told of once.
_INTEREST_S = 0.02
# What is asked for is found in no more than a twentieth of the time.
_INTEREST_PAUSE = 20
# Words of others may change what is sent in no more than a twentieth of the time.
_CHANGE_PAUSE = 20


class Outgoing(Protocol):
    """What the device has for others."""

    def set_topics(self, topics: Collection[bytes]) -> None:
        """Ask for messages that begin with one of `topics`, and no others. Does not yield."""

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as ZMTP has them in a connection, and how many.

        :raises ConnectionError: if the device has ended.
        """


class News(Protocol):
    """What the device's own subscribers ask for."""

    async def read(self) -> Sequence[tuple[bytes, bool]]:
        """Topics, and whether each is asked for from now on, or no more.

        :raises ConnectionError: if the device has ended.
        """


@dataclass(frozen=True, slots=True)
class StreamEnds:
    """What a device with subscribers has for its backbone.

    :ivar outgoing: what its publishers have for others.
    :ivar news: what its subscribers ask for.
    :ivar incoming: what takes messages of others.
    """

    outgoing: Outgoing
    news: News
    incoming: Incoming


class Turns(Protocol):
    """What has words wait among the messages for others."""

    def turn(self, relay: bytes, kind: type[Word]) -> Word | None:
        """What goes to the device `relay` where it is the turn of a word of that `kind`; None if none does."""

    def gone(self, relay: bytes, word: Word) -> None:
        """A `word` that it was the turn of has gone to the device `relay`."""


class Publishing(Part):
    """The streams of one device: those that it sends, and what it is sent.

    :param settings: the device's.
    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    :param mesh: decides what is sent to which devices.
    :param outbox: what waits for others.
    :param do: does what the mesh has decided.
    :param wake: has the exchange call `send_one`.
    :ivar inbox: what waits for the device.
    :ivar turns: what makes the words that wait in the outbox; None if none do.
    """

    def __init__(
        self,
        settings: Any,
        own: Collection[bytes],
        mesh: Mesh,
        outbox: Outbox,
        do: Callable[[Sequence[Action]], None],
        wake: Callable[[], None],
    ) -> None:
        self._own = frozenset(own)
        self._device = settings.name
        self._blocks = settings.backbone_when_full is WhenFull.BLOCK
        self._subjects = Subjects(settings.backbone_prefix, settings.name)
        self._mesh = mesh
        self._outbox = outbox
        self._do = do
        self._wake = wake
        self._sorted: dict[bytes, Interest] = {}
        self._sorter = Sorter(self._sorted)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: StreamEnds | None = None
        self._outgoing: Outgoing | None = None
        # Of the device's subscribers.
        self._topics = Wanted()
        self._interest_timer: asyncio.TimerHandle | None = None
        self._interest_pause_s = _INTEREST_S
        # Words that change what is sent, and came too soon after others.
        self._held: dict[bytes, Here] = {}
        self._change_timer: asyncio.TimerHandle | None = None
        self._change_due = 0.0
        # What was taken from the outbox, and did not go since the connection ended.
        self._next: OutPack | OutServed | OutTurn | None = None
        self.turns: Turns | None = None
        self.inbox = Inbox(settings.backbone_buffer_bytes)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._most_told_bytes = 0
        self._is_finishing = False
        self._has_room, self._has_flushed = asyncio.Event(), asyncio.Event()
        self.sent = self.sent_bytes = self.sent_packs = 0
        self.received = self.received_bytes = self.received_packs = 0
        self._dropped: dict[BackboneDrop, int] = {}

    def begin(self, ends: StreamEnds | None) -> None:
        """Know the running loop, and the device's `ends` for messages with topics; before anything else runs."""
        self._loop, self._ends = asyncio.get_running_loop(), ends
        self._outgoing = None if ends is None else ends.outgoing

    def reading(self) -> list[Run]:
        """See `Part.reading`."""
        return [] if self._ends is None else [self.read_outgoing(self._ends.outgoing)]

    def running(self) -> list[Run]:
        """See `Part.running`."""
        return [] if self._ends is None else [self.read_news(self._ends.news), self.inbox.deliver(self._ends.incoming)]

    def finish(self) -> None:
        """Ask for nothing more, and drop what comes: the device drains."""
        self._is_finishing = True

    @property
    def dropped(self) -> dict[BackboneDrop, int]:
        """How many messages were dropped, by reason."""
        dropped = dict(self._outbox.dropped)
        for reason, count in self._dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return dropped

    @property
    def waiting(self) -> int:
        """How many messages wait for others."""
        return self._outbox.waiting + (self._next.count if isinstance(self._next, OutPack) else 0)

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        return self._outbox.waiting_bytes + (self._next.nbytes if isinstance(self._next, OutPack) else 0)

    @property
    def incoming(self) -> int:
        """How many messages wait for the device."""
        return self.inbox.waiting

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        return self.inbox.waiting_bytes

    @property
    def has_unsent(self) -> bool:
        """Whether something waits that may go as it is."""
        return bool(self._outbox) or self._next is not None

    def is_drained(self, *, connected: bool) -> bool:
        """See `Part.is_drained`; true if it is not `connected`."""
        return not connected or not (self._outbox.waiting or self._next or self.inbox)

    def values(self) -> dict[str, Any]:
        """See `Part.values`."""
        return {
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "sent_packs": self.sent_packs,
            "received": self.received,
            "received_bytes": self.received_bytes,
            "received_packs": self.received_packs,
            "delivered": self.inbox.delivered,
        }

    # What others say

    def disconnected(self) -> None:
        """Leave out words: they would be old."""
        self._held.clear()

    def hear(self, word: Word) -> bool:
        """Whether `word` is held for a while, since it may change what is sent. That its sender is there is done."""
        if not isinstance(word, (Here, Gone)):
            return False
        self._held.pop(word.relay, None)
        now = time.monotonic()
        if isinstance(word, Gone) or now >= self._change_due or not self._mesh.changes(word):
            return False
        if len(self._held) < MOST_RELAYS:
            self._held[word.relay] = replace(word, answer=False)
        self._change_soon()
        # That it is there is known at once, before other words of it.
        self._do(self._mesh.hear(word, now, changes=False))
        return True

    def _change_soon(self) -> None:
        if self._change_timer is None and self._loop is not None:
            delay = max(0.0, self._change_due - time.monotonic())
            self._change_timer = self._loop.call_later(delay, self._change)

    def _change(self) -> None:
        """Take in the words that were held."""
        self._change_timer = None
        self._change_due = 0.0
        began = time.monotonic()
        held, self._held = self._held, {}
        actions = [action for word in held.values() for action in self._mesh.hear(word, began)]
        self.sort(began)
        self._do(actions)

    def sort(self, began: float) -> None:
        """Have messages go into the streams that there are now, if these are others, or soon. It `began` then."""
        if self._mesh.streams == self._sorted:
            return
        if began < self._change_due and self._mesh.streams.keys() <= self._sorted.keys():
            # A stream that no device takes any more does no harm for a while.
            self._change_soon()
            return
        self._sorted = dict(self._mesh.streams)
        self._sorter = Sorter(self._sorted)
        if self._outgoing is not None:
            self._outgoing.set_topics(frozenset(chain.from_iterable(self._sorted.values())))
        now = time.monotonic()
        self._change_due = now + _CHANGE_PAUSE * (now - began)

    def serve(self, action: Serve) -> None:
        """Have another device be sent something else from here on, as an `action` of the mesh says."""
        self._outbox.serve(action.relay, action.turn, action.begins, action.ended)

    def interested(self, topic: bytes) -> tuple[bool, int] | None:
        """Whether the device asks others for a `topic`, and how many topics of its subscribers cover it.

        None if it has no subscribers, but work alone.
        """
        if self._outgoing is None:
            return None
        return covers(self._mesh.interest, topic), self._topics.covering(topic)

    def forget(self, stream: bytes) -> None:
        """Drop what waits in a `stream` that no device takes any more."""
        self._outbox.forget(stream)
        self._has_room.set()

    # What the device's subscribers ask for

    def ask(self, max_payload: int) -> None:
        """Ask the others for what is wanted now.

        :param max_payload: how large what is published may be.
        """
        # It has to fit into a word, in which it takes a third more.
        self._most_told_bytes = max_payload // 4
        self._change_interest()

    def _change_interest(self) -> None:
        if self._interest_timer is not None:
            self._interest_timer.cancel()
            self._interest_timer = None
        began = time.monotonic()
        interest = () if self._is_finishing else self._topics.interest(self._own, self._most_told_bytes)
        now = time.monotonic()
        self._interest_pause_s = max(_INTEREST_S, _INTEREST_PAUSE * (now - began))
        self._do(self._mesh.ask_for(interest, now))

    async def read_news(self, news: News) -> None:
        """Learn from `news` what the device's subscribers ask for, until that ends."""
        while True:
            for topic, is_wanted in await news.read():
                (self._topics.add if is_wanted else self._topics.discard)(topic)
            if self._interest_timer is None and self._loop is not None:
                self._interest_timer = self._loop.call_later(self._interest_pause_s, self._change_interest)

    # From the device to others

    async def read_outgoing(self, outgoing: Outgoing) -> None:
        """Put what the device has for others, `outgoing`, into the outbox, until that ends."""
        while True:
            data, count = await outgoing.read()
            outbox = self._outbox
            while data:
                data, count = await self._sort(data, count)
            if outbox:
                self._wake()
            if outbox.has_open and not self._mesh.waits:
                if self._flush_timer is None:
                    self._flush_soon()
                while self._flush_timer is not None:
                    # What comes until then is read in one piece.
                    self._has_flushed.clear()
                    await self._has_flushed.wait()
            while self._blocks and outbox.is_full:
                self._has_room.clear()
                await self._has_room.wait()

    async def _sort(self, data: bytes, count: int) -> tuple[bytes, int]:
        """Put messages where they belong, for a millisecond at most; those that are left, and how many."""
        sorter, outbox = self._sorter, self._outbox
        if sorter.only is not None:
            outbox.put(sorter.only, data, count)
            return b"", 0
        turn_ends = time.monotonic() + DELAY_S
        for takers, begin, end, number in sorter.sort(data):
            outbox.put(takers, data[begin:end], number)
            count -= number
            if end < len(data) and time.monotonic() >= turn_ends:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    # Then it counts among what was left.
                    left = data[end:]
                    for takers, begin, end, number in sorter.sort(left):
                        outbox.put(takers, left[begin:end], number)
                    raise
                # Meanwhile others may ask for something else.
                return data[end:], count
        return b"", 0

    def _flush_soon(self) -> None:
        assert self._loop is not None
        due = self._flushed_at + DELAY_S
        if due <= self._loop.time():
            self._flush()
        else:
            self._flush_timer = self._loop.call_at(due, self._flush)

    def _flush(self) -> None:
        assert self._loop is not None
        self._flush_timer = None
        self._flushed_at = self._loop.time()
        self._outbox.close()
        self._wake()
        self._has_flushed.set()

    async def send_one(self, link: Link) -> bool:
        """Send what goes next over `link`; whether there may be more."""
        mesh, outbox = self._mesh, self._outbox
        if mesh.waits:
            return False
        if self._next is None:
            if not outbox and outbox.has_open and self._flush_timer is None:
                # What came while it had to wait.
                outbox.close()
            self._next = outbox.take(link.max_payload)
            self._has_room.set()
        match self._next:
            case OutPack(stream, count, nbytes, data):
                if await link.publish(self._subjects.stream(stream), data):
                    self._next = None
                    self.sent += count
                    self.sent_bytes += nbytes
                    self.sent_packs += 1
            case OutServed(relay, word):
                if await link.say(self._subjects.relay(relay), encoded(word)):
                    self._next = None
                    mesh.said(relay, word, time.monotonic())
            case OutTurn(relay, kind):
                await self._send_turn(link, relay, kind)
            case None:
                return False
        return self._next is None

    async def _send_turn(self, link: Link, relay: bytes, kind: type[Word]) -> None:
        """Send the word that it is the turn of, if it is to go still."""
        turns = self.turns
        assert turns is not None  # it has put the word there
        word = turns.turn(relay, kind)
        if word is None or await link.say(self._subjects.relay(relay), encoded(word)):
            self._next = None
            if word is not None:
                turns.gone(relay, word)

    # From others to the device

    def on_pack(self, stream: bytes, data: bytes) -> None:
        """Take in `data`, a pack of a `stream`.

        :raises MalformedError: if it is none.
        """
        head = head_of(data)
        messages = data[HEAD_BYTES:]
        if head.stream != stream or whole.count(messages) != head.count:
            raise MalformedError("a pack that is not what its head says")
        lost = self._mesh.lost
        if not self._mesh.take(head, time.monotonic()):
            return
        if self._mesh.lost > lost:
            log.warning(
                event("backbone-lost", device=self._device, relay=head.relay.hex(), messages=self._mesh.lost - lost)
            )
        self.received += head.count
        self.received_bytes += len(messages)
        self.received_packs += 1
        if self._is_finishing:
            self._drop(BackboneDrop.STOPPED, head.count)
        elif not self.inbox.put(messages, head.count):
            self._drop(BackboneDrop.SLOW, head.count)

    # The end

    def send_rest(self) -> None:
        """Have all go that waits for company."""
        self._outbox.close()

    def drop_all(self) -> None:
        """Drop what waits, and do nothing more: the device stops."""
        if isinstance(self._next, OutPack):
            self._drop(BackboneDrop.STOPPED, self._next.count)
        self._next = None
        self._outbox.drop_all()
        self._drop(BackboneDrop.STOPPED, self.inbox.drop_all())
        for timer in (self._flush_timer, self._interest_timer, self._change_timer):
            if timer is not None:
                timer.cancel()
        self._loop = None

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count
