"""One kind of a device's traffic over the backbone: messages with topics, work by credit, or work that NATS keeps."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from .nats.link import Link
from .values import BackboneDrop
from .words.word import Word

Run = Coroutine[Any, Any, None]
"""Something that is to run."""


class Part:
    """What an `Exchange` asks of each of its parts. Here is the contract; a part writes only what differs.

    All is called on the exchange's loop, but for what only tells; only what is awaited may take time.
    """

    @property
    def listens(self) -> Sequence[str]:
        """The subjects that it listens to, besides those of streams and words."""
        return ()

    @property
    def dropped(self) -> Mapping[BackboneDrop, int]:
        """How many messages were dropped, by reason."""
        raise NotImplementedError

    @property
    def lost(self) -> int:
        """How many messages others have sent that did not come; 0 of those that the mesh counts."""
        return 0

    @property
    def malformed(self) -> int:
        """How many packs were not understood; 0 where it raises for them."""
        return 0

    @property
    def waiting(self) -> int:
        """How many messages wait for others, or for NATS."""
        raise NotImplementedError

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        raise NotImplementedError

    @property
    def incoming(self) -> int:
        """How many messages wait for the device."""
        raise NotImplementedError

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        raise NotImplementedError

    @property
    def has_unsent(self) -> bool:
        """Whether something waits that may go as it is."""
        raise NotImplementedError

    def reading(self) -> list[Run]:
        """What takes messages from the device; each ends when the device does."""
        return []

    def running(self) -> list[Run]:
        """What else is to run."""
        return []

    def connected(self) -> None:
        """There is a connection to NATS."""
        return

    def disconnected(self) -> None:
        """There is none any more."""
        return

    def tick(self) -> None:
        """Do what is due; called several times a second."""
        return

    def joined(self, relay: bytes) -> None:
        """The device `relay` is there from now on."""
        return

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        return

    def hear(self, word: Word) -> bool:
        """Take in what another device has said; whether the `word` was for this part alone."""
        return False

    def on_work(self, data: bytes) -> None:
        """Take in `data`, a pack that came at one of `listens`.

        :raises MalformedError: if it is none.
        """
        return

    async def send_one(self, link: Link) -> bool:
        """Send what goes next over `link`; whether there may be more."""
        raise NotImplementedError

    def finish(self) -> None:
        """Take nothing more from others, and send what there is: the device drains."""
        return

    def is_drained(self, *, connected: bool) -> bool:
        """Whether nothing waits for the device, and, where it is `connected`, nothing for others."""
        raise NotImplementedError

    def send_rest(self) -> None:
        """Have all go that waits for company: the device has ended."""
        return

    def left_over(self) -> list[tuple[str, bytes]]:
        """What to say under which subjects at the end."""
        return []

    def drop_all(self) -> None:
        """Drop what waits, and do nothing more: the device stops."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """What there is to tell, as `BackboneSnapshot` has it."""
        return {}

    def values_of(self, relay: str) -> dict[str, Any]:
        """What there is to tell of another device, as `Neighbour` has it; `relay` as there."""
        return {}
