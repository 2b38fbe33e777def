"""Joins a device with the others of its name over NATS, as `geventrelay.backbone.mesh` decides.

::

    device <--> Publishing <--packs--> NATS
                   Mesh    <--words--> NATS

All of it runs on one asyncio loop. What each step waits for is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from ..components.component import Traffic
from ..log import event
from ..settings import Forwarder, Relay
from ..terms import WhenFull
from .about import Portrait
from .inbox import Incoming
from .link import Link, check_installed
from .mesh import Action, Forget, Joined, Left, Mesh, Say, Serve
from .outbox import Outbox
from .publishing import News, Outgoing, Publishing
from .subjects import Subjects
from .values import BackboneSnapshot, LinkState
from .words import MOST_RELAYS, RELAY_BYTES, About, Word, decoded, encoded

log = logging.getLogger("geventrelay")

_TICK_S = 0.25
_LAST_WORDS_S = 1.0
_MOST_WORDS = 4 * MOST_RELAYS


class Exchange:
    """The backbone of one device.

    Its methods, but for `run`, are called by any greenlet, and do not yield.

    :param settings: the device's.
    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    :param traffic: what has gone through its sockets; does not yield.
    """

    def __init__(
        self, settings: Relay | Forwarder, own: Collection[bytes] = (), *, traffic: Callable[[], Traffic] = Traffic
    ) -> None:
        self._settings = settings
        self._device = settings.name
        self._subjects = Subjects(settings.backbone_prefix, settings.name)
        self._relay = secrets.token_bytes(RELAY_BYTES)
        blocks = settings.backbone_when_full is WhenFull.BLOCK
        outbox = Outbox(self._relay, settings.backbone_buffer_bytes, drops=not blocks)
        self._host = socket.gethostname()
        self._portrait = Portrait(traffic)
        self._mesh = Mesh(self._relay, self._host, outbox.mark, self._about)
        self._has_to_send, self._is_idle = asyncio.Event(), asyncio.Event()
        self._publishing = Publishing(settings, own, self._mesh, outbox, self._do, self._has_to_send.set)
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Those that go at once: of each kind the last one to each device.
        self._words: dict[tuple[bytes | None, type[Word]], Say] = {}
        self._listens: dict[str, bytes] = {}
        self._is_finishing = False
        self._malformed = 0

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
        self._loop = asyncio.get_running_loop()
        publishing = self._publishing
        publishing.begin(outgoing)
        publishing.ask(self._link.max_payload)
        link = self._loop.create_task(self._link.run(self))
        parts: list[Coroutine[Any, Any, None]] = [
            publishing.read_outgoing(outgoing),
            publishing.read_news(news),
            publishing.inbox.deliver(incoming),
            self._send(),
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
            publishing.drop_all()
            self._loop = None

    def finish(self) -> None:
        """Take nothing more from others, and send what there is: the device drains."""
        self._is_finishing = True
        self._publishing.finish()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ask)

    @property
    def drained(self) -> bool:
        """Whether all that has come from the device has gone, and the other way round; true while NATS is away."""
        if self._link is None or self._link.state is LinkState.CONNECTING:
            return True
        return self._publishing.drained and not self._link.pending_bytes

    def snapshot(self) -> BackboneSnapshot:
        """What it has done up to now, and what there is."""
        link, publishing = self._link, self._publishing
        neighbours = self._mesh.neighbours(time.monotonic())
        ways_s = [one.round_trip_s for one in neighbours if one.round_trip_s is not None]
        return BackboneSnapshot(
            relay=self._relay.hex(),
            state=LinkState.CONNECTING if link is None else link.state,
            server="" if link is None else link.server,
            reason="" if link is None else link.reason,
            neighbours=neighbours,
            host=self._host,
            sent=publishing.sent,
            sent_bytes=publishing.sent_bytes,
            sent_packs=publishing.sent_packs,
            received=publishing.received,
            received_bytes=publishing.received_bytes,
            received_packs=publishing.received_packs,
            delivered=publishing.inbox.delivered,
            dropped=publishing.dropped,
            lost=self._mesh.lost,
            malformed=self._malformed,
            connects=0 if link is None else link.connects,
            waiting=publishing.waiting,
            waiting_bytes=publishing.waiting_bytes,
            incoming=publishing.inbox.waiting,
            incoming_bytes=publishing.inbox.waiting_bytes,
            wanted=len(self._mesh.interest),
            round_trip_s=None if link is None else link.round_trip_s,
            others=len(neighbours),
            others_round_trip_s=max(ways_s, default=None),
        )

    def _about(self) -> About:
        server = "" if self._link is None else self._link.server
        waiting, incoming = self._publishing.waiting, self._publishing.inbox.waiting
        return self._portrait.at(time.monotonic(), server=server, waiting=waiting, incoming=incoming)

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
        self._publishing.send_rest()
        self._has_to_send.set()
        while self._publishing.has_unsent and self._link.state is LinkState.CONNECTED:
            self._is_idle.clear()
            await self._is_idle.wait()

    # What the link tells

    def on_connected(self) -> None:
        """Say that this device is there."""
        # Another server may take less at once.
        self._ask()
        self._do(self._mesh.connected(time.monotonic()))

    def on_disconnected(self) -> None:
        """Have messages wait, and leave out words: they would be old."""
        self._mesh.disconnected()
        self._words.clear()
        self._publishing.disconnected()

    def on_data(self, subject: str, data: bytes) -> None:
        """Take in what another device has sent.

        :param subject: where it was sent to.
        :param data: a pack, or a word.
        """
        try:
            if self._subjects.is_stream(subject):
                # One that is not listened to any more may still come for a moment.
                if subject in self._listens:
                    self._publishing.on_pack(self._listens[subject], data)
            else:
                self._hear(decoded(data))
        except ValueError as error:
            self._malformed += 1
            log.warning(event("backbone-malformed", device=self._device, subject=subject, reason=error))

    def _hear(self, word: Word) -> None:
        began = time.monotonic()
        if not self._publishing.hear(word):
            self._do(self._mesh.hear(word, began), began)

    # What is decided is done

    def _do(self, actions: Sequence[Action], began: float | None = None) -> None:
        # What was read from the device before belongs to the streams that there were.
        self._publishing.sort(time.monotonic() if began is None else began)
        for action in actions:
            match action:
                case Say(to, word):
                    # A word that does not go is said again.
                    if (to, type(word)) in self._words or len(self._words) < _MOST_WORDS:
                        self._words[to, type(word)] = action
                case Serve():
                    self._publishing.serve(action)
                case Forget(stream):
                    self._publishing.forget(stream)
                case Joined(relay, host):
                    log.info(event("backbone-joined", device=self._device, relay=relay.hex(), host=host))
                case Left(relay, host):
                    log.info(event("backbone-left", device=self._device, relay=relay.hex(), host=host))
        self._has_to_send.set()

    def _ask(self) -> None:
        assert self._link is not None
        self._publishing.ask(self._link.max_payload)

    # What runs all the time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._do(self._mesh.tick(time.monotonic()))

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
        await self._listen(self._link)
        if self._words:
            said = self._words.pop(next(iter(self._words)))
            subject = self._subjects.all if said.to is None else self._subjects.relay(said.to)
            await self._link.say(subject, encoded(said.word))
            return True
        return await self._publishing.send_one(self._link)

    async def _listen(self, link: Link) -> None:
        """Have NATS send what this device may be sent; before it tells others that it wants that."""
        listens = {self._subjects.stream(stream): stream for stream in self._mesh.listens}
        if listens != self._listens or not link.listens:
            # Until it is not listened to any more, it is taken.
            self._listens = {**self._listens, **listens}
            await link.listen_to((self._subjects.all, self._subjects.relay(self._relay), *listens))
            self._listens = listens

    # The end

    async def _say_last(self) -> None:
        assert self._link is not None
        for action in self._mesh.leave():
            if isinstance(action, Say):
                await self._link.publish(self._subjects.all, encoded(action.word))
        await self._link.flushed()
