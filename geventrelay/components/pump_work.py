"""What engine libzmq tells a backbone of a device's work, and the gates before its sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gevent.event import Event

from ..engine.gate import Gate
from ..engine.outlet import Outlet
from ..engine.places import wait_for_one
from ..engine.pump import Pump
from .component import Component, DrainStep
from .plan import BACKBONE_WORK_IN, BACKBONE_WORK_OUT, OutletPlan, Plan, PumpPlan
from .sockets import Sockets
from .worker_gate import WorkerGate

# libzmq tells whether there is room, and not how much: so much is given ahead.
_AHEAD = 256


class PumpWork(Component):
    """`geventrelay.components.work.Work` of engine libzmq, and the gates of a device of that engine.

    It is opened when the sockets are, and before the pumps, which ask it for their gates and show themselves to it.

    :param plan: the device's.
    :param sockets: the device's.
    :ivar gate: see `geventrelay.components.work.Work`, as all others.
    :ivar has_work: whether some outlet gives messages to others.
    """

    key = "work"

    def __init__(self, plan: Plan, sockets: Sockets) -> None:
        self.gate = Gate()
        self.on_hungry: Callable[[bool], None] = _unheard
        self.is_hungry = False
        outlets = [outlet for pump in plan.pumps for outlet in pump.outlets]
        # Where this device's own workers are.
        self._own = dict.fromkeys(one.socket for one in outlets if one.otherwise == BACKBONE_WORK_OUT)
        self.has_work = self.runs = bool(self._own)
        self._sockets = sockets
        self._limits = {one.key: one.requests_per_peer for one in plan.sockets if one.requests_per_peer}
        self._worker_gates: dict[str, WorkerGate] = {}
        self._places: Mapping[str, Outlet] = {}
        self._waiting: list[Pump] = []
        self._incoming: Pump | None = None
        self._takes_in = Event()
        self._paused = self._stops = False
        self._asked = Event()
        self._call: Callable[[], None] | None = None

    def open(self) -> None:
        """Follow the workers of each socket with a gate; see `Component.open`. Does not yield."""
        for key, limit in self._limits.items():
            peers = self._sockets.peers_of(key)
            # Without knowing who is there, as over inproc, there is no limit.
            if peers is not None:
                self._worker_gates[key] = gate = WorkerGate(limit)
                peers.follow_ready(gate.note_workers)
        for key in self._own:
            self._sockets[key].readiness.several_writers = True
        self._places = {key: Outlet(key, self._sockets[key], gate=self.gate_of(key)) for key in self._own}
        self._look_whether_to_take_in()

    def gate_of(self, key: str) -> Gate | None:
        """The gate before the socket `key`; None if there is none. Does not yield."""
        if key == BACKBONE_WORK_OUT:
            return self.gate
        return self._worker_gates[key].gate if key in self._worker_gates else None

    def on_dropped(self, outlet: OutletPlan) -> Callable[[], None] | None:
        """What an `outlet` is to call when it has dropped messages; None for nothing. Does not yield."""
        return self._say_dropped if outlet.otherwise == BACKBONE_WORK_OUT else None

    def watch(self, plan: PumpPlan, pump: Pump) -> None:
        """Follow a `pump`, which was made of `plan`. Does not yield."""
        if any(outlet.otherwise == BACKBONE_WORK_OUT for outlet in plan.outlets):
            self._waiting.append(pump)
            pump.on_waiting = self._look_whether_hungry
        if plan.source == BACKBONE_WORK_IN:
            self._incoming = pump
        if plan.source in self._worker_gates:
            pump.on_received = self._worker_gates[plan.source].note_replies

    # What a backbone asks

    @property
    def taken(self) -> int:
        """See `geventrelay.components.work.Work.taken`."""
        return 0 if self._incoming is None else self._incoming.handed_on

    def room(self) -> int:
        """See `geventrelay.components.work.Work.room`."""
        if not self._takes_in.is_set():
            return 0
        return sum(map(_room_at, self._places.values()))

    def when_room(self, call: Callable[[], None]) -> None:
        """See `geventrelay.components.work.Work.when_room`, and there of `call`."""
        self._call = call
        self._asked.set()

    # What the device does

    def run(self) -> None:
        """Call what was given to `when_room` once there is some; see `Component.run`. Yields."""
        while True:
            self._asked.wait()
            self._takes_in.wait()
            if not self.room():
                wait_for_one(tuple(self._places.values()))
                continue
            self._asked.clear()
            call, self._call = self._call, None
            if call is not None:
                call()

    def pause(self) -> None:
        """Take in no messages of others; see `Component.pause`."""
        self._paused = True
        self._look_whether_to_take_in()

    def resume(self) -> None:
        """Go on; see `Component.resume`."""
        self._paused = False
        self._look_whether_to_take_in()

    def stop_reading(self, step: DrainStep) -> None:
        """From the first `step` on, take in no messages of others. Does not yield."""
        self._stops = True
        self._look_whether_to_take_in()

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Tell nothing more; see `Component.close`, also of `linger_ms` and `failed`. Does not yield."""
        self.on_hungry, self._call = _unheard, None
        self._takes_in.clear()

    def _look_whether_to_take_in(self) -> None:
        if self._paused or self._stops:
            self._takes_in.clear()
        else:
            self._takes_in.set()

    def _look_whether_hungry(self) -> None:
        hungry = any(pump.is_waiting for pump in self._waiting)
        if hungry != self.is_hungry:
            self.is_hungry = hungry
            self.on_hungry(hungry)

    def _say_dropped(self) -> None:
        self.on_hungry(True)


def _room_at(place: Outlet) -> int:
    if place.is_shut or not place.socket.writable:
        return 0
    return _AHEAD if place.gate is None else place.gate.permits


def _unheard(hungry: bool) -> None:
    """Pass over that a device is `hungry`, or is not."""
