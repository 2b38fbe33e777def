"""Credit that others have granted to this device: which work goes where. Pure, see `credit.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..actions import Say
from ..pack import WORK, PackHead
from ..words.work import Grant, Hungry, Spent, WorkKind
from .granting import LIKELY

MOST_CREDIT = 65_536
"""How much credit of one other device counts. One of ours grants far less."""


class Permits(Protocol):
    """How many messages may leave the device for others, see `geventrelay.engine.gate.Gate`."""

    def add(self, count: int) -> None:
        """`count` more may."""

    def take_all(self) -> int:
        """None may any more. Returns how many might have been."""


@dataclass(slots=True)
class _Granter:
    """What is known of another device that may have workers.

    :ivar is_there: whether it is there at the moment.
    :ivar turn: the number of its last `Grant`.
    :ivar up_to: how many messages it may be sent in all.
    :ivar assigned: those that are to go to it, and have not been sent.
    :ivar sent: those that were sent to it.
    :ivar packs: the packs in which these went.
    """

    is_there: bool = True
    turn: int = 0
    up_to: int = 0
    assigned: int = 0
    sent: int = 0
    packs: int = 0

    @property
    def credit(self) -> int:
        return max(0, self.up_to - self.sent - self.assigned)


class Spending:
    """Which other device gets the next messages that no own worker takes.

    There are always as many permits, and messages that have left the device by one and were not read, as there is
    credit.

    :param relay: this device's id.
    :param permits: those of the socket at which work for others leaves the device.
    :param idle_s: credit that would not be used up in this time is given back, in seconds.
    :param kind: what becomes of the work.
    """

    def __init__(self, relay: bytes, permits: Permits, idle_s: float, kind: WorkKind = WorkKind.ONE_WAY) -> None:
        self._relay, self._permits, self._idle_s, self._kind = relay, permits, idle_s, kind
        self._granters: dict[bytes, _Granter] = {}
        # Permits that are not used, or whose messages were not read yet.
        self._out = 0
        # What the others know. It stays for a moment after no message waits any more.
        self._wants = 0
        self._used = 0
        self.is_hungry = False
        """Whether messages wait."""
        self.due: float | None = None
        """When `give_back` is to be called; None if it is not."""

    @property
    def credit(self) -> int:
        """How many messages may be sent to all others together."""
        return sum(one.credit for one in self._granters.values())

    def credit_of(self, relay: bytes) -> int:
        """How many may be sent to one."""
        one = self._granters.get(relay)
        return 0 if one is None else one.credit

    def sent_to(self, relay: bytes) -> int:
        """How many were sent to one."""
        one = self._granters.get(relay)
        return 0 if one is None else one.sent

    def hunger(self, wants: int, now: float) -> list[Say]:
        """Messages begin to wait `now`, or none waits any more.

        :param wants: how much credit can be used at once; 0 if no message waits.
        """
        was_hungry, self.is_hungry = self.is_hungry, wants > 0
        if not wants:
            if was_hungry and self._wants:
                self.due, self._used = now + self._idle_s, 0
            return []
        self.due = None
        if self._wants:
            self._wants = wants
            return []
        self._wants = wants
        return self.say_hungry()

    def say_hungry(self) -> list[Say]:
        """Say again that messages wait, where they do: a word may have been lost."""
        return [Say(None, Hungry(self._relay, self._wants, self._kind))] if self._wants else []

    def granted(self, word: Grant) -> list[Say]:
        """By its `word`, another device grants credit, takes it back, or asks what became of it."""
        one = self._granters.get(word.relay)
        if one is None or not one.is_there or word.turn < one.turn:
            return []
        if word.turn == one.turn:
            return [self._spent(word.relay)]
        if word.arrived > one.sent and word.arrived >= LIKELY:
            # It was not said by that device, or not by an honest one.
            return []
        one.turn, one.sent = word.turn, max(one.sent, word.arrived)
        least = one.sent + one.assigned
        had = one.credit
        one.up_to = max(least, min(word.up_to, least + MOST_CREDIT)) if self._wants else least
        self._balance(one, at_most=had)
        return [] if one.up_to == word.up_to else [self._spent(word.relay)]

    def read(self, count: int) -> list[tuple[bytes | None, int]]:
        """Where messages go that have left the device by permits, and have now been read.

        :param count: how many.
        :returns: in the order of the messages: a device and how many it gets. None: no device takes these, the own
            device is to have them back.
        """
        self._out -= count
        self._used += count
        return self._assign(count)

    def reassign(self, count: int) -> list[tuple[bytes | None, int]]:
        """Where `count` messages go that were assigned to a device that has gone. Else as `read`."""
        free = self._permits.take_all()
        self._out -= free
        runs = self._assign(min(count, free))
        self._balance()
        return runs if count <= free else [*runs, (None, count - free)]

    def head(self, relay: bytes, count: int) -> PackHead:
        """The head of a pack that is sent now, of `count` messages that were assigned to `relay`."""
        one = self._granters[relay]
        head = PackHead(self._relay, WORK, one.packs, one.sent, count)
        one.packs += 1
        one.sent += count
        one.assigned = max(0, one.assigned - count)
        return head

    def unsend(self, relay: bytes, head: PackHead) -> list[Say]:
        """The last pack to `relay`, with this `head`, was not sent. Its messages are for `reassign`.

        What is returned replaces a `Spent` that has not been sent, and may count that pack.
        """
        one = self._granters.get(relay)
        if one is None:
            return []
        one.packs, one.sent = head.number, head.first
        self._void(one)
        self._balance()
        return [self._spent(relay)] if one.is_there else []

    def drop(self, relay: bytes, count: int) -> None:
        """`count` messages that were assigned to `relay` are not sent: others may be in their place."""
        one = self._granters.get(relay)
        if one is not None:
            one.assigned = max(0, one.assigned - count)
            self._balance()

    def joined(self, relay: bytes) -> list[Say]:
        """A device is there from now on."""
        one = self._granters.setdefault(relay, _Granter())
        if one.is_there and one.turn:
            return []
        one.is_there = True
        if one.turn:
            return [self._spent(relay)]
        return [Say(relay, Hungry(self._relay, self._wants, self._kind))] if self._wants else []

    def left(self, relay: bytes) -> None:
        """A device has gone, and its credit with it. What was assigned to it and not sent: see `reassign`."""
        one = self._granters.get(relay)
        if one is not None:
            one.is_there = False
            self._void(one)
            self._balance()

    def connected(self) -> list[Say]:
        """There is a connection again: say what was sent, since some of it was perhaps lost, and that messages wait."""
        said = [self._spent(relay) for relay, one in self._granters.items() if one.is_there and one.turn]
        return said + self.say_hungry()

    def forget(self, relay: bytes) -> None:
        """A device has been gone for long."""
        self._granters.pop(relay, None)

    def disconnected(self) -> None:
        """There is no connection to others, and so no credit. All that was not sent is for `reassign`."""
        for one in self._granters.values():
            self._void(one)
        self._balance()

    def give_back(self, now: float) -> list[Say]:
        """Give back what would not be used soon, `now`. To be called when it is `due`."""
        if self.due is None or now < self.due:
            return []
        free = self._permits.take_all()
        self._out -= free
        if self._used and self._used >= free:
            # Then it is as if messages waited all the time.
            self._balance()
            self.due, self._used = now + self._idle_s, 0
            return []
        self.due, self._wants = None, 0
        said = []
        for relay, one in reversed(self._granters.items()):
            given = min(free, one.credit)
            if given:
                one.up_to -= given
                free -= given
                said.append(self._spent(relay))
        return [*said, Say(None, Hungry(self._relay, 0, self._kind))]

    def _spent(self, relay: bytes) -> Say:
        one = self._granters[relay]
        return Say(relay, Spent(self._relay, one.turn, one.sent, one.sent + one.assigned + one.credit, self._wants))

    def _void(self, one: _Granter) -> None:
        one.assigned = 0
        one.up_to = min(one.up_to, one.sent)

    def _assign(self, count: int) -> list[tuple[bytes | None, int]]:
        runs: list[tuple[bytes | None, int]] = []
        for relay, one in self._granters.items():
            taken = min(count, one.credit)
            if taken:
                one.assigned += taken
                count -= taken
                runs.append((relay, taken))
            if not count:
                return runs
        return [*runs, (None, count)]

    def _balance(self, lender: _Granter | None = None, at_most: int = 0) -> None:
        """Have as many permits as there is credit.

        :param lender: whose credit stays where messages have left the device by it and have not been read.
        :param at_most: how much of it there was.
        """
        missing = self.credit - self._out
        if missing < 0:
            self._out -= self._permits.take_all()
            missing = self.credit - self._out
            if missing < 0 and lender is not None:
                lender.up_to += max(0, min(-missing, at_most - lender.credit))
        if missing > 0:
            self._out += missing
            self._permits.add(missing)
