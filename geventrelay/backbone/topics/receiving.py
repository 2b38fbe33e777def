"""The way from NATS into the inbox: packs of streams that a device is sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...log import event
from .. import whole
from ..inbox import Inbox
from ..mesh import Mesh
from ..pack import HEAD_BYTES, head_of
from ..terms import MalformedError
from ..values import BackboneDrop

log = logging.getLogger("geventrelay")


class Receiving:
    """Takes in what others send.

    :param device: the device's name.
    :param mesh: says what is for this device, and counts what was lost.
    :param inbox: what waits for the device.
    :param drop: counts what does not go there.
    :ivar messages: how many messages have come.
    :ivar nbytes: how long these were.
    :ivar packs: how many packs they came in.
    """

    def __init__(self, device: str, mesh: Mesh, inbox: Inbox, drop: Callable[[BackboneDrop, int], None]) -> None:
        self._device = device
        self._mesh = mesh
        self._inbox = inbox
        self._drop = drop
        self._is_finishing = False
        self.messages = self.nbytes = self.packs = 0

    def on_pack(self, stream: bytes, data: bytes) -> None:
        """Take in `data`, a pack of a `stream`.

        :raises MalformedError: if it is none.
        """
        head = head_of(data)
        messages = data[HEAD_BYTES:]
        if head.stream != stream or whole.count(messages) != head.count:
            raise MalformedError("a pack that is not what its head says")
        lost = self._mesh.lost
        if not self._mesh.take(head, time.monotonic()):
            return
        if self._mesh.lost > lost:
            log.warning(
                event("backbone-lost", device=self._device, relay=head.relay.hex(), messages=self._mesh.lost - lost)
            )
        self.messages += head.count
        self.nbytes += len(messages)
        self.packs += 1
        if self._is_finishing:
            self._drop(BackboneDrop.STOPPED, head.count)
        elif not self._inbox.put(messages, head.count):
            self._drop(BackboneDrop.SLOW, head.count)

    def finish(self) -> None:
        """Drop what comes from now on: the device drains."""
        self._is_finishing = True
