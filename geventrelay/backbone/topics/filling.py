"""The way from a device into the outbox: each message into its streams, with others that come about then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..mesh import Mesh
from .ends import Outgoing
from .outbox import Outbox
from .streams import Streams

DELAY_S = 0.001
"""How long a message waits at most for others that travel with it. The first one after a silence does not wait."""


class Filling:
    """Puts what a device has for others into an outbox.

    :param mesh: says whether packs are to wait.
    :param streams: those that are sent.
    :param outbox: what waits for others.
    :param blocks: whether the device has to wait while that is full.
    :param wake: has the exchange call `send_one`.
    """

    def __init__(self, mesh: Mesh, streams: Streams, outbox: Outbox, *, blocks: bool, wake: Callable[[], None]) -> None:
        self._mesh = mesh
        self._streams = streams
        self._outbox = outbox
        self._blocks = blocks
        self._wake = wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._has_room, self._has_flushed = asyncio.Event(), asyncio.Event()

    def begin(self) -> None:
        """Know the running loop."""
        self._loop = asyncio.get_running_loop()

    @property
    def is_waiting(self) -> bool:
        """Whether open packs wait for more messages, for a moment."""
        return self._flush_timer is not None

    def made_room(self) -> None:
        """There may be room in the outbox again."""
        self._has_room.set()

    async def read(self, outgoing: Outgoing) -> None:
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

    def stop(self) -> None:
        """Do nothing more: the device stops."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._loop = None

    async def _sort(self, data: bytes, count: int) -> tuple[bytes, int]:
        """Put messages where they belong, for a millisecond at most; those that are left, and how many."""
        sorter, outbox = self._streams.sorter, self._outbox
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
