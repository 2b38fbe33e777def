"""Credit that this device grants to others: whose work its workers take. Pure, see `credit.py`."""

from __future__ import annotations

from dataclasses import dataclass

from ..actions import Say
from ..pack import PackHead
from ..words.work import Grant, Hungry, Spent

MOST_GRANT = 256
"""How much credit another device has at once, at most."""
FIRST_AHEAD = 16
"""How many messages of others may be under way at first, until it is seen how fast the workers take them."""
MOST_AHEAD = 1024
"""How many may be under way at most."""
AGAIN_S = 0.5
"""After so long, a device that has not used its credit is asked what became of it."""
LIKELY = 2**62
"""Numbers of a device that is new here are below this: there is then still room for all that follow."""
HUNGER_S = 3.0
"""So long after its last `Hungry`, a device has no work any more: it says that again each second."""


@dataclass(slots=True)
class _Asker:
    """What is known of another device that may have work.

    :ivar wants: how much credit it can use at once.
    :ivar wanted_at: when it said so last.
    :ivar turn: the number of the last `Grant` to it.
    :ivar up_to: how many messages it may send in all.
    :ivar granted: the highest `up_to` there was: no honest device has sent more.
    :ivar said_at: when it was told so last.
    :ivar asked: how often it was asked since what became of that, and has not answered.
    :ivar arrived: how many of its messages have come, or are known to be lost.
    """

    wants: int = 0
    wanted_at: float = 0.0
    turn: int = 0
    up_to: int = 0
    granted: int = 0
    said_at: float = 0.0
    asked: int = 0
    arrived: int = 0
    received: int = 0
    lost: int = 0

    @property
    def promised(self) -> int:
        return max(0, self.up_to - self.arrived)

    @property
    def is_doubtful(self) -> bool:
        return self.asked > 1


