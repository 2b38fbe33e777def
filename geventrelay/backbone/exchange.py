"""Moves messages between a device and NATS, as `geventrelay.backbone.mesh` decides.

::

    device --outgoing--> Sorter -> Outbox --packs--> NATS --packs--> inbox --incoming--> device
    device --news------> interest -> Mesh <--words--> NATS

All of it runs on one asyncio loop. What each step waits for is bounded, in outbox and inbox by ``backbone-buffer``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

from ..log import event
from ..settings import Forwarder, Relay
from ..terms import WhenFull
from . import whole
from .interest import Interest, Wanted
from .link import Link, check_installed
from .mesh import Action, Forget, Joined, Left, Mesh, Say, Serve
from .outbox import Outbox, OutPack, OutServed
from .pack import HEAD_BYTES, head_of
from .sorting import Sorter
from .subjects import Subjects
from .values import BackboneDrop, BackboneSnapshot, LinkState
from .words import MOST_RELAYS, RELAY_BYTES, Gone, Here, MalformedError, Word, decoded, encoded

log = logging.getLogger("geventrelay")

DELAY_S = 0.001
"""How long a message waits at most for others that travel with it. The first one after a silence does not wait."""
_TICK_S = 0.25
# Subscribers often come together: they are told of once.
_INTEREST_S = 0.02
# What is asked for is found in no more than a twentieth of the time.
_INTEREST_PAUSE = 20
_LAST_WORDS_S = 1.0
# Words of others may change what is sent in no more than a twentieth of the time.
_CHANGE_PAUSE = 20
_MOST_WORDS = 4 * MOST_RELAYS
# What a pack that waits costs besides its messages.
_PACK_COST_BYTES = 256


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


class Incoming(Protocol):
    """What is for the device's own subscribers."""

    async def write(self, data: bytes) -> None:
        """Hand over `data`, which is whole messages; waits while the device takes none.

        :raises ConnectionError: if the device has ended.
        """


