"""Messages with topics: what publishers at one device have for subscribers at others, in streams of packs.

::

    device --outgoing--> Filling -> Outbox -> Sending --packs--> NATS
    device <--incoming-- Inbox <- Receiving <--packs------------ NATS
    device --news------> Asking -> Mesh -> Streams: what others ask for

What waits is bounded, in outbox and inbox by ``backbone-buffer``. A part of an `Exchange`, on its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from ...terms import WhenFull
from ..actions import Action, Serve
from ..inbox import Inbox
from ..mesh import Mesh
from ..nats.link import Link
from ..part import Part, Run
from ..subjects import Subjects
from ..values import BackboneDrop
from ..words.word import Word
from .asking import Asking
from .ends import StreamEnds
from .filling import Filling
from .outbox import Outbox
from .receiving import Receiving
from .sending import Sending
from .streams import Streams


class Publishing(Part):
    """The streams of one device: those that it sends, and what it is sent.

    :param settings: the device's.
    :param own: the prefixes of messages that the device itself wants, besides its subscribers.
    :param mesh: decides what is sent to which devices.
    :param outbox: what waits for others.
    :param do: does what the mesh has decided.
    :param wake: has the exchange call `send_one`.
    :ivar asking: what the device asks the others for.
    :ivar streams: what these ask it for.
    :ivar sending: the way to NATS.
    :ivar receiving: the way from there.
    :ivar inbox: what waits for the device.
    """

    def __init__(
        self,
        settings: Any,
        own: Collection[bytes],
        mesh: Mesh,
        outbox: Outbox,
        do: Callable[[Sequence[Action]], None],
        wake: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._ends: StreamEnds | None = None
        self._dropped: dict[BackboneDrop, int] = {}
        blocks = settings.backbone_when_full is WhenFull.BLOCK
        self.asking = Asking(own, mesh, do)
        self.streams = Streams(mesh, do)
        self._filling = Filling(mesh, self.streams, outbox, blocks=blocks, wake=wake)
        self.sending = Sending(Subjects(settings.backbone_prefix, settings.name), mesh, outbox, self._filling)
        self.inbox = Inbox(settings.backbone_buffer_bytes)
        self.receiving = Receiving(settings.name, mesh, self.inbox, self._drop)

    def begin(self, ends: StreamEnds | None) -> None:
        """Know the running loop, and the device's `ends` for messages with topics; before anything else runs."""
        self._ends = ends
        self.streams.begin(None if ends is None else ends.outgoing)
        self.asking.begin()
        self._filling.begin()

    def reading(self) -> list[Run]:
        """See `Part.reading`."""
        return [] if self._ends is None else [self._filling.read(self._ends.outgoing)]

    def running(self) -> list[Run]:
        """See `Part.running`."""
        return (
            [] if self._ends is None else [self.asking.read(self._ends.news), self.inbox.deliver(self._ends.incoming)]
        )

    @property
    def dropped(self) -> dict[BackboneDrop, int]:
        """How many messages were dropped, by reason."""
        dropped = dict(self._outbox.dropped)
        for reason, count in self._dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return dropped

    @property
    def waiting(self) -> int:
        """How many messages wait for others."""
        return self._outbox.waiting + self.sending.next_messages

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        return self._outbox.waiting_bytes + self.sending.next_bytes

    @property
    def incoming(self) -> int:
        """How many messages wait for the device."""
        return self.inbox.waiting

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        return self.inbox.waiting_bytes

    @property
    def has_unsent(self) -> bool:
        """Whether something waits that may go as it is."""
        return bool(self._outbox) or self.sending.has_next

    def is_drained(self, *, connected: bool) -> bool:
        """See `Part.is_drained`; true if it is not `connected`."""
        return not connected or not (self._outbox.waiting or self.sending.has_next or self.inbox)

    def values(self) -> dict[str, Any]:
        """See `Part.values`."""
        sending, receiving = self.sending, self.receiving
        return {
            "sent": sending.messages,
            "sent_bytes": sending.nbytes,
            "sent_packs": sending.packs,
            "received": receiving.messages,
            "received_bytes": receiving.nbytes,
            "received_packs": receiving.packs,
            "delivered": self.inbox.delivered,
        }

    def interested(self, topic: bytes) -> tuple[bool, int] | None:
        """Whether the device asks others for a `topic`, and how many topics of its subscribers cover it.

        None if it has no subscribers, but work alone.
        """
        return None if self._ends is None else self.asking.interested(topic)

    def disconnected(self) -> None:
        """See `Part.disconnected`."""
        self.streams.disconnected()

    def hear(self, word: Word) -> bool:
        """See `Streams.hear`, and there of `word`."""
        return self.streams.hear(word)

    def serve(self, action: Serve) -> None:
        """Have another device be sent something else from here on, as an `action` of the mesh says."""
        self._outbox.serve(action.relay, action.turn, action.begins, action.ended)

    def forget(self, stream: bytes) -> None:
        """Drop what waits in a `stream` that no device takes any more."""
        self._outbox.forget(stream)
        self._filling.made_room()

    def send_one(self, link: Link) -> Coroutine[Any, Any, bool]:
        """See `Part.send_one`, and there of `link`."""
        return self.sending.send_one(link)

    def finish(self) -> None:
        """Ask for nothing more, and drop what comes: the device drains."""
        self.asking.finish()
        self.receiving.finish()

    def send_rest(self) -> None:
        """Have all go that waits for company."""
        self._outbox.close()

    def drop_all(self) -> None:
        """Drop what waits, and do nothing more: the device stops."""
        self._drop(BackboneDrop.STOPPED, self.sending.drop())
        self._outbox.drop_all()
        self._drop(BackboneDrop.STOPPED, self.inbox.drop_all())
        for one in (self.streams, self.asking, self._filling):
            one.stop()

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count
