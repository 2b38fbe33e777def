"""What has come from others and waits for the device, in order and bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

# What a pack that waits costs besides its messages.
_PACK_COST_BYTES = 256


class Incoming(Protocol):
    """What takes messages of others."""

    async def write(self, data: bytes) -> None:
        """Hand over `data`, which is whole messages; waits while the device takes none.

        :raises ConnectionError: if the device has ended.
        """


class Inbox:
    """Messages that wait for the device.

    :param limit_bytes: how much may wait; what is put into an empty one has room in any case.
    :ivar waiting: how many messages wait.
    :ivar waiting_bytes: how long these are.
    :ivar delivered: how many were handed over.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._packs: deque[tuple[bytes, int]] = deque()
        self._has_come = asyncio.Event()
        self.waiting = self.waiting_bytes = self.delivered = 0

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._packs)

    def put(self, data: bytes, count: int, *, always: bool = False) -> bool:
        """Have messages wait; whether there was room.

        :param data: whole messages, as ZMTP has them in a connection.
        :param count: how many messages that is.
        :param always: whether they wait in any case: their number is bounded elsewhere.
        """
        if (
            not always
            and self._packs
            and self.waiting_bytes + len(data) + len(self._packs) * _PACK_COST_BYTES > self._limit
        ):
            return False
        self._packs.append((data, count))
        self.waiting += count
        self.waiting_bytes += len(data)
        self._has_come.set()
        return True

    async def deliver(self, incoming: Incoming) -> None:
        """Hand over what comes to `incoming`, until that ends."""
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            while self._packs:
                data, count = self._packs[0]
                await incoming.write(data)
                self._packs.popleft()
                self.waiting -= count
                self.waiting_bytes -= len(data)
                self.delivered += count

    def drop_all(self) -> int:
        """Have nothing wait any more: how many messages that were."""
        count = self.waiting
        self._packs.clear()
        self.waiting = self.waiting_bytes = 0
        return count
