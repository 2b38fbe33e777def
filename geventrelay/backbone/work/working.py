"""Messages for one worker each: those that no worker of this device takes go to another one that has granted credit.

::

    device --work_out--> by credit --packs--> NATS
    device <--work_in--- inbox <-----packs--- NATS        as many as there was room for

What there is no credit for stays in the device. A message whose device has gone since it was read goes to another one,
or back into the device: to whichever worker is free first. A part of an `Exchange`, on its loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...components.work import Work
from ...log import event
from ...settings import Queue
from ...terms import WhenFull
from .. import whole
from ..actions import Action
from ..differing import Differing
from ..inbox import Inbox
from ..mesh import Mesh
from ..nats.link import Link
from ..pack import HEAD_BYTES, REPLIES, WORK, PackHead, head_of
from ..part import Part, Run
from ..subjects import Subjects
from ..terms import MalformedError
from ..values import BackboneDrop
from ..words.word import Word
from ..words.work import Grant, Hungry, Spent, WorkKind
from .answering import Answering
from .credit import Credit
from .requests import with_way
from .trading import Trading
from .unsent import Portion, Unsent, cut

log = logging.getLogger("geventrelay")

_IDLE_S = 0.01
# Another queue may have a request for a worker that is kept free.
_IDLE_OF_QUEUE_S = 0.002
# Beyond this, no more is read from the device, which then keeps it.
_MOST_UNSENT_BYTES = 1024 * 1024


class End(Protocol):
    """One of the device's two sockets for work, from outside."""

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as ZMTP has them in a connection, and how many.

        :raises ConnectionError: if the device has ended.
        """

    async def write(self, data: bytes) -> None:
        """Hand over `data`, which is whole messages; waits while the device takes none.

        :raises ConnectionError: if the device has ended.
        """


@dataclass(frozen=True, slots=True)
class WorkEnds:
    """What a device with work has for its backbone.

    :ivar out: work that it has for others, and of a queue the replies to that.
    :ivar into: work of others for its own workers, and of a queue the replies to that.
    :ivar work: tells what waits and what there is room for.
    """

    out: End
    into: End
    work: Work


class Working(Part):
    """The work of one device: what it sends to others, and what it is sent. To be made in the running loop.

    :param settings: the device's.
    :param mesh: knows the others.
    :param ends: the device's sockets for work.
    :param do: says words.
    :param wake: has the exchange call `send_one`.
    :ivar credit: decides what goes where.
    :ivar answering: the replies, of a queue alone.
    :ivar inbox: what waits for the device's workers.
    :ivar returned: how many messages went back into the device.
    """

    def __init__(
        self,
        settings: Any,
        mesh: Mesh,
        ends: WorkEnds,
        do: Callable[[Sequence[Action]], None],
        wake: Callable[[], None],
    ) -> None:
        self._device = settings.name
        self._relay = mesh.relay
        self._ends, self._work = ends, ends.work
        self._say_words, self._wake = do, wake
        self._subjects = Subjects(settings.backbone_prefix, settings.name)
        loses = getattr(settings, "push_when_full", None) is WhenFull.DROP
        is_queue = isinstance(settings, Queue)
        kind, idle_s = (WorkKind.REQUESTS, _IDLE_OF_QUEUE_S) if is_queue else (WorkKind.ONE_WAY, _IDLE_S)
        self.credit = Credit(mesh.relay, ends.work.gate, idle_s, kind)
        self._differing = Differing(settings.name, kind.value)
        self.answering: Answering | None = None
        if is_queue:
            numbers = self.credit.replies
            self.answering = Answering(settings, mesh.relay, numbers, mesh.is_back, self._drop, self._replied)
        self.inbox = Inbox(settings.backbone_buffer_bytes)
        self._unsent = Unsent()
        # On its way into the connection.
        self._going: Portion | None = None
        self._has_room = asyncio.Event()
        self.sent = self.received = self.returned = 0
        self._dropped: dict[BackboneDrop, int] = {}
        self._trading = Trading(self.credit, ends.work, self._say_words, loses=loses)
        self._trading.begin()

    @property
    def listens(self) -> Sequence[str]:
        """See `Part.listens`."""
        return (self._subjects.work(self._relay),)

    @property
    def dropped(self) -> Mapping[BackboneDrop, int]:
        """See `Part.dropped`."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """How many messages wait for others, replies too."""
        own = self._unsent.count + (self._going.count if self._going else 0)
        return own + (self.answering.waiting if self.answering else 0)

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        own = self._unsent.nbytes + (len(self._going.data) if self._going else 0)
        return own + (self.answering.waiting_bytes if self.answering else 0)

    @property
    def incoming(self) -> int:
        """How many messages wait for the device, replies too."""
        return self.inbox.waiting + (self.answering.inbox.waiting if self.answering else 0)

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        return self.inbox.waiting_bytes + (self.answering.inbox.waiting_bytes if self.answering else 0)

    def reading(self) -> list[Run]:
        """See `Part.reading`."""
        return [self.read(), *([] if self.answering is None else [self.answering.read(self._ends.into)])]

    def running(self) -> list[Run]:
        """See `Part.running`."""
        replies = [] if self.answering is None else [self.answering.inbox.deliver(self._ends.out)]
        return [self.inbox.deliver(self._ends.into), *replies]

    @property
    def taken(self) -> int:
        """How many of the messages that it was handed the device has taken."""
        return self._work.taken

    def room(self) -> int:
        """How many messages its own workers have room for."""
        return self._work.room()

    def values(self) -> dict[str, Any]:
        """What there is to tell of work, as `BackboneSnapshot` has it."""
        answering = self.answering
        return {
            "work_sent": self.sent,
            "work_received": self.received,
            "work_delivered": self.inbox.delivered,
            "work_returned": self.returned,
            "replies_sent": answering.sent if answering else 0,
            "replies_received": answering.received if answering else 0,
            "unanswered": answering.unanswered.gone if answering else 0,
            "credit": self.credit.spending.credit,
            "promised": self.credit.granting.promised,
            "hungry": self.credit.spending.is_hungry,
        }

    def values_of(self, relay: str) -> dict[str, Any]:
        """What there is to tell of work of another device, as `Neighbour` has it; `relay` as there."""
        spending, granting, known = self.credit.spending, self.credit.granting, bytes.fromhex(relay)
        return {
            "credit": spending.credit_of(known),
            "promised": granting.promised_to(known),
            "hungry": granting.is_hungry(known),
            "work_sent": spending.sent_to(known),
            "work_received": granting.received_from(known),
        }

    def is_drained(self, *, connected: bool) -> bool:
        """Whether nothing is on its way into the device, nor out of it where it is `connected`."""
        self._trading.count_taken()
        granting = self.credit.granting
        return not (self.incoming or granting.in_hand) and not (connected and (self.waiting or granting.promised))

    @property
    def has_unsent(self) -> bool:
        """Whether something waits that may go."""
        return self.waiting > 0

    # What others say

    def hear(self, word: Word) -> bool:
        """See `Part.hear`, and there of `word`."""
        if not isinstance(word, (Hungry, Grant, Spent)):
            return False
        if isinstance(word, Hungry) and word.kind is not self.credit.kind:
            self._differing.note(word)
            return True
        self._trading.say(self.credit.hear(word, time.monotonic()))
        self._trading.offer()
        return True

    def joined(self, relay: bytes) -> None:
        """The device `relay` is there from now on."""
        if self.answering is not None:
            self.answering.unanswered.joined(relay)
        self._trading.say(self.credit.joined(relay, time.monotonic()))

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        self._differing.left(relay)
        self.credit.left(relay)
        self._reassign(relay)
        if self.answering is not None:
            self.answering.left(relay)
        self._trading.say(())
        self._trading.offer()

    def connected(self) -> None:
        """There is a connection to NATS."""
        self._trading.say(self.credit.connected(time.monotonic()))

    def disconnected(self) -> None:
        """There is none: work waits in the device."""
        self.credit.disconnected()
        for relay in self._unsent.relays():
            self._reassign(relay)
        self._trading.say(())

    def tick(self) -> None:
        """Do what is due; to be called several times a second."""
        self._trading.tick()

    # From the device to others

    async def read(self) -> None:
        """Take what the device has for others, until that ends."""
        while True:
            data, count = await self._ends.out.read()
            self._assign(data, self.credit.spending.read(count))
            self._trading.say(())
            while self._unsent.nbytes >= _MOST_UNSENT_BYTES:
                self._has_room.clear()
                await self._has_room.wait()

    def _assign(self, data: bytes, runs: Iterable[tuple[bytes | None, int]]) -> None:
        for relay, messages, count in cut(data, runs):
            if relay is None:
                self._return(messages, count)
            else:
                self._unsent.add(relay, messages, count)
        self._wake()

    def _reassign(self, relay: bytes) -> None:
        data, count = self._unsent.pop(relay)
        if count:
            self._assign(data, self.credit.spending.reassign(count))
        self._has_room.set()

    def _return(self, messages: bytes, count: int) -> None:
        """Have messages go to whichever worker of this device is free first, or out again when there is credit."""
        self.returned += count
        self.credit.granting.handing(count)
        self.inbox.put(self._from(self._relay, messages), count, always=True)

    def _from(self, relay: bytes, messages: bytes) -> bytes:
        return messages if self.answering is None else with_way(relay, messages)

    def _replied(self) -> None:
        """Own workers have answered others, and so have room again."""
        self._wake()
        self._trading.offer()

    async def send_one(self, link: Link) -> bool:
        """Send what goes next over `link`; whether there may be more."""
        if await self._send_work(link):
            return True
        return self.answering is not None and await self.answering.send_one(link)

    async def _send_work(self, link: Link) -> bool:
        portion = self._unsent.take(link.max_payload - HEAD_BYTES)
        self._has_room.set()
        if portion is None:
            return False
        relay, spending = portion.relay, self.credit.spending
        if portion.dropped:
            spending.drop(relay, portion.dropped)
            self._drop(BackboneDrop.TOO_LARGE, portion.dropped)
        if not portion.count:
            return True
        head, self._going = spending.head(relay, portion.count), portion
        is_sent = await link.publish(self._subjects.work(relay), head.encoded() + portion.data)
        self._going = None
        if is_sent:
            self.sent += portion.count
            if self.answering is not None:
                self.answering.unanswered.asked(relay, portion.count)
        else:
            self._trading.say(spending.unsend(relay, head))
            self._assign(portion.data, spending.reassign(portion.count))
            self._reassign(relay)
        self._trading.say(())
        return True

    # From others to the device

    def on_work(self, data: bytes) -> None:
        """Take in `data`, a pack with work, or with replies.

        :raises MalformedError: if it is none.
        """
        head = head_of(data)
        self._check(head)
        messages = data[HEAD_BYTES:]
        if whole.count(messages) != head.count:
            raise MalformedError("a pack that is not what its head says")
        lost = self.lost
        if head.stream == REPLIES:
            assert self.answering is not None  # else it is not understood
            self.answering.on_pack(head, messages)
        elif self.credit.granting.take(head):
            self.received += head.count
            if not self.inbox.put(self._from(head.relay, messages), head.count):
                self.credit.granting.handed(head.count)
                self._drop(BackboneDrop.SLOW, head.count)
            self._trading.offer()
        if self.lost > lost:
            log.warning(event("backbone-lost", device=self._device, relay=head.relay.hex(), messages=self.lost - lost))

    def _check(self, head: PackHead) -> None:
        """Let no more in than was asked for; before time is spent on its messages."""
        if head.stream == WORK:
            if not self.credit.granting.has_credit(head):
                raise MalformedError("work without credit")
        elif head.stream != REPLIES or self.answering is None:
            raise MalformedError("a pack of another kind")
        elif not self.credit.replies.knows(head.relay):
            raise MalformedError("replies of a device that is not known")

    @property
    def lost(self) -> int:
        """How many messages others have sent that did not come."""
        return self.credit.granting.lost + self.credit.replies.lost

    # The end

    def finish(self) -> None:
        """Grant nothing more, and take back what was granted: the device drains."""
        self._trading.say(self.credit.granting.finish(time.monotonic()))

    def drop_all(self) -> None:
        """Drop what waits, and do nothing more: the device stops."""
        self._trading.end()
        self._drop(BackboneDrop.STOPPED, self._unsent.count + (self._going.count if self._going else 0))
        self._unsent, self._going = Unsent(), None
        self._drop(BackboneDrop.STOPPED, self.inbox.drop_all())
        if self.answering is not None:
            self.answering.drop_all()

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count
