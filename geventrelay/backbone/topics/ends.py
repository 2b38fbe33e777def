"""The ends of a device's sockets for messages with topics."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..inbox import Incoming


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
