"""What engine zmtp tells a backbone of a device's work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..engine.gate import Gate
from ..switch.contract import MOST_FREE_PLACES, Side, Way
from ..switch.driver import Driver
from ..switch.station import Station
from ..switch.turns import Job
from .plan import BACKBONE_WORK_IN, BACKBONE_WORK_OUT, Plan


@dataclass(slots=True)
class Offers:
    """Where messages are offered to workers, and otherwise to the socket that leads to others.

    :ivar gate: of that socket.
    :ivar sides: the sockets with this device's own workers.
    :ivar ways: what leads there.
    :ivar incoming: that of them which brings messages of others; None if there is none.
    """

    gate: Gate
    sides: list[Side] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    incoming: Way | None = None


class SwitchWork:
    """`geventrelay.components.work.Work` of engine zmtp. Nothing here yields.

    :param driver: the device's.
    :param offers: what it tells of.
    :ivar gate: see `geventrelay.components.work.Work`, as all but `takes_in`.
    :ivar takes_in: whether messages of others may come in.
    """

    def __init__(self, driver: Driver, offers: Offers) -> None:
        self.gate = offers.gate
        self.on_hungry: Callable[[bool], None] = lambda _: None
        self.is_hungry = False
        self.takes_in = True
        self._driver = driver
        self._offers = offers
        self._refused = 0
        self._on_room: Callable[[], None] | None = None
        # After the connections that have room now, whose turns come before.
        self._looks = Job(self._look, urgent=False)
        self.gate.listeners.append(driver.look_for_room)
        driver.on_look = self._after_look

    @property
    def taken(self) -> int:
        """See `geventrelay.components.work.Work.taken`."""
        return 0 if self._offers.incoming is None else self._offers.incoming.counters.received

    def room(self) -> int:
        """See `geventrelay.components.work.Work.room`."""
        if not self.takes_in:
            return 0
        return min(sum(side.free_places() for side in self._offers.sides), MOST_FREE_PLACES)

    def when_room(self, call: Callable[[], None]) -> None:
        """See `geventrelay.components.work.Work.when_room`, and there of `call`."""
        self._on_room = call
        self._driver.turns.queue(self._looks)

    def take_in(self, *, more: bool) -> None:
        """Take in messages of others, or have no room for them; `more` says which of the two."""
        self.takes_in = more
        self._driver.turns.queue(self._looks)

    def close(self) -> None:
        """Tell nothing more."""
        self._driver.on_look = self._on_room = None
        self.takes_in = False
        self.gate.listeners.clear()
        self.on_hungry = lambda _: None

    def _after_look(self) -> None:
        refused = sum(way.refused for way in self._offers.ways)
        if refused != self._refused:
            self._refused = refused
            self.on_hungry(True)
        if self._on_room is not None or self.is_hungry or self._any_lacks_permits():
            self._driver.turns.queue(self._looks)

    def _look(self, until: float) -> bool:
        if self._on_room is not None and self.room():
            call, self._on_room = self._on_room, None
            call()
        hungry = self._any_lacks_permits() or (self.is_hungry and self._any_goes_on())
        if hungry != self.is_hungry:
            self.is_hungry = hungry
            self.on_hungry(hungry)
        return False

    def _any_lacks_permits(self) -> bool:
        return any(self._driver.is_waited_for(way) and way.lacks_permits for way in self._offers.ways)

    def _any_goes_on(self) -> bool:
        return not all(map(self._driver.is_caught_up_with, self._offers.ways))


def offers_of(plan: Plan, stations: Mapping[str, Station], new_gate: Callable[[], Gate]) -> Offers | None:
    """What a device offers its own workers first; None if none of it goes elsewhere. Its socket for that gets a gate.

    :param plan: the device's, whose ways are made.
    :param stations: its sockets, by their keys.
    :param new_gate: makes the gate.
    """
    if BACKBONE_WORK_OUT not in stations:
        return None
    elsewhere = stations[BACKBONE_WORK_OUT].side
    elsewhere.gate = gate = new_gate()
    made = Offers(gate)
    for pump in plan.pumps:
        way = stations[pump.source].way
        own = [stations[one.socket].side for one in pump.outlets if one.otherwise == BACKBONE_WORK_OUT]
        if not own or way is None:
            continue
        made.ways.append(way)
        made.sides.extend(side for side in own if side not in made.sides)
        if pump.source == BACKBONE_WORK_IN:
            made.incoming = way
    return made
