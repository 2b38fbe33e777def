"""Other devices of one name with which messages, or work, cannot be shared, since they are of another kind."""

from __future__ import annotations

import logging
from typing import Any

from ..log import event
from ..settings import Forwarder, Queue
from .interest import id_of
from .terms import MOST_RELAYS
from .words.mesh import Here
from .words.word import Word
from .words.work import Hungry

log = logging.getLogger("geventrelay")

_NOTHING = id_of(())


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
        self.mention(word.relay, f"work that is {word.kind.value}; that of this device is {self._own}")

    def mention(self, relay: bytes, has: str) -> None:
        """Tell of the device `relay`, if that was not done: what it `has`, and what this one has."""
        if relay in self._told or len(self._told) >= MOST_RELAYS:
            return
        self._told.add(relay)
        advice = "devices of one name share work if they have the same pattern, and all durable or none"
        log.warning(event("backbone-differs", device=self._device, relay=relay.hex(), has=has, advice=advice))

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        self._told.discard(relay)


class Strangers:
    """Has the log tell of those with which a device has nothing in common, once they want something.

    A relay has topics, and may have work. A forwarder never has any, and a queue has nothing but requests.

    :param settings: the device's.
    """

    def __init__(self, settings: Any) -> None:
        self._is_forwarder, self._is_queue = isinstance(settings, Forwarder), isinstance(settings, Queue)
        self._differing = Differing(settings.name, "none")

    def hear(self, word: Word) -> None:
        """Another device has said a `word`."""
        if self._is_forwarder and isinstance(word, Hungry) and word.wants:
            self._differing.note(word)
        elif self._is_queue and isinstance(word, Here) and word.interest != _NOTHING:
            self._differing.mention(word.relay, "subscribers; this device has none, but requests")

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        self._differing.left(relay)
