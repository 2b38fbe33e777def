"""Work over the backbone: a message goes to another device only by credit that this one has granted. Pure.

::

    a device with work                                 one with workers
        Hungry: messages wait here             ------>
        <------   Grant: you may send up to message 64
        packs of messages, the first one has number 0  ------>
        <------   Grant: you may send up to message 112
        Spent: I have sent 70, and send no more  ------>

A message for which there is no credit stays where it is: in the hand of its pump, and in the queues before it. So
nothing heaps up between devices. Numbers of messages count up as long as two devices know each other, and each word
says how things stand as a whole, so a word that did not come is made up for by the next one. A device that has not
heard what became of its credit says its last `Grant` again, and is answered with `Spent`.

Time is an argument, in seconds of a clock that never goes back. No messages and no connection are here, only numbers.
"""

from __future__ import annotations

from collections import OrderedDict

from ..actions import Say
from ..pack import REPLIES
from ..terms import MOST_RELAYS
from ..words.word import Word
from ..words.work import Grant, Hungry, Spent, WorkKind
from .granting import Granting
from .numbers import Numbers
from .spending import Permits, Spending

HUNGRY_S = 1.0
"""How often a device says that messages wait."""


class Credit:
    """The work that goes to other devices, and that comes from them.

    :param relay: this device's id.
    :param permits: those of the socket at which work for others leaves the device.
    :param idle_s: credit that would not be used up in this time is given back, in seconds.
    :ivar kind: what becomes of the work: others of another kind are granted none.
    """

    def __init__(self, relay: bytes, permits: Permits, idle_s: float, kind: WorkKind = WorkKind.ONE_WAY) -> None:
        self.kind = kind
        self.spending = Spending(relay, permits, idle_s, kind)
        self.granting = Granting(relay)
        self.replies = Numbers(relay, REPLIES)
        self._next_hungry = 0.0
        # Of those that were gone for a while, packs may still come.
        self._past: OrderedDict[bytes, None] = OrderedDict()

    @property
    def due(self) -> float | None:
        """When `tick` is to be called besides each quarter of a second; None if it is not."""
        return self.spending.due

    def hear(self, word: Word, now: float) -> list[Say]:
        """Take in a `word` of another device, `now`; what to answer. Other words than those of work are passed over."""
        match word:
            case Hungry() if word.kind is self.kind:
                self.granting.wants(word, now)
            case Spent():
                self.granting.spent(word, now)
            case Grant():
                return self.spending.granted(word)
        return []

    def hunger(self, wants: int, now: float) -> list[Say]:
        """Messages begin to wait `now`, or none waits any more, see `Spending.hunger`; `wants` as there."""
        if wants:
            self.granting.waited()
        return self.spending.hunger(wants, now)

    def offer(self, room: int, now: float) -> list[Say]:
        """Grant to others what there is room for, unless own messages wait.

        :param room: how many messages the device's own workers would take now.
        """
        if not room:
            self.granting.waited()
        return [] if self.spending.is_hungry else self.granting.offer(room, now)

    def joined(self, relay: bytes, now: float) -> list[Say]:
        """A device is there, from `now` on."""
        self._past.pop(relay, None)
        self.replies.joined(relay)
        return self.spending.joined(relay) + self.granting.joined(relay, now)

    def left(self, relay: bytes) -> None:
        """A device has gone. What was assigned to it and not sent is for `Spending.reassign`."""
        self.granting.left(relay)
        self.spending.left(relay)
        self._past[relay] = None
        if len(self._past) > MOST_RELAYS:
            longest, _ = self._past.popitem(last=False)
            self.granting.forget(longest)
            self.spending.forget(longest)
            self.replies.forget(longest)

    def connected(self, now: float) -> list[Say]:
        """There is a connection to the others, from `now` on."""
        self._next_hungry = now + HUNGRY_S
        return self.spending.connected() + self.granting.connected(now)

    def disconnected(self) -> None:
        """There is none. All that was not sent is for `Spending.reassign`."""
        self.spending.disconnected()

    def tick(self, now: float) -> list[Say]:
        """Do what is due `now`: give back credit, and say again what may have been lost."""
        said = self.spending.give_back(now)
        if now >= self._next_hungry:
            self._next_hungry = now + HUNGRY_S
            said += self.spending.say_hungry()
        return said + self.granting.tick(now)
