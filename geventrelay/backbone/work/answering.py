"""Replies between the queues of several devices: each goes back to the device that the request came from.

::

    queue --work_in----> by the way back --packs--> NATS
    queue <--work_out--- answers <----------packs-- NATS

They are under no credit. What waits is bounded, in both directions, by ``backbone-buffer``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from ...terms import WhenFull
from ..inbox import Inbox
from ..nats.link import Link
from ..pack import HEAD_BYTES, PackHead
from ..subjects import Subjects
from ..values import BackboneDrop
from .numbers import Numbers
from .requests import Unanswered, by_way
from .unsent import Portion, Unsent


class Source(Protocol):
    """What has messages of the device."""

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as ZMTP has them in a connection, and how many.

        :raises ConnectionError: if the device has ended.
        """


class Answering:
    """The replies of one device to requests of others, and theirs to it.

    :param settings: the device's.
    :param relay: its id.
    :param numbers: those of replies.
    :param is_back: whether another device was heard of since this one was connected.
    :param drop: counts what is dropped.
    :param wake: has the exchange call `send_one`.
    :ivar unanswered: what others were asked.
    :ivar inbox: what waits for the device's clients.
    :ivar sent: how many replies went to others.
    :ivar received: how many came from others.
    """

    def __init__(
        self,
        settings: Any,
        relay: bytes,
        numbers: Numbers,
        is_back: Callable[[bytes], bool],
        drop: Callable[[BackboneDrop, int], None],
        wake: Callable[[], None],
    ) -> None:
        self._relay, self._numbers = relay, numbers
        self._limit = settings.backbone_buffer_bytes
        self._blocks = settings.backbone_when_full is WhenFull.BLOCK
        self._subjects = Subjects(settings.backbone_prefix, settings.name)
        self._is_back, self._drop, self._wake = is_back, drop, wake
        self._unsent = Unsent()
        # On its way into the connection.
        self._going: Portion | None = None
        self._has_room = asyncio.Event()
        self.unanswered = Unanswered()
        self.inbox = Inbox(self._limit)
        self.sent = self.received = 0

    @property
    def waiting(self) -> int:
        """How many replies wait for others."""
        return self._unsent.count + (0 if self._going is None else self._going.count)

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        return self._unsent.nbytes + (0 if self._going is None else len(self._going.data))

    async def read(self, source: Source) -> None:
        """Have replies of the device's workers, from `source`, wait for those who have asked, until that ends."""
        while True:
            data, _ = await source.read()
            for relay, replies, count in by_way(data):
                if relay == self._relay:
                    self._answer(replies, count)
                elif relay is None or not self.unanswered.has(relay):
                    self._drop(BackboneDrop.LEFT, count)
                elif not self._blocks and self._unsent and self.waiting_bytes + len(replies) > self._limit:
                    self._drop(BackboneDrop.BACKBONE, count)
                else:
                    self._unsent.add(relay, replies, count)
            self._wake()
            while self._blocks and self.waiting_bytes >= self._limit:
                self._has_room.clear()
                await self._has_room.wait()

    async def send_one(self, link: Link) -> bool:
        """Send what goes next over `link`; whether there may be more."""
        portion = self._unsent.take(link.max_payload - HEAD_BYTES, self._is_back)
        if portion is None:
            return False
        self._drop(BackboneDrop.TOO_LARGE, portion.dropped)
        self._has_room.set()
        if not portion.count:
            return True
        relay = portion.relay
        head, self._going = self._numbers.head(relay, portion.count), portion
        is_sent = await link.publish(self._subjects.work(relay), head.encoded() + portion.data)
        self._going = None
        if is_sent:
            self.sent += portion.count
            return True
        self._numbers.unsend(relay, head)
        if self.unanswered.has(relay):
            self._unsent.put_back(portion)
        else:
            self._drop(BackboneDrop.LEFT, portion.count)
        return False

    def on_pack(self, head: PackHead, replies: bytes) -> None:
        """Take in `replies` that have come, in a pack with this `head`."""
        if self._numbers.take(head):
            self.received += head.count
            self.unanswered.answered(head.relay, head.count)
            self._answer(replies, head.count)

    def left(self, relay: bytes) -> None:
        """A device, `relay`, has gone, and its clients with it."""
        self.unanswered.left(relay)
        self._drop(BackboneDrop.LEFT, self._unsent.pop(relay)[1])
        self._has_room.set()

    def drop_all(self) -> None:
        """Drop what waits: the device stops."""
        self._drop(BackboneDrop.STOPPED, self.waiting + self.inbox.drop_all())
        self._unsent, self._going = Unsent(), None

    def _answer(self, replies: bytes, count: int) -> None:
        if not self.inbox.put(replies, count):
            self._drop(BackboneDrop.SLOW, count)