class Exchange:
    """The backbone of one device.

    Its methods, but for `run`, are called by any greenlet, and do not yield.

    :param settings: the device's.
    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    """

    def __init__(self, settings: Relay | Forwarder, own: Collection[bytes] = ()) -> None:
        self._settings = settings
        self._own = frozenset(own)
        self._device = settings.name
        self._limit = settings.backbone_buffer_bytes
        self._blocks = settings.backbone_when_full is WhenFull.BLOCK
        self._subjects = Subjects(settings.backbone_prefix, settings.name)
        self._relay = secrets.token_bytes(RELAY_BYTES)
        self._outbox = Outbox(self._relay, self._limit, drops=not self._blocks)
        self._mesh = Mesh(self._relay, socket.gethostname(), self._outbox.mark)
        self._sorted: dict[bytes, Interest] = {}
        self._sorter = Sorter(self._sorted)
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: Outgoing | None = None
        # Of the device's subscribers.
        self._topics = Wanted()
        self._interest_timer: asyncio.TimerHandle | None = None
        self._interest_pause_s = _INTEREST_S
        # Those that go at once: of each kind the last one to each device.
        self._words: dict[tuple[bytes | None, type[Word]], Say] = {}
        # Words that change what is sent, and came too soon after others.
        self._held: dict[bytes, Here] = {}
        self._change_timer: asyncio.TimerHandle | None = None
        self._change_due = 0.0
        # What was taken from the outbox, and did not go since the connection ended.
        self._next: OutPack | OutServed | None = None
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._inbox_count = self._inbox_bytes = 0
        self._listens: dict[str, bytes] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._is_finishing = False
        self._sent = self._sent_bytes = self._sent_packs = 0
        self._received = self._received_bytes = self._received_packs = self._delivered = 0
        self._malformed = 0
        self._dropped: dict[BackboneDrop, int] = {}
        self._has_to_send, self._has_room, self._has_come = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._has_flushed, self._is_idle = asyncio.Event(), asyncio.Event()

    def open(self) -> None:
        """Read the files that the settings name. Blocks while they are read.

        :raises StartError: if one cannot be used, or if the library for NATS is missing.
        """
        check_installed()
        self._link = Link(self._settings)

    async def run(self, outgoing: Outgoing, news: News, incoming: Incoming) -> None:
        """Move messages until this is cancelled. Then the others are told, and what still waits is dropped.

        After `finish`, it returns when the device has ended `outgoing`, and what came from there has been sent.

        :param outgoing: what the device has for others.
        :param news: what its subscribers ask for.
        :param incoming: what takes messages of others.
        :raises ConnectionError: if one of these ends before that. That NATS is away is no error.
        """
        assert self._link is not None, "open comes first"
        self._loop, self._outgoing = asyncio.get_running_loop(), outgoing
        self._change_interest()
        link = self._loop.create_task(self._link.run(self))
        parts: list[Coroutine[Any, Any, None]] = [
            self._read_outgoing(outgoing),
            self._read_news(news),
            self._send(),
            self._deliver(incoming),
            self._tick(),
        ]
        tasks = [link, *map(self._loop.create_task, parts)]
        try:
            await self._until_ended(tasks, reading=tasks[1])
            await self._send_rest()
        finally:
            for task in tasks[1:]:
                task.cancel()
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(self._say_last(), _LAST_WORDS_S)
            link.cancel()
            await asyncio.wait(tasks)
            self._drop_all()
            self._loop = None

    def finish(self) -> None:
        """Take nothing more from others, and send what there is: the device drains."""
        self._is_finishing = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._change_interest)

    @property
    def drained(self) -> bool:
        """Whether all that has come from the device has gone, and the other way round; true while NATS is away."""
        if self._link is None or self._link.state is LinkState.CONNECTING:
            return True
        return not (self._outbox.waiting or self._next or self._inbox or self._link.pending_bytes)

    def snapshot(self) -> BackboneSnapshot:
        """What it has done up to now, and what there is."""
        link, outbox = self._link, self._outbox
        unsent = self._next if isinstance(self._next, OutPack) else None
        dropped = dict(outbox.dropped)
        for reason, count in self._dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return BackboneSnapshot(
            relay=self._relay.hex(),
            state=LinkState.CONNECTING if link is None else link.state,
            server="" if link is None else link.server,
            reason="" if link is None else link.reason,
            neighbours=self._mesh.neighbours(time.monotonic()),
            sent=self._sent,
            sent_bytes=self._sent_bytes,
            sent_packs=self._sent_packs,
            received=self._received,
            received_bytes=self._received_bytes,
            received_packs=self._received_packs,
            delivered=self._delivered,
            dropped=dropped,
            lost=self._mesh.lost,
            malformed=self._malformed,
            connects=0 if link is None else link.connects,
            waiting=outbox.waiting + (unsent.count if unsent else 0),
            waiting_bytes=outbox.waiting_bytes + (unsent.nbytes if unsent else 0),
            incoming=self._inbox_count,
            incoming_bytes=self._inbox_bytes,
            wanted=len(self._mesh.interest),
            round_trip_s=None if link is None else link.round_trip_s,
        )

    async def _until_ended(self, tasks: Collection[asyncio.Task[None]], reading: asyncio.Task[None]) -> None:
        """Return when `reading`, the task that reads from the device, has ended; raise what ends a task too early."""
        pending = set(tasks)
        while not reading.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    task.result()
                except ConnectionError:
                    if not self._is_finishing:
                        raise

    async def _send_rest(self) -> None:
        """Return when all that was read from the device has been sent, or NATS is away."""
        assert self._link is not None
        self._outbox.close()
        self._has_to_send.set()
        while (self._outbox or self._next) and self._link.state is LinkState.CONNECTED:
            self._is_idle.clear()
            await self._is_idle.wait()

    # What the link tells

    def on_connected(self) -> None:
        """Say that this device is there."""
        # Another server may take less at once.
        self._change_interest()
        self._do(self._mesh.connected(time.monotonic()))

    def on_disconnected(self) -> None:
        """Have messages wait, and leave out words: they would be old."""
        self._mesh.disconnected()
        self._words.clear()
        self._held.clear()

    def on_data(self, subject: str, data: bytes) -> None:
        """Take in what another device has sent.

        :param subject: where it was sent to.
        :param data: a pack, or a word.
        """
        try:
            if self._subjects.is_stream(subject):
                # One that is not listened to any more may still come for a moment.
                if subject in self._listens:
                    self._on_pack(self._listens[subject], data)
            else:
                self._hear(decoded(data))
        except ValueError as error:
            self._malformed += 1
            log.warning(event("backbone-malformed", device=self._device, subject=subject, reason=error))

    def _hear(self, word: Word) -> None:
        now = time.monotonic()
        if isinstance(word, (Here, Gone)):
            self._held.pop(word.relay, None)
            if isinstance(word, Here) and now < self._change_due and self._mesh.changes(word):
                if len(self._held) < MOST_RELAYS:
                    self._held[word.relay] = replace(word, answer=False)
                self._change_soon()
                # That it is there is known at once, before other words of it.
                self._do(self._mesh.hear(word, now, changes=False), began=now)
                return
        self._do(self._mesh.hear(word, now), began=now)

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
        self._do([action for word in held.values() for action in self._mesh.hear(word, began)], began=began)

    def _on_pack(self, stream: bytes, data: bytes) -> None:
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
        self._received += head.count
        self._received_bytes += len(messages)
        self._received_packs += 1
        if self._is_finishing:
            self._drop(BackboneDrop.STOPPED, head.count)
        elif self._inbox and self._inbox_bytes + len(messages) + len(self._inbox) * _PACK_COST_BYTES > self._limit:
            self._drop(BackboneDrop.SLOW, head.count)
        else:
            self._inbox.append((messages, head.count))
            self._inbox_count += head.count
            self._inbox_bytes += len(messages)
            self._has_come.set()

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count

    # What is decided is done

    def _do(self, actions: Sequence[Action], began: float | None = None) -> None:
        # What was read from the device before belongs to the streams that there were.
        if self._mesh.streams != self._sorted:
            began = time.monotonic() if began is None else began
            if began < self._change_due and self._mesh.streams.keys() <= self._sorted.keys():
                # A stream that no device takes any more does no harm for a while.
                self._change_soon()
            else:
                self._sort_anew(began)
        for action in actions:
            match action:
                case Say(to, word):
                    # A word that does not go is said again.
                    if (to, type(word)) in self._words or len(self._words) < _MOST_WORDS:
                        self._words[to, type(word)] = action
                case Serve(relay, turn, begins, ended):
                    self._outbox.serve(relay, turn, begins, ended)
                case Forget(stream):
                    self._outbox.forget(stream)
                    self._has_room.set()
                case Joined(relay, host):
                    log.info(event("backbone-joined", device=self._device, relay=relay.hex(), host=host))
                case Left(relay, host):
                    log.info(event("backbone-left", device=self._device, relay=relay.hex(), host=host))
        self._has_to_send.set()

    def _sort_anew(self, began: float) -> None:
        self._sorted = dict(self._mesh.streams)
        self._sorter = Sorter(self._sorted)
        if self._outgoing is not None:
            self._outgoing.set_topics(frozenset(chain.from_iterable(self._sorted.values())))
        now = time.monotonic()
        self._change_due = now + _CHANGE_PAUSE * (now - began)

    def _change_interest(self) -> None:
        assert self._link is not None
        if self._interest_timer is not None:
            self._interest_timer.cancel()
            self._interest_timer = None
        began = time.monotonic()
        # It has to fit into a word, in which it takes a third more.
        most_bytes = self._link.max_payload // 4
        interest = () if self._is_finishing else self._topics.interest(self._own, most_bytes)
        now = time.monotonic()
        self._interest_pause_s = max(_INTEREST_S, _INTEREST_PAUSE * (now - began))
        self._do(self._mesh.ask_for(interest, now))

    # What runs all the time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._do(self._mesh.tick(time.monotonic()))

    async def _read_news(self, news: News) -> None:
        while True:
            for topic, is_wanted in await news.read():
                (self._topics.add if is_wanted else self._topics.discard)(topic)
            if self._interest_timer is None and self._loop is not None:
                self._interest_timer = self._loop.call_later(self._interest_pause_s, self._change_interest)

    async def _read_outgoing(self, outgoing: Outgoing) -> None:
        while True:
            data, count = await outgoing.read()
            outbox = self._outbox
            while data:
                data, count = await self._sort(data, count)
            if outbox:
                self._has_to_send.set()
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
        self._has_to_send.set()
        self._has_flushed.set()

    async def _send(self) -> None:
        while True:
            await self._has_to_send.wait()
            self._has_to_send.clear()
            while await self._send_one():
                pass
            self._is_idle.set()

    async def _send_one(self) -> bool:
        """Send what goes next; whether there may be more."""
        assert self._link is not None
        link, mesh, outbox = self._link, self._mesh, self._outbox
        await self._listen(link)
        if self._words:
            said = self._words.pop(next(iter(self._words)))
            subject = self._subjects.all if said.to is None else self._subjects.relay(said.to)
            await self._publish_word(link, subject, said.word)
            return True
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
                    self._sent += count
                    self._sent_bytes += nbytes
                    self._sent_packs += 1
            case OutServed(relay, word):
                if await self._publish_word(link, self._subjects.relay(relay), word):
                    self._next = None
                    mesh.said(relay, word, time.monotonic())
            case None:
                return False
        return self._next is None

    async def _publish_word(self, link: Link, subject: str, word: Word) -> bool:
        """Send a `word`; whether it needs not be sent again."""
        data = encoded(word)
        if len(data) > link.max_payload:
            # The server would end the connection. Its limit is far below what it is made with.
            log.warning(event("backbone-refused", device=self._device, reason=f"a word of {len(data)} bytes"))
            return True
        return await link.publish(subject, data)

    async def _listen(self, link: Link) -> None:
        """Have NATS send what this device may be sent; before it tells others that it wants that."""
        listens = {self._subjects.stream(stream): stream for stream in self._mesh.listens}
        if listens != self._listens or not link.listens:
            # Until it is not listened to any more, it is taken.
            self._listens = {**self._listens, **listens}
            await link.listen_to((self._subjects.all, self._subjects.relay(self._relay), *listens))
            self._listens = listens

    async def _deliver(self, incoming: Incoming) -> None:
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            while self._inbox:
                data, count = self._inbox[0]
                await incoming.write(data)
                self._inbox.popleft()
                self._inbox_count -= count
                self._inbox_bytes -= len(data)
                self._delivered += count

    # The end

    async def _say_last(self) -> None:
        assert self._link is not None
        for action in self._mesh.leave():
            if isinstance(action, Say):
                await self._link.publish(self._subjects.all, encoded(action.word))
        await self._link.flushed()

    def _drop_all(self) -> None:
        if isinstance(self._next, OutPack):
            self._drop(BackboneDrop.STOPPED, self._next.count)
        self._next = None
        self._outbox.drop_all()
        self._drop(BackboneDrop.STOPPED, self._inbox_count)
        self._inbox.clear()
        self._inbox_count = self._inbox_bytes = 0
        for timer in (self._flush_timer, self._interest_timer, self._change_timer):
            if timer is not None:
                timer.cancel()
