"""Work that was stored at NATS: fetched while workers of this device have room, and acknowledged once they have it.

::

    stream ----one pack at a time----> hands ----as much as there is room for----> device
           <---- acknowledged --------------------------- handed on ------------------

A pack that is not acknowledged is delivered again, to whichever device asks. So nothing that is stored is lost, and
what a device has handed on when it dies may come twice: up to a pack, and those whose acknowledgements were still on
their way, or waited until what its workers had no room for after all was stored again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from ...components.work import Work
from ...log import event
from .. import whole
from ..inbox import Incoming
from ..pack import HEAD_BYTES, STORED, head_of
from . import jetstream
from .jetstream import ACK, IN_PROGRESS, NAK, TERMINATE, JetStream
from .questions import Answer, Question, Questions
from .storing import PACK_MESSAGES, Storing

log = logging.getLogger("geventrelay")

_ACK_S, _AGAIN_S, _MOST_ACKS = 2.0, 0.5, 10
# No room for so long: then another device gets what this one has fetched.
_GIVE_BACK_S = 1.0
_LOOK_S, _LONGEST_LOOK_S = 0.001, 0.02
ENOUGH_BYTES = 1024 * 1024
"""However much room there is, no more is fetched while so much is in hand: a message may be a megabyte."""
_MOST_UNASKED = 64
# Of so many packs it is known that they were handed on, if they come again.
_MOST_KNOWN = 4096
_ALL = 2**63


@dataclass(slots=True)
class _Hand:
    """A pack that was fetched, and what has become of it.

    :ivar key: what no other pack has.
    :ivar reply: where it is acknowledged.
    :ivar data: the messages that were not handed over.
    :ivar left: how many that is.
    :ivar said_at: when NATS was told last that it is in hand.
    """

    key: tuple[bytes, int]
    reply: str
    data: bytes
    left: int
    said_at: float


class Fetching:
    """What one device fetches. To be made in the running loop.

    :param device: its name.
    :param work: what it is told of its work.
    :param names: where it is stored.
    :param questions: what is asked.
    :param storing: what the device stores.
    :param wake: has what is asked go.
    :param missing: is called when the consumer seems not to be there.
    :ivar delivered: how many messages the device has handed on.
    :ivar redelivered: how many messages came that NATS had delivered before, to this device or to another.
    :ivar returned: how many were fetched, and stored anew since there was no room for them any more.
    :ivar malformed: how many packs were not understood.
    """

    def __init__(
        self,
        device: str,
        work: Work,
        names: JetStream,
        questions: Questions,
        storing: Storing,
        wake: Callable[[], None],
        missing: Callable[[], None],
    ) -> None:
        self._device, self._work, self._names, self._questions = device, work, names, questions
        self._storing, self._wake, self._missing = storing, wake, missing
        self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._is_open = self._is_finishing = False
        self._in_progress_s = 10.0
        self._pull: Question | None = None
        self._pull_at = 0.0
        self._hands: deque[_Hand] = deque()
        # Those that were handed over, and are not acknowledged: after how many messages are safe that have left.
        self._handed: deque[tuple[int, _Hand]] = deque()
        # Stored anew, and not there yet: where each is acknowledged then.
        self._returning: dict[tuple[bytes, int], str] = {}
        # What was said of packs, where that is, and NATS has not confirmed it.
        self._acks: dict[str, bytes] = {}
        self._known: OrderedDict[tuple[bytes, int], int] = OrderedDict()
        self._written = work.taken
        self._slice = PACK_MESSAGES
        self._has_come, self._has_room = asyncio.Event(), asyncio.Event()
        self._waits_for_room = False
        self.delivered = self.redelivered = self.returned = self.malformed = 0

    def open(self, ack_wait_s: float) -> None:
        """Fetch from now on: there is a consumer.

        :param ack_wait_s: how long it waits for what becomes of a pack, in seconds.
        """
        self._is_open, self._in_progress_s = True, ack_wait_s / 3
        self.pull()

    def close(self) -> None:
        """Fetch nothing: there is no consumer, or no connection."""
        self._is_open = False
        if self._pull is not None:
            self._questions.drop(self._pull)
            self._pull = None

    def finish(self) -> None:
        """Fetch nothing more, and give back what was not handed over: the device drains."""
        self._is_finishing = True
        self.close()
        self._has_come.set()
        self._has_room.set()

    @property
    def incoming(self) -> int:
        """How many messages wait for the device, or are on their way into it."""
        return sum(hand.left for hand in self._hands)

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        return sum(len(hand.data) for hand in self._hands)

    @property
    def drained(self) -> bool:
        """Whether nothing is in hand, and all is acknowledged."""
        return not (self._hands or self._handed or self._returning or self._acks)

    def left_over(self) -> list[tuple[str, bytes]]:
        """What to say where, so that another device gets what was not acknowledged: this one stops."""
        self.settle()
        hands = *self._hands, *(hand for _, hand in self._handed)
        replies = *(hand.reply for hand in hands), *self._returning.values()
        return [*self._acks.items(), *((reply, NAK) for reply in replies)]

    # From NATS

    def pull(self) -> None:
        """Ask for one pack if there is room for it, else as soon as there is."""
        if not self._is_open or self._is_finishing or self._pull is not None or time.monotonic() < self._pull_at:
            return
        if self._work.is_hungry:
            # Own messages go first.
            return
        room = self._work.room()
        if room <= self.incoming or self.incoming_bytes >= ENOUGH_BYTES:
            # For what is in hand, more room is looked for anyway.
            if room <= 0:
                self._when_room()
            return
        self._pull = self._questions.ask(self._names.pulling, jetstream.PULL, self._not_pulled, jetstream.PULL_WAIT_S)
        self._wake()

    def _not_pulled(self, answer: Answer) -> None:
        """There was no pack."""
        if not answer.status and self._pull is not None:
            # A server says why there is none. Another program has said this, and the answer is still to come.
            now = time.monotonic()
            self._questions.again(self._pull, now if self._pull.due is None else self._pull.due)
            self._questions.tick(now)
            self._wake()
            return
        self._pull = None
        if answer.status not in (404, 408):
            # Where there is no answer, the consumer may be gone, or be between two leaders.
            self._pull_at = time.monotonic() + _AGAIN_S
            self._missing()
        self.pull()

    def came(self, reply: str, data: bytes) -> None:
        """Take in `data`, a pack, of which `reply` has to know what becomes of it."""
        if not self._names.has_delivered(reply):
            # Its sender has chosen where an answer would go. What was asked for is still to come.
            self._malformed("a pack of another stream")
            return
        was_asked_for = self._pull is not None
        if self._pull is not None:
            self._questions.drop(self._pull)
            self._pull = None
        try:
            head = head_of(data)
            messages = data[HEAD_BYTES:]
            if head.stream != STORED or whole.count(messages) != head.count:
                raise ValueError("a pack that is not what its head says")
        except ValueError as error:
            self._malformed(error)
            self._acknowledge(reply, TERMINATE)
            self.pull()
            return
        if jetstream.deliveries(reply) > 1:
            self.redelivered += head.count
        key = head.relay, head.number
        if not self._has(key, reply):
            known = min(self._known.get(key, 0), head.count)
            hand = _Hand(key, reply, *_rest(messages, head.count, known), time.monotonic())
            if not hand.left:
                self._handed.append((self._storing.left, hand))
                self.settle()
            elif self._is_finishing or (self._has_enough and not was_asked_for):
                # One may come late, after the question for it was given up; many such are not the server's.
                self._questions.say(reply, NAK)
                self._wake()
            else:
                self._hands.append(hand)
                self._has_come.set()
        self.pull()

    @property
    def _has_enough(self) -> bool:
        return self.incoming_bytes >= ENOUGH_BYTES or len(self._hands) >= _MOST_UNASKED

    def _malformed(self, reason: object) -> None:
        self.malformed += 1
        log.warning(event("backbone-malformed", device=self._device, subject=self._names.subject, reason=reason))

    def _has(self, key: tuple[bytes, int], reply: str) -> bool:
        """Whether a pack that comes again is in hand still. Then `reply` is where it is acknowledged."""
        if key in self._returning:
            self._returning[key] = reply
            return True
        for hand in (*self._hands, *(hand for _, hand in self._handed)):
            if hand.key == key:
                hand.reply, hand.said_at = reply, time.monotonic()
                return True
        return False

    # Into the device

    async def deliver(self, incoming: Incoming) -> None:
        """Hand over what was fetched to `incoming`, until that ends."""
        while True:
            while not self._hands:
                self._has_come.clear()
                await self._has_come.wait()
            hand = self._hands[0]
            room = await self._room()
            if self._hands and self._hands[0] is hand:
                if room:
                    await self._hand_over(hand, incoming, min(room, self._slice, hand.left))
                else:
                    # There is none for those behind it either.
                    while self._hands:
                        self._give_back(self._hands[0])
            self.pull()

    async def _room(self) -> int:
        """How much room there is once there is some; 0 if there is none for long, or the device drains."""
        ends = time.monotonic() + _GIVE_BACK_S
        while not self._is_finishing:
            room = self._work.room()
            if room > 0 and not self._work.is_hungry:
                return room
            if time.monotonic() >= ends:
                return 0
            self._has_room.clear()
            if room <= 0:
                self._when_room()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_room.wait(), _LONGEST_LOOK_S)
        return 0

    async def _hand_over(self, hand: _Hand, incoming: Incoming, count: int) -> None:
        """Hand over the next `count` messages of a pack, and wait until the device has handed them on."""
        rest, _ = _rest(hand.data, hand.left, count)
        used = self._storing.left
        self._written += count
        # From here on, the device may hand them on: what comes again is a repetition.
        await incoming.write(hand.data[: len(hand.data) - len(rest)])
        look_s = _LOOK_S
        while self._work.taken < self._written:
            await asyncio.sleep(look_s)
            look_s = min(look_s * 1.2, _LONGEST_LOOK_S)
        hand.data, hand.left = rest, hand.left - count
        self.delivered += count
        self._known[hand.key] = self._known.pop(hand.key, 0) + count
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        # What its workers had no room for after all, it has stored again: then less is tried.
        bounced = self._storing.left - used
        self._slice = max(1, self._slice // 2) if bounced else min(PACK_MESSAGES, 2 * self._slice)
        if not hand.left:
            self._hands.popleft()
            self._handed.append((self._storing.left, hand))
            self.settle()

    def _give_back(self, hand: _Hand) -> None:
        """Let another device have what was not handed over of a pack."""
        self._hands.popleft()
        if not self._known.get(hand.key):
            self._questions.say(hand.reply, NAK)
            self._wake()
            return
        self.returned += hand.left
        self._returning[hand.key] = hand.reply
        self._storing.put_back(hand.data, hand.left, lambda: self._returned(hand.key))

    def _returned(self, key: tuple[bytes, int]) -> None:
        self._known[key] = _ALL
        self._acknowledge(self._returning.pop(key))

    def _when_room(self) -> None:
        if not self._waits_for_room:
            self._waits_for_room = True
            self._work.when_room(self._on_room)

    def _on_room(self) -> None:
        # From another greenlet.
        self._waits_for_room = False
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_room_here)

    def _on_room_here(self) -> None:
        self._has_room.set()
        self.pull()

    # Back to NATS

    def settle(self) -> None:
        """Acknowledge what the device has handed on: to workers, or it is stored again."""
        while self._handed and self._handed[0][0] <= self._storing.safe:
            self._acknowledge(self._handed.popleft()[1].reply)

    def _acknowledge(self, reply: str, word: bytes = ACK) -> None:
        if reply in self._acks:
            return
        self._acks[reply] = word

        def answered(answer: Answer) -> None:
            if answer.status and question.tries < _MOST_ACKS:
                self._questions.again(question, time.monotonic() + _AGAIN_S)
            else:
                # If it was not heard, the pack comes again, and is known.
                self._acks.pop(reply, None)

        question = self._questions.ask(reply, word, answered, _ACK_S)
        self._wake()

    def tick(self, now: float) -> None:
        """Say that what is in hand is, and ask again. It is `now`."""
        for hand in (*self._hands, *(hand for _, hand in self._handed)):
            if now - hand.said_at >= self._in_progress_s:
                hand.said_at = now
                self._questions.say(hand.reply, IN_PROGRESS)
        self.settle()
        self.pull()

    def end(self) -> None:
        """Do nothing more: the device stops."""
        self._loop = None


def _rest(data: bytes, count: int, passed: int) -> tuple[bytes, int]:
    """What is left of `count` messages after the first ones, so many as were `passed`, and how many are left."""
    if not passed:
        return data, count
    if passed >= count:
        return b"", 0
    at = 0
    for number, end in enumerate(whole.ends(data), 1):
        if number == passed:
            at = end
            break
    return data[at:], count - passed
