"""What a reader of ``top`` looks at: which devices, in which order. Pure: keys come in, and a view comes out."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .rates import DeviceRates

_Row = TypeVar("_Row")

_STATES = ("failed", "stopping", "stopped", "paused", "running")


def state_rank(state: str | None) -> int:
    """Where a `state` stands in an order in which trouble comes first. Does not yield."""
    return _STATES.index(state) if state in _STATES else -1


@dataclass(frozen=True, slots=True)
class Sorting:
    """A way to sort devices.

    :ivar name: what it sorts by, in words.
    :ivar value: the value of a device that it compares.
    :ivar falling: whether the largest is first.
    :ivar column: the column of the table that it belongs to.
    """

    name: str
    value: Callable[[DeviceRates], Any]
    falling: bool
    column: str


def _by_rate(name: str) -> Callable[[DeviceRates], float]:
    return lambda one: one.per_s.get(name) or 0


SORTINGS: Mapping[str, Sorting] = {
    "n": Sorting("name", lambda one: one.name, False, "device"),
    "s": Sorting("state", lambda one: state_rank(one.state), False, "state"),
    "i": Sorting("messages in", _by_rate("received"), True, "received"),
    "o": Sorting("messages out", _by_rate("sent"), True, "sent"),
    "d": Sorting("messages dropped a second", _by_rate("dropped"), True, "dropped"),
    "t": Sorting("messages dropped in all", lambda one: one.total("dropped") or 0, True, "total"),
    "l": Sorting("messages lost a second (engine zmtp)", _by_rate("lost"), True, "lost"),
    "a": Sorting("messages lost in all", lambda one: one.total("lost") or 0, True, "lost"),
    "h": Sorting("messages held", lambda one: one.held or 0, True, "held"),
    "p": Sorting("peers", lambda one: sum(number or 0 for number in one.peers.values()), True, "peers"),
}
"""The keys that sort."""


class Shows(enum.Enum):
    """What is shown, in the order in which a key turns from one to the next."""

    DEVICES = "devices"
    TOPICS = "topics"
    SUBSCRIBERS = "subscribers"
    KEPT = "what is kept"
    MESH = "mesh"

    @property
    def next(self) -> Shows:
        """What the key shows after this."""
        every = list(Shows)
        return every[(every.index(self) + 1) % len(every)]


QUIT = "q"
HELP = "?"
TURN = "v"
REVERSE = "r"
UNSORTED = "c"

_LINE, _PAGE = {"up": -1, "k": -1, "down": 1, "j": 1}, {"page-up": -1, "b": -1, "page-down": 1, " ": 1}
_ENDS = {"home": False, "g": False, "end": True, "G": True}

KEYS: Sequence[tuple[str, str]] = (
    ("q", "end"),
    *((key, f"sort by {sorting.name}") for key, sorting in SORTINGS.items()),
    ("r", "turn the order round"),
    ("c", "as the server has them; those that need a look first if not all fit"),
    ("v", "the busiest topics; then what subscribers lost; then what is kept; then the mesh; then devices again"),
    ("\u2191 \u2193 or k j", "one line up or down"),
    ("PgUp PgDn", "one screen up or down, as b and space do"),
    ("Home End", "to the first or the last, as g and G do"),
    ("?", "show these keys; any key goes back"),
)
"""Every key and what it does."""


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at.

    :ivar key: the key of the sorting; None is the server's order.
    :ivar turned: whether the order is turned round.
    :ivar first: how many devices are above the screen.
    :ivar helps: whether the keys are shown instead.
    :ivar shows: what is shown. Only devices are sorted by keys.
    """

    key: str | None = None
    turned: bool = False
    first: int = 0
    helps: bool = False
    shows: Shows = Shows.DEVICES

    def pressed(self, key: str, rows: int, room: int) -> View:
        """The view after a key; a key that means nothing changes nothing. Does not yield.

        :param key: the key, as `keys` names it.
        :param rows: the number of devices, topics or whatever it shows.
        :param room: how many of them fit on the screen, 1 or more.
        """
        if self.helps:
            return dataclasses.replace(self, helps=False)
        if key == HELP:
            return dataclasses.replace(self, helps=True)
        if key == TURN:
            return dataclasses.replace(self, first=0, shows=self.shows.next)
        if self.shows is Shows.DEVICES and key in (*SORTINGS, REVERSE, UNSORTED):
            return self._sorted(key)
        last = max(0, rows - room)
        if key in _ENDS:
            return dataclasses.replace(self, first=last if _ENDS[key] else 0)
        first = min(self.first, last) + _LINE.get(key, 0) + _PAGE.get(key, 0) * room
        return dataclasses.replace(self, first=max(0, min(last, first)))

    def _sorted(self, key: str) -> View:
        if key in SORTINGS:
            # The same key again turns the order round, as a heading of the page does.
            return View(key, turned=key == self.key and not self.turned)
        if key == REVERSE:
            return View(self.key, turned=not self.turned)
        return View()

    def ordered(self, devices: Sequence[DeviceRates], room: int) -> list[DeviceRates]:
        """The `devices` in its order. In the server's, those that need a look are first unless all fit.

        Devices that are equal stay as they were. Does not yield.

        :param devices: all of them, in the server's order.
        :param room: the number of devices that fit on the screen.
        """
        found = list(devices)
        if self.key is not None:
            sorting = SORTINGS[self.key]
            found.sort(key=sorting.value, reverse=sorting.falling != self.turned)
        elif len(found) > room:
            found.sort(key=lambda one: (not one.needs_a_look, -(one.per_s["received"] or 0)))
        if self.key is None and self.turned:
            found.reverse()
        return found

    def shown(self, devices: Sequence[DeviceRates], room: int) -> tuple[int, Sequence[DeviceRates]]:
        """How many devices are above the screen, and those that are on it. Does not yield.

        :param devices: all of them, in the server's order.
        :param room: the number of devices that fit on the screen.
        """
        return self.window(self.ordered(devices, room), room)

    def window(self, rows: Sequence[_Row], room: int) -> tuple[int, Sequence[_Row]]:
        """How many of the `rows` are above the screen, and those that are on it. Does not yield.

        :param rows: all of them, in their order.
        :param room: how many fit on the screen.
        """
        first = max(0, min(self.first, len(rows) - room))
        return first, rows[first : first + room]
