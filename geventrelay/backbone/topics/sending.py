"""The way from the outbox to NATS: packs, and the words that stand between them."""

from __future__ import annotations

import time
from typing import Protocol

from ..mesh import Mesh
from ..nats.link import Link
from ..subjects import Subjects
from ..words.codec import encoded
from ..words.word import Word
from .filling import Filling
from .outbox import Outbox, OutPack, OutServed, OutTurn


class Turns(Protocol):
    """What has words wait among the messages for others."""

    def turn(self, relay: bytes, kind: type[Word]) -> Word | None:
        """What goes to the device `relay` where it is the turn of a word of that `kind`; None if none does."""

    def gone(self, relay: bytes, word: Word) -> None:
        """A `word` that it was the turn of has gone to the device `relay`."""


class Sending:
    """Sends what waits in an outbox.

    :param subjects: those of the device's name.
    :param mesh: says whether packs are to wait, and gets to know what has gone.
    :param outbox: what waits.
    :param filling: fills it.
    :ivar turns: what makes the words that wait there; None if none do.
    :ivar messages: how many messages were sent.
    :ivar nbytes: how long these were.
    :ivar packs: how many packs they went in.
    """

    def __init__(self, subjects: Subjects, mesh: Mesh, outbox: Outbox, filling: Filling) -> None:
        self._subjects = subjects
        self._mesh = mesh
        self._outbox = outbox
        self._filling = filling
        # What was taken from the outbox, and did not go since the connection ended.
        self._next: OutPack | OutServed | OutTurn | None = None
        self.turns: Turns | None = None
        self.messages = self.nbytes = self.packs = 0

    @property
    def has_next(self) -> bool:
        """Whether something was taken from the outbox that has yet to go."""
        return self._next is not None

    @property
    def next_messages(self) -> int:
        """How many messages that is."""
        return self._next.count if isinstance(self._next, OutPack) else 0

    @property
    def next_bytes(self) -> int:
        """How long these are."""
        return self._next.nbytes if isinstance(self._next, OutPack) else 0

    async def send_one(self, link: Link) -> bool:
        """Send what goes next over `link`; whether there may be more."""
        mesh, outbox = self._mesh, self._outbox
        if mesh.waits:
            return False
        if self._next is None:
            if not outbox and outbox.has_open and not self._filling.is_waiting:
                # What came while it had to wait.
                outbox.close()
            self._next = outbox.take(link.max_payload)
            self._filling.made_room()
        match self._next:
            case OutPack(stream, count, nbytes, data):
                if await link.publish(self._subjects.stream(stream), data):
                    self._next = None
                    self.messages += count
                    self.nbytes += nbytes
                    self.packs += 1
            case OutServed(relay, word):
                if await link.say(self._subjects.relay(relay), encoded(word)):
                    self._next = None
                    mesh.said(relay, word, time.monotonic())
            case OutTurn(relay, kind):
                await self._send_turn(link, relay, kind)
            case None:
                return False
        return self._next is None

    def drop(self) -> int:
        """Drop what has yet to go, but for what waits in the outbox: how many messages that were."""
        count, self._next = self.next_messages, None
        return count

    async def _send_turn(self, link: Link, relay: bytes, kind: type[Word]) -> None:
        """Send the word that it is the turn of, if it is to go still."""
        turns = self.turns
        assert turns is not None  # it has put the word there
        word = turns.turn(relay, kind)
        if word is None or await link.say(self._subjects.relay(relay), encoded(word)):
            self._next = None
            if word is not None:
                turns.gone(relay, word)
