"""Connections that wait for their rate: whose turn it is, without sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from geventrelay.switch.over_rate import OverRate


@dataclass(eq=False)
class Link:
    """A connection that only notes its turns."""

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


def test_one_that_has_ended_waits_no_more_wherever_it_stood(over_rate, timers):
    rate, links = Room(), [Link() for _ in range(5)]
    for one in links:
        over_rate.wait(one, rate)
    for index in (3, 0, 1):
        over_rate.leave(links[index], rate)
    assert [*over_rate._waiting[rate]] == [links[2], links[4]], "it is not kept until there is room"
    rate.room = True
    timers.fire()
    over_rate.go_on(rate)
    assert [one.turns for one in links] == [0, 0, 1, 0, 1]
    timers.fire()
    assert not timers.due
    assert not over_rate._waiting


def test_connections_that_come_and_go_make_no_line(over_rate, timers):
    rate, first = Room(), Link()
    over_rate.wait(first, rate)
    for _ in range(100):
        link = Link()
        over_rate.wait(link, rate)
        over_rate.leave(link, rate)
    assert [*over_rate._waiting[rate]] == [first]
    over_rate.leave(first, rate)
    over_rate.wait(link := Link(), rate)
    assert len(timers.due) == 1, "the one that was set goes on"
    rate.room = True
    timers.fire()
    assert (first.turns, link.turns) == (0, 1)


def test_the_rate_of_one_that_has_ended_is_forgotten_with_its_timer(over_rate, timers):
    rate, ended = Room(), Link()
    over_rate.wait(ended, rate)
    over_rate.leave(ended, rate)
    timers.fire()
    assert not timers.due
    assert not over_rate._waiting


def test_one_that_does_not_wait_may_end(over_rate, timers):
    rate, link, other = Room(), Link(), Link()
    over_rate.leave(link, rate)
    assert not timers.due
    over_rate.wait(other, rate)
    over_rate.leave(link, rate)
    rate.room = True
    timers.fire()
    assert other.turns == 1


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
