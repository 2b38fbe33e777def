"""What a device asks the others for: what its own subscribers ask it for, and what it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from ..actions import Action
from ..interest import Wanted, covers
from ..mesh import Mesh
from .ends import News

# Subscribers often come together: they are told of once.
_INTEREST_S = 0.02
# What is asked for is found in no more than a twentieth of the time, of which the processor's counts.
_INTEREST_PAUSE = 20


class Asking:
    """Has the others know what one device wants.

    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    :param mesh: tells the others.
    :param do: does what the mesh has decided.
    """

    def __init__(self, own: Collection[bytes], mesh: Mesh, do: Callable[[Sequence[Action]], None]) -> None:
        self._own = frozenset(own)
        self._mesh = mesh
        self._do = do
        self._loop: asyncio.AbstractEventLoop | None = None
        # Of the device's subscribers.
        self._topics = Wanted()
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = _INTEREST_S
        self._most_told_bytes = 0
        self._is_finishing = False

    def begin(self) -> None:
        """Know the running loop."""
        self._loop = asyncio.get_running_loop()

    async def read(self, news: News) -> None:
        """Learn from `news` what the device's subscribers ask for, until that ends."""
        while True:
            for topic, is_wanted in await news.read():
                (self._topics.add if is_wanted else self._topics.discard)(topic)
            if self._timer is None and self._loop is not None:
                self._timer = self._loop.call_later(self._pause_s, self._change)

    def ask(self, max_payload: int) -> None:
        """Ask the others for what is wanted now.

        :param max_payload: how large what is published may be.
        """
        # It has to fit into a word, in which it takes a third more.
        self._most_told_bytes = max_payload // 4
        self._change()

    def interested(self, topic: bytes) -> tuple[bool, int]:
        """Whether the device asks others for a `topic`, and how many topics of its subscribers cover it."""
        return covers(self._mesh.interest, topic), self._topics.covering(topic)

    def finish(self) -> None:
        """Ask for nothing more, from the next `ask` on: the device drains."""
        self._is_finishing = True

    def stop(self) -> None:
        """Change nothing more: the device stops."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None

    def _change(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began = time.thread_time()
        interest = () if self._is_finishing else self._topics.interest(self._own, self._most_told_bytes)
        self._pause_s = max(_INTEREST_S, _INTEREST_PAUSE * (time.thread_time() - began))
        self._do(self._mesh.ask_for(interest, time.monotonic()))
