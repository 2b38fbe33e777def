"""Joins a device with the others of its name over NATS, as `geventrelay.backbone.mesh` decides.

::

    device <--> Publishing, Working <--packs--> NATS
                       Mesh         <--words--> NATS

All of it runs on one asyncio loop. What each step waits for is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ..components.component import Traffic
from ..log import event
from ..settings import Relay
from ..terms import WhenFull
from .about import Portrait
from .actions import Action, Forget, Joined, Left, Say, Serve
from .differing import Strangers
from .mesh import Mesh
from .nats.link import Link, check_installed
from .part import Part
from .store.durable import Durable
from .subjects import Subjects
from .terms import MOST_COUNT, MOST_RELAYS, RELAY_BYTES
from .topics.ends import StreamEnds
from .topics.outbox import Outbox
from .topics.publishing import Publishing
from .trace.around import Around
from .trace.hops import Trace
from .trace.probing import Probing
from .values import BackboneDrop, BackboneSnapshot, LinkState, Neighbour
from .words.codec import UnknownWordError, decoded, encoded
from .words.mesh import About
from .words.word import Word
from .work.working import WorkEnds, Working

log = logging.getLogger("geventrelay")

_TICK_S = 0.25
_LAST_WORDS_S = 1.0
_CANCEL_AGAIN_S = 0.1
_MOST_WORDS = 4 * MOST_RELAYS

_NO_WORK: Mapping[str, Any] = {"credit": 0, "promised": 0}


class Exchange:
    """The backbone of one device.

    Its methods, but for `run`, are called by any greenlet, and do not yield.

    :param settings: the device's.
    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    :param traffic: what has gone through its sockets; does not yield.
    :param taken: how many of the messages with topics that it was handed it has taken; None if that is not known. Does
        not yield.
    """

    def __init__(
        self,
        settings: Any,
        own: Collection[bytes] = (),
        *,
        traffic: Callable[[], Traffic] = Traffic,
        taken: Callable[[], int | None] = lambda: None,
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
        # They take turns to send.
        self._parts: deque[Part] = deque((self._publishing,))
        workers_at = "push" if isinstance(settings, Relay) else "backend"
        self._around = Around(self._host, self._mesh, self._publishing, taken, lambda: traffic().peers, workers_at)
        self._probing = Probing(self._mesh, outbox, self._around, self._do)
        self._publishing.sending.turns = self._probing
        self._strangers = Strangers(settings)
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
        self._link = Link(self._settings, self._relay.hex())

    async def run(self, streams: StreamEnds | None = None, work: WorkEnds | None = None) -> None:
        """Move messages until this is cancelled. Then the others are told, and what still waits is dropped.

        After `finish`, it returns when the device has ended what is read from it, and what came from there was sent.

        :param streams: the device's sockets for messages with topics; None if it has none.
        :param work: those for work; None if it has none.
        :raises ConnectionError: if one of these ends before that. That NATS is away is no error.
        """
        assert self._link is not None, "open comes first"
        loop = self._loop = asyncio.get_running_loop()
        self._around.begin(self._link)
        self._probing.begin()
        self._begin(streams, work)
        self._ask()
        link = loop.create_task(self._link.run(self))
        sources = [loop.create_task(run) for part in self._parts for run in part.reading()]
        others = (run for part in self._parts for run in part.running())
        tasks = [link, *sources, *map(loop.create_task, (*others, self._send(), self._tick()))]
        try:
            await self._until_ended(tasks, sources)
            await self._send_rest()
        finally:
            for task in tasks[1:]:
                task.cancel()
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(self._say_last(), _LAST_WORDS_S)
            await _end(tasks)
            for part in self._parts:
                part.drop_all()
            self._probing.stop()
            self._loop = None

    def _begin(self, streams: StreamEnds | None, work: WorkEnds | None) -> None:
        assert self._link is not None, "open comes first"
        self._publishing.begin(streams)
        wake = self._has_to_send.set
        if work is not None and getattr(self._settings, "durable", False):
            self._parts.append(Durable(self._settings, self._relay, work, self._link, wake))
        elif work is not None:
            working = self._around.working = Working(self._settings, self._mesh, work, self._do, wake)
            self._parts.append(working)

    def finish(self) -> None:
        """Take nothing more from others, and send what there is: the device drains."""
        self._is_finishing = True
        if self._loop is None:
            self._publishing.finish()
        else:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        for part in tuple(self._parts):
            part.finish()
        self._ask()

    def trace(self, topic: bytes | None, limit_s: float, report: Callable[[Trace], None]) -> bool:
        """Find out how long messages take to the others; whether this runs, so that it can.

        :param topic: what messages begin with that are asked about; None for none.
        :param limit_s: how long to wait for answers, in seconds.
        :param report: gets what was found, once, in another greenlet. It must not yield.
        """
        if self._loop is None or self._is_finishing:
            return False
        self._loop.call_soon_threadsafe(self._probing.ask, topic, limit_s, report)
        return True

    @property
    def drained(self) -> bool:
        """Whether all that has come from the device has gone, and the other way round; true while NATS is away."""
        is_connected = self._link is not None and self._link.state is LinkState.CONNECTED
        if not all(part.is_drained(connected=is_connected) for part in tuple(self._parts)):
            return False
        return self._link is None or not is_connected or not self._link.pending_bytes

    def snapshot(self) -> BackboneSnapshot:
        """What it has done up to now, and what there is."""
        link, parts = self._link, tuple(self._parts)
        neighbours = tuple(map(self._with_parts, self._mesh.neighbours(time.monotonic())))
        ways_s = [one.round_trip_s for one in neighbours if one.round_trip_s is not None]
        return BackboneSnapshot(
            relay=self._relay.hex(),
            state=LinkState.CONNECTING if link is None else link.state,
            server="" if link is None else link.server,
            reason="" if link is None else link.reason,
            neighbours=neighbours,
            host=self._host,
            dropped=self._dropped(),
            lost=min(self._mesh.lost + sum(part.lost for part in parts), MOST_COUNT),
            malformed=self._malformed + sum(part.malformed for part in parts),
            connects=0 if link is None else link.connects,
            waiting=sum(part.waiting for part in parts),
            waiting_bytes=sum(part.waiting_bytes for part in parts),
            incoming=sum(part.incoming for part in parts),
            incoming_bytes=sum(part.incoming_bytes for part in parts),
            wanted=len(self._mesh.interest),
            round_trip_s=None if link is None else link.round_trip_s,
            others=len(neighbours),
            others_round_trip_s=max(ways_s, default=None),
            **{**_NO_WORK, **dict(chain.from_iterable(part.values().items() for part in parts))},
        )

    def _with_parts(self, neighbour: Neighbour) -> Neighbour:
        told = chain.from_iterable(part.values_of(neighbour.relay).items() for part in tuple(self._parts))
        return replace(neighbour, **dict(told))

    def _dropped(self) -> dict[BackboneDrop, int]:
        found: Counter[BackboneDrop] = Counter()
        for part in tuple(self._parts):
            found.update(part.dropped)
        return dict(found)

    def _about(self) -> About:
        server = "" if self._link is None else self._link.server
        waiting, incoming = (sum(getattr(one, what) for one in self._parts) for what in ("waiting", "incoming"))
        return self._portrait.at(time.monotonic(), server=server, waiting=waiting, incoming=incoming)

    async def _until_ended(
        self, tasks: Collection[asyncio.Task[None]], sources: Collection[asyncio.Task[None]]
    ) -> None:
        """Return when `sources`, the tasks that read from the device, have ended; raise what ends a task too early."""
        pending = set(tasks)
        while not all(source.done() for source in sources):
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
        for part in self._parts:
            part.send_rest()
        self._has_to_send.set()
        while any(part.has_unsent for part in self._parts) and self._link.state is LinkState.CONNECTED:
            self._is_idle.clear()
            await self._is_idle.wait()

    # What the link tells

    def on_connected(self) -> None:
        """Say that this device is there."""
        self._around.connected()
        # Another server may take less at once.
        self._ask()
        self._do(self._mesh.connected(time.monotonic()))
        for part in self._parts:
            part.connected()

    def on_disconnected(self) -> None:
        """Have messages wait, and leave out words: they would be old."""
        self._around.disconnected()
        self._mesh.disconnected()
        self._words.clear()
        for part in self._parts:
            part.disconnected()

    def on_data(self, subject: str, data: bytes) -> None:
        """Take in what another device has sent.

        :param subject: where it was sent to.
        :param data: a pack, or a word.
        """
        try:
            if self._subjects.is_stream(subject):
                # One that is not listened to any more may still come for a moment.
                if subject in self._listens:
                    self._publishing.receiving.on_pack(self._listens[subject], data)
            elif self._subjects.is_work(subject):
                for part in self._parts:
                    part.on_work(data)
            else:
                self._hear(decoded(data))
        except UnknownWordError:
            # Later versions may have more to say to each other.
            return
        except ValueError as error:
            self._malformed += 1
            log.warning(event("backbone-malformed", device=self._device, subject=subject, reason=error))

    def _hear(self, word: Word) -> None:
        began = time.thread_time()
        if not self._probing.hear(word) and not any(part.hear(word) for part in self._parts):
            self._do(self._mesh.hear(word, time.monotonic()), began)
        if self._mesh.knows(word.relay):
            # Of others, nothing would say that they have gone.
            self._strangers.hear(word)

    # What is decided is done

    def _do(self, actions: Sequence[Action], began: float | None = None) -> None:
        # What was read from the device before belongs to the streams that there were.
        self._publishing.streams.sort(time.thread_time() if began is None else began)
        for action in actions:
            match action:
                case Say(to, word):
                    # A word that does not go is said again.
                    if self._words.pop((to, type(word)), None) is not None or len(self._words) < _MOST_WORDS:
                        self._words[to, type(word)] = action
                case Serve():
                    self._publishing.serve(action)
                case Forget(stream):
                    self._publishing.forget(stream)
                case Joined(relay, host):
                    log.info(event("backbone-joined", device=self._device, relay=relay.hex(), host=host))
                    for part in self._parts:
                        part.joined(relay)
                case Left(relay, host):
                    log.info(event("backbone-left", device=self._device, relay=relay.hex(), host=host))
                    for part in self._parts:
                        part.left(relay)
                    self._probing.left(relay)
                    self._strangers.left(relay)
        self._has_to_send.set()

    def _ask(self) -> None:
        assert self._link is not None
        self._publishing.asking.ask(self._link.max_payload)

    # What runs all the time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._do(self._mesh.tick(time.monotonic()))
            for part in self._parts:
                part.tick()

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
        self._parts.rotate()
        for part in tuple(self._parts):
            if await part.send_one(self._link):
                return True
        return False

    async def _listen(self, link: Link) -> None:
        """Have NATS send what this device may be sent; before it tells others that it wants that."""
        listens = {self._subjects.stream(stream): stream for stream in self._mesh.listens}
        if listens != self._listens or not link.listens:
            # Until it is not listened to any more, it is taken.
            self._listens = {**self._listens, **listens}
            own = (subject for part in self._parts for subject in part.listens)
            await link.listen_to((self._subjects.all, self._subjects.relay(self._relay), *own, *listens))
            self._listens = listens

    # The end

    async def _say_last(self) -> None:
        assert self._link is not None
        for action in self._mesh.leave():
            if isinstance(action, Say):
                await self._link.publish(self._subjects.all, encoded(action.word))
        for subject, data in [one for part in self._parts for one in part.left_over()]:
            await self._link.publish(subject, data)
        await self._link.flushed()


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel `tasks`, and return when all have ended.

    Before Python 3.12, `asyncio.wait_for`, which the library for NATS connects with, passes over a cancellation that
    comes in the moment in which it has what it waits for. So one cancellation may not be enough.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