class Granting:
    """Which other devices may send work, and how much.

    What is promised to others, and what has come from them and has not been taken by the device, is never more than
    there was room for when it was promised.

    :param relay: this device's id.
    """

    def __init__(self, relay: bytes) -> None:
        self._relay = relay
        self._askers: dict[bytes, _Asker] = {}
        # Those that are there; the next one that is granted something comes first.
        self._present: dict[bytes, _Asker] = {}
        # For all others together: it still grows when one is forgotten and comes back.
        self._turn = 0
        self._is_finishing = False
        # With libzmq, a device knows only that there is room, and not how much.
        self._ahead = FIRST_AHEAD
        self._handed = 0
        self._has_waited = False
        self.in_hand = 0
        """Messages that are on their way from here into the device."""
        self.lost = 0
        """Messages that others have sent and that did not come."""

    @property
    def promised(self) -> int:
        """How many messages may still come from all others together."""
        return sum(one.promised for one in self._present.values())

    @property
    def is_wanted(self) -> bool:
        """Whether another device waits for credit, so that `offer` is worth a call when there is room."""
        return not self._is_finishing and any(one.wants for one in self._present.values())

    def promised_to(self, relay: bytes) -> int:
        """How many may still come from one."""
        one = self._present.get(relay)
        return 0 if one is None else one.promised

    def is_hungry(self, relay: bytes) -> bool:
        """Whether work waits at another device."""
        one = self._present.get(relay)
        return one is not None and one.wants > 0

    def received_from(self, relay: bytes) -> int:
        """How many messages have come from one."""
        one = self._askers.get(relay)
        return 0 if one is None else one.received

    def lost_of(self, relay: bytes) -> int:
        """How many messages of one did not come."""
        one = self._askers.get(relay)
        return 0 if one is None else one.lost

    def handing(self, count: int) -> None:
        """`count` more messages are on their way into the device; `take` has done so for those of a pack."""
        self.in_hand += count

    def handed(self, count: int) -> None:
        """`count` of them have been taken by the device, or were dropped."""
        self.in_hand -= count
        self._handed += count
        if self._handed >= self._ahead and not self._has_waited:
            # All went on at once: more may be under way, so that no worker waits for them.
            self._ahead, self._handed = min(2 * self._ahead, MOST_AHEAD), 0
        if self.in_hand <= 0 and self._has_waited:
            self._has_waited, self._handed = False, 0

    def waited(self) -> None:
        """The device has no room for what is on its way into it: it was too much."""
        if self.in_hand > 0 and not self._has_waited:
            self._ahead, self._handed = max(1, self._ahead // 2), 0
            self._has_waited = True

    def offer(self, room: int, now: float) -> list[Say]:
        """Grant what there is room for. Not to be called while own messages wait: they go first.

        :param room: how many messages the device's workers would take now.
        """
        hungry = [(relay, one) for relay, one in self._present.items() if one.wants]
        if self._is_finishing or not hungry:
            return []
        sure = sum(one.promised for one in self._present.values() if not one.is_doubtful)
        room = min(room, self._ahead)
        free = room - self.in_hand - sure
        share = max(1, (room - self.in_hand) // len(hungry))
        said = []
        for relay, one in hungry:
            target = min(one.wants, MOST_GRANT, share)
            # With each message, a word would go, if it were not for the half.
            if free <= 0 or one.asked or 2 * one.promised > target:
                continue
            given = min(target - one.promised, free)
            if given > 0:
                free -= given
                self._turn += 1
                one.turn, one.up_to, one.asked = self._turn, max(one.up_to, one.arrived) + given, 0
                one.granted = max(one.granted, one.up_to)
                said.append(self._say(relay, one, now))
                self._present[relay] = self._present.pop(relay)
        return said

    def has_credit(self, head: PackHead) -> bool:
        """Whether a pack with this `head` was ever granted, also if that was taken back since."""
        one = self._askers.get(head.relay)
        return one is not None and head.first + head.count <= one.granted

    def take(self, head: PackHead) -> bool:
        """Whether a pack with this `head` is to be handed to the device. What is missing before it is lost."""
        one = self._askers.get(head.relay)
        if one is not None:
            if head.first < one.arrived:
                return False
            self._passed(one, head.first)
            one.arrived = head.first + head.count
            one.received += head.count
            one.asked = 0
        self.in_hand += head.count
        return True

    def wants(self, word: Hungry, now: float) -> None:
        """Another device has said `now` by a `word` that work waits there, or none any more."""
        one = self._present.get(word.relay)
        if one is not None:
            one.wants, one.wanted_at = word.wants, now

    def spent(self, word: Spent, now: float) -> None:
        """Another device has said `now`, by a `word`, what it has done with its credit."""
        one = self._present.get(word.relay)
        if one is None:
            return
        if word.sent > one.granted:
            if word.sent >= LIKELY:
                # It was not said by that device, or not by an honest one.
                return
            # It was known here long ago, or someone else has spoken in a name: its numbers go on.
            one.arrived = one.granted = word.sent
        self._passed(one, word.sent)
        one.wants, one.wanted_at = word.wants, now
        if word.turn == one.turn:
            one.up_to = min(one.up_to, max(word.up_to, one.arrived))
            one.asked = 0

    def joined(self, relay: bytes, now: float) -> list[Say]:
        """A device is there, from `now` on. One that was known before has no credit, and is asked what it has sent."""
        one = self._askers.setdefault(relay, _Asker())
        if relay in self._present:
            return []
        self._present[relay] = one
        return [self._say(relay, one, now)] if one.turn else []

    def left(self, relay: bytes) -> None:
        """A device has gone: what was promised to it is free."""
        one = self._present.pop(relay, None)
        if one is not None:
            one.wants, one.up_to, one.asked = 0, one.arrived, 0
            if one.turn:
                self._turn += 1
                one.turn = self._turn

    def forget(self, relay: bytes) -> None:
        """A device has been gone for long."""
        self._askers.pop(relay, None)

    def connected(self, now: float) -> list[Say]:
        """There is a connection again, `now`: ask what became of what was promised."""
        return [self._say(relay, one, now) for relay, one in self._present.items() if one.turn]

    def tick(self, now: float) -> list[Say]:
        """Ask what became of credit that was not used up to `now`: a word or a pack may have been lost."""
        said = []
        for relay, one in self._present.items():
            if one.wants and now - one.wanted_at >= HUNGER_S:
                one.wants = 0
            if one.promised and now - one.said_at >= AGAIN_S:
                # If it has not even answered, it has perhaps gone: others get the room.
                one.asked += 1
                said.append(self._say(relay, one, now))
        return said

    def finish(self, now: float) -> list[Say]:
        """From `now` on, grant nothing, and take back what was not used. What is on its way stays `promised`."""
        self._is_finishing = True
        said = []
        for relay, one in self._present.items():
            if one.promised:
                self._turn += 1
                one.turn = self._turn
                said.append(self._say(relay, one, now))
        return said

    def _say(self, relay: bytes, one: _Asker, now: float) -> Say:
        one.said_at = now
        # What it has sent meanwhile comes all the same: its answer says how much that is.
        up_to = one.arrived if self._is_finishing else one.up_to
        return Say(relay, Grant(self._relay, one.turn, one.arrived, up_to))

    def _passed(self, one: _Asker, first: int) -> None:
        """All messages before number `first` have been sent: those that have not come are lost."""
        if first > one.arrived:
            one.lost += first - one.arrived
            self.lost += first - one.arrived
            one.arrived = first
