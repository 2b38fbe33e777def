"""Other devices of one name whose work is of another kind, so that it cannot be shared with them."""

from __future__ import annotations

import logging

from ..log import event
from .words import MOST_RELAYS, Hungry

log = logging.getLogger("geventrelay")


class Differing:
    """Has the log tell of each of them once.

    :param device: the name.
    :param own: what the device's own work is.
    """

    def __init__(self, device: str, own: str) -> None:
        self._device, self._own = device, own
        self._told: set[bytes] = set()

    def note(self, word: Hungry) -> None:
        """One has said by a `word` that its work waits."""
        if word.relay in self._told or len(self._told) >= MOST_RELAYS:
            return
        self._told.add(word.relay)
        has = f"work that is {word.kind.value}; that of this device is {self._own}"
        advice = "devices of one name share work if they have the same pattern, and all durable or none"
        log.warning(event("backbone-differs", device=self._device, relay=word.relay.hex(), has=has, advice=advice))

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        self._told.discard(relay)
