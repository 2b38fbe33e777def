"""Has credit follow what waits in a device, and what its workers have room for.

The device tells of both, from any greenlet; the words that come of it go to others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from ...components.work import Work
from ..actions import Say
from .credit import Credit

WANTS = 256
"""How much credit is of use at once: it is not known how many messages wait."""
# Where messages are dropped, it is not told when none has to be dropped any more.
_DROPPED_S = 1.0
# How soon it is looked whether the device has taken what was written.
_LOOK_S = 0.001


class Trading:
    """Asks others for credit and grants it to them. To be made in the running loop.

    :param credit: decides how much.
    :param work: the device's.
    :param do: says words.
    :param loses: whether the device drops messages that no one takes.
    """

    def __init__(self, credit: Credit, work: Work, do: Callable[[Sequence[Say]], None], *, loses: bool) -> None:
        self._credit, self._work, self._do, self._loses = credit, work, do, loses
        self._loop = asyncio.get_running_loop()
        self._taken = work.taken
        # Whether the loop is about to look what the device has told.
        self._is_told = self._is_asking = False
        self._due_at: float | None = None
        self._due: asyncio.TimerHandle | None = None
        self._looks: asyncio.TimerHandle | None = None
        self._sated: asyncio.TimerHandle | None = None
        self._is_over = False

    def begin(self) -> None:
        """Listen to the device from now on."""
        self._work.on_hungry = self._on_hungry
        if self._work.is_hungry:
            self._on_hungry(True)

    def end(self) -> None:
        """Listen no more, and let nothing more go to others."""
        self._is_over = True
        self._work.gate.take_all()
        for timer in (self._due, self._looks, self._sated):
            if timer is not None:
                timer.cancel()

    def say(self, words: Sequence[Say]) -> None:
        """Say `words` of `Credit`, and see that it is called when it wants to be: after all that it was told."""
        if words:
            self._do(words)
        due = self._credit.due
        if due == self._due_at:
            return
        if self._due is not None:
            self._due.cancel()
        self._due_at = due
        self._due = None if due is None else self._loop.call_at(due, self._come_due)

    def tick(self) -> None:
        """Do what is due; to be called several times a second."""
        self.say(self._credit.tick(time.monotonic()))
        self.offer()

    def offer(self) -> None:
        """Grant others what there is room for, and see that this is called again when there may be more."""
        self.count_taken()
        granting = self._credit.granting
        if self._is_over or self._credit.spending.is_hungry or not granting.is_wanted:
            return
        room = self._work.room()
        self.say(self._credit.offer(room, time.monotonic()))
        if not room:
            if not self._is_asking:
                self._is_asking = True
                self._work.when_room(self._on_room)
        elif granting.in_hand and self._looks is None:
            self._looks = self._loop.call_later(_LOOK_S, self._look)

    def count_taken(self) -> None:
        """Note how many messages of others the device has taken."""
        taken = self._work.taken
        self._credit.granting.handed(taken - self._taken)
        self._taken = taken

    def _on_hungry(self, is_hungry: bool) -> None:
        """It is told by any greenlet, or by the hub."""
        if not self._is_told and not self._is_over:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._hunger)

    def _hunger(self) -> None:
        self._is_told = False
        if self._loses:
            if self._sated is not None:
                self._sated.cancel()
            self._sated = self._loop.call_later(_DROPPED_S, self._be_sated)
        self._want(WANTS if self._loses or self._work.is_hungry else 0)

    def _be_sated(self) -> None:
        self._sated = None
        self._want(0)

    def _want(self, wants: int) -> None:
        self.say(self._credit.hunger(wants, time.monotonic()))
        if not wants:
            self.offer()

    def _on_room(self) -> None:
        """It is called by any greenlet, or by the hub."""
        if not self._is_over:
            self._loop.call_soon_threadsafe(self._come_again)

    def _come_again(self) -> None:
        self._is_asking = False
        self.offer()

    def _look(self) -> None:
        self._looks = None
        self.offer()

    def _come_due(self) -> None:
        self._due_at = self._due = None
        self.tick()
