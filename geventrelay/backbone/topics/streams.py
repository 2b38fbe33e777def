"""The streams that a device sends: which there are, as others ask for them, and how often that may change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from ..actions import Action
from ..interest import Interest
from ..mesh import Mesh
from ..terms import MOST_RELAYS
from ..words.mesh import Gone, Here
from ..words.word import Word
from .ends import Outgoing
from .sorting import Sorter

# Words of others may change what is sent in no more than a twentieth of the time. What it takes is processor time: that
# of other processes on a busy machine would have others wait 20 times as long.
_CHANGE_PAUSE = 20


class Streams:
    """The streams of one device to others.

    :param mesh: decides what is sent to which devices.
    :param do: does what the mesh has decided.
    :ivar sorter: knows which streams a message belongs to.
    """

    def __init__(self, mesh: Mesh, do: Callable[[Sequence[Action]], None]) -> None:
        self._mesh = mesh
        self._do = do
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: Outgoing | None = None
        self._sorted: dict[bytes, Interest] = {}
        self.sorter = Sorter(self._sorted)
        # Words that change what is sent, and came too soon after others.
        self._held: dict[bytes, Here] = {}
        self._change_timer: asyncio.TimerHandle | None = None
        self._change_due = 0.0

    def begin(self, outgoing: Outgoing | None) -> None:
        """Know the running loop, and what the device has for others, `outgoing`; None if it has nothing."""
        self._loop, self._outgoing = asyncio.get_running_loop(), outgoing

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

    def sort(self, began: float) -> None:
        """Have messages go into the streams that there are now, if these are others, or soon.

        :param began: what `time.thread_time` said when what has changed them began to be looked at.
        """
        if self._mesh.streams == self._sorted:
            return
        if time.monotonic() < self._change_due and self._mesh.streams.keys() <= self._sorted.keys():
            # A stream that no device takes any more does no harm for a while.
            self._change_soon()
            return
        self._sorted = dict(self._mesh.streams)
        self.sorter = Sorter(self._sorted)
        if self._outgoing is not None:
            self._outgoing.set_topics(frozenset(chain.from_iterable(self._sorted.values())))
        self._change_due = time.monotonic() + _CHANGE_PAUSE * (time.thread_time() - began)

    def stop(self) -> None:
        """Change nothing more: the device stops."""
        if self._change_timer is not None:
            self._change_timer.cancel()
        self._loop = None

    def _change_soon(self) -> None:
        if self._change_timer is None and self._loop is not None:
            delay = max(0.0, self._change_due - time.monotonic())
            self._change_timer = self._loop.call_later(delay, self._change)

    def _change(self) -> None:
        """Take in the words that were held."""
        self._change_timer = None
        self._change_due = 0.0
        began, now = time.thread_time(), time.monotonic()
        held, self._held = self._held, {}
        actions = [action for word in held.values() for action in self._mesh.hear(word, now)]
        self.sort(began)
        self._do(actions)
