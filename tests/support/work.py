"""Devices whose messages go elsewhere where own workers have no room, with the test in the place of a backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from geventrelay import Device
from geventrelay.components.plan import BACKBONE_WORK_IN, BACKBONE_WORK_OUT, OutletPlan, Plan, PumpPlan, SocketPlan
from geventrelay.devices import patterns
from geventrelay.endpoints import Endpoint
from geventrelay.settings import DeviceSettings
from geventrelay.testing import Peer, Peers, eventually, within

CORES_AND_BURSTS = ("native burst", "Python burst", "native core", "Python core")
_NATIVE = {"burst": "geventrelay.engine.pump.native_module", "core": "geventrelay.switch.choose.native_core_module"}


def with_work(made: Plan) -> Plan:
    """A plan whose messages for a PUSH or DEALER go to others where that has no room, and with messages of others."""
    types = {one.key: one.type for one in made.sockets}
    first, *back = made.pumps
    answers = bool(back)
    own = next(one for one in first.outlets if types[one.socket] in (zmq.PUSH, zmq.DEALER))
    elsewhere = dataclasses.replace(own, otherwise=BACKBONE_WORK_OUT)
    answered_by = (own.socket, BACKBONE_WORK_OUT) if answers else ()
    outlets = tuple(elsewhere if one is own else one for one in first.outlets)
    pumps = [dataclasses.replace(first, outlets=outlets, answered_by=answered_by)]
    pumps.append(
        PumpPlan(
            BACKBONE_WORK_IN,
            (OutletPlan(own.socket, otherwise=BACKBONE_WORK_OUT),),
            answered_by=answered_by,
        )
    )
    if answers:
        replies = (OutletPlan(first.source, otherwise=BACKBONE_WORK_IN),)
        pumps += [PumpPlan(own.socket, replies), PumpPlan(BACKBONE_WORK_OUT, replies)]
    kinds = (zmq.DEALER, zmq.ROUTER) if answers else (zmq.PUSH, zmq.PULL)
    private = [
        SocketPlan(key, kind, (Endpoint("ipc://*"),), private=True)
        for key, kind in zip((BACKBONE_WORK_OUT, BACKBONE_WORK_IN), kinds, strict=True)
    ]
    return Plan((*made.sockets, *private), tuple(pumps))


class Working:
    """A device, and the test as its backbone.

    :ivar device: it is running.
    :ivar work: what it tells.
    :ivar said: what it has said of its hunger, in order.
    """

    def __init__(self, device: Device, peers: Peers) -> None:
        self.device = device
        work = device._assembly._work()
        assert work is not None
        self.work = work
        self.said: list[bool] = []
        work.on_hungry = self.said.append
        answers = device.settings.pattern == "queue"
        bound = device._assembly.bound
        self.out: Peer = peers.connect(zmq.DEALER if answers else zmq.PULL, *bound[BACKBONE_WORK_OUT])
        self.into: Peer = peers.connect(
            zmq.DEALER if answers else zmq.PUSH, *bound[BACKBONE_WORK_IN], **({"routing_id": b"bb"} if answers else {})
        )

    def becomes_hungry(self, hungry: bool = True) -> None:
        """Wait until it is hungry, or is not."""
        eventually(lambda: self.work.is_hungry is hungry, f"{hungry} of its hunger")

    def outlet(self, source: str, index: int = 0) -> Any:
        """The snapshot of an outlet of the pump that reads `source`."""
        return next(one for one in self.device.snapshot().pumps if one.source == source).outlets[index]

    def bursts(self) -> int:
        """How often its pumps have read."""
        return sum(one.bursts for one in self.device.snapshot().pumps)


def got(peer: Peer, count: int) -> list[bytes]:
    """The first frames of the next `count` messages."""
    with within(f"{count} messages"):
        return [peer.recv()[0] for _ in range(count)]


@contextmanager
def working(
    settings: DeviceSettings, engine: str, peers: Peers, patch: Callable[[str, object], None]
) -> Iterator[Working]:
    """A device of `settings` that gives work to others.

    :param engine: one of `CORES_AND_BURSTS`.
    :param patch: sets an attribute by its path for the time of the test.
    """
    language, part = engine.split()
    if language == "Python":
        patch(_NATIVE[part], lambda: None)
    settings = dataclasses.replace(settings, engine="libzmq" if part == "burst" else "zmtp")
    patch("geventrelay.devices.device.plan", lambda settings: with_work(patterns.plan(settings)))
    device = Device(settings, watch_peers=True)
    device.start()
    try:
        yield Working(device, peers)
    finally:
        device.stop(0)
        for pump in device.snapshot().pumps:
            assert pump.balanced, device.snapshot().accounting()
