"""Connections that wait for their rate: whose turn it is, without sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from geventrelay.switch.over_rate import OverRate


@dataclass
class Link:
    """A connection that only notes its turns."""

    closed: bool = False
    turns: int = 0

    def take_room(self) -> None:
        self.turns += 1


@dataclass(eq=False)
class Room:
    """A rate with as much room as a test says."""

    room: bool = False

    def has_room(self, now: float) -> bool:
        return self.room

    def wait_s(self, now: float) -> float:
        return 0.5


@dataclass
class Timers:
    """What is to be called later."""

    due: list[Any] = field(default_factory=list)

    def later(self, delay_s: float, do: Any) -> None:
        assert delay_s == 0.5
        self.due.append(do)

    def fire(self) -> None:
        (one,) = self.due
        self.due.clear()
        one()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def over_rate(timers):
    return OverRate(timers.later)


def test_they_go_on_one_by_one_in_the_order_in_which_they_came(over_rate, timers):
    rate, links = Room(), [Link() for _ in range(3)]
    for one in links:
        over_rate.wait(one, rate)
    assert len(timers.due) == 1, "one timer for all"
    timers.fire()
    assert [one.turns for one in links] == [0, 0, 0], "there is no room yet"
    rate.room = True
    timers.fire()
    assert [one.turns for one in links] == [1, 0, 0]
    over_rate.go_on(rate)
    assert [one.turns for one in links] == [1, 1, 0], "the first has read, and there is room left"
    rate.room = False
    over_rate.go_on(rate)
    rate.room = True
    timers.fire()
    assert [one.turns for one in links] == [1, 1, 1]
    assert not timers.due


def test_one_that_has_ended_is_passed_over(over_rate, timers):
    rate, ended, link = Room(room=True), Link(closed=True), Link()
    over_rate.wait(ended, rate)
    over_rate.wait(link, rate)
    timers.fire()
    assert (ended.turns, link.turns) == (0, 1)
    assert not timers.due


def test_one_that_has_ended_is_not_kept_until_there_is_room(over_rate, timers):
    rate, ended = Room(), Link()
    over_rate.wait(ended, rate)
    ended.closed = True
    timers.fire()
    assert not timers.due
    assert not over_rate._waiting


def test_one_that_does_nothing_with_its_turn_holds_up_no_other(over_rate, timers):
    rate, links = Room(room=True), [Link(), Link()]
    for one in links:
        over_rate.wait(one, rate)
    timers.fire()
    timers.fire()
    assert [one.turns for one in links] == [1, 1]


def test_one_may_wait_again_and_rates_are_apart(over_rate, timers):
    rate, other, link = Room(room=True), Room(), Link()
    over_rate.wait(link, rate)
    timers.fire()
    over_rate.wait(link, rate)
    over_rate.go_on(other)
    assert link.turns == 1
    timers.fire()
    assert link.turns == 2
