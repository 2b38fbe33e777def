"""The patterns: each a few lines that name sockets and how pumps join them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import zmq

from ..endpoints import Endpoint
from ..engine.outlet import Policy, Take
from ..errors import SettingsError
from ..settings import (
    Custom,
    DeviceSettings,
    Endpoints,
    Forwarder,
    Prefixes,
    Queue,
    Relay,
    Streamer,
    WhenFull,
)
from ..settings.pairs import directions

RECEIVE_ONLY = frozenset({zmq.SUB, zmq.XSUB, zmq.PULL})
"""Socket types whose peers send and never receive more than subscriptions."""

CONTROL = "control"
"""The key of the socket that steers a device."""

TAP = "tap"
"""The key of the socket that publishes a copy of a device's traffic."""

# Enough for a watcher who reads; one who does not is not to hold up a stop.
_TAP_LINGER_MS = 100

Options = tuple[tuple[int, Any], ...]


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """A socket to be made: its `key` in the device, its type, where it goes, and its own options."""

    key: str
    type: int
    endpoints: tuple[Endpoint, ...]
    options: Options = ()


@dataclass(frozen=True, slots=True)
class OutletPlan:
    """An outlet to be made, to the socket with this key."""

    socket: str
    policy: Policy = Policy.BLOCK
    take: Take = Take.WHOLE


@dataclass(frozen=True, slots=True)
class PumpPlan:
    """A pump to be made, from the socket with the key `source`."""

    source: str
    outlets: tuple[OutletPlan, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a device is made of.

    :ivar answered: whether each message of the first pump is answered by one of the second, as requests are.
    """

    sockets: tuple[SocketPlan, ...]
    pumps: tuple[PumpPlan, ...]
    answered: bool = False


def plan(settings: DeviceSettings) -> Plan:
    """What the pattern of `settings` is made of.

    :raises SettingsError: if it is none of a pattern.
    """
    make = _PLANS.get(type(settings))
    if make is None:
        raise SettingsError("settings", "one of " + ", ".join(f"{cls.__name__}(...)" for cls in _PLANS), settings)
    made = make(settings)
    more = []
    if settings.control is not None:
        kind = zmq.SocketType[_value(settings.control_type)]
        options = ((zmq.SUBSCRIBE, b""),) if kind == zmq.SUB else ()
        more.append(SocketPlan(CONTROL, kind, _endpoints(settings.control), options))
    if settings.tap is not None:
        more.append(tap_plan(settings))
    return dataclasses.replace(made, sockets=(*made.sockets, *more))


def tap_plan(settings: DeviceSettings) -> SocketPlan:
    """The socket at which a device with these `settings` can be watched; without `tap` among them, it goes nowhere."""
    endpoints = () if settings.tap is None else _endpoints(settings.tap)
    return SocketPlan(TAP, zmq.XPUB, endpoints, ((zmq.LINGER, min(settings.linger_ms, _TAP_LINGER_MS)),))


def _relay(settings: Relay) -> Plan:
    sockets = [SocketPlan("sub", zmq.SUB, _endpoints(settings.sub), _subscriptions(settings.subscribe))]
    outlets = []
    if settings.pub is not None:
        sockets.append(SocketPlan("pub", zmq.PUB, _endpoints(settings.pub)))
        outlets.append(OutletPlan("pub"))
    if settings.push is not None:
        sockets.append(SocketPlan("push", zmq.PUSH, _endpoints(settings.push)))
        policy, take = Policy(_value(settings.push_when_full)), Take(_value(settings.push_payload))
        outlets.append(OutletPlan("push", policy, take))
    return Plan(tuple(sockets), (PumpPlan("sub", tuple(outlets)),))


def _forwarder(settings: Forwarder) -> Plan:
    if settings.subscribe is None:
        return _two_sides(settings, backend_options=_no_drop(settings.slow_subscriber))
    return _two_sides(settings, _subscriptions(settings.subscribe), _no_drop(settings.slow_subscriber))


def _queue(settings: Queue) -> Plan:
    return _two_sides(settings, answered=True)


def _streamer(settings: Streamer) -> Plan:
    return _two_sides(settings)


def _custom(settings: Custom) -> Plan:
    options = {
        "SUB": _subscriptions((b"",) if settings.subscribe is None else settings.subscribe),
        "PUB": _no_drop(settings.slow_subscriber),
        "XPUB": _no_drop(settings.slow_subscriber),
    }
    return _two_sides(settings, options.get(settings.frontend_type, ()), options.get(settings.backend_type, ()))


def _two_sides(
    settings: Forwarder | Queue | Streamer | Custom,
    frontend_options: Options = (),
    backend_options: Options = (),
    answered: bool = False,
) -> Plan:
    frontend_type, backend_type = settings.socket_types["frontend"], settings.socket_types["backend"]
    forward, backward = directions(frontend_type, backend_type)
    sockets = (
        SocketPlan("frontend", zmq.SocketType[frontend_type], _endpoints(settings.frontend), frontend_options),
        SocketPlan("backend", zmq.SocketType[backend_type], _endpoints(settings.backend), backend_options),
    )
    take = Take.SWAP if frontend_type == backend_type == "ROUTER" else Take.WHOLE
    pumps = []
    if forward:
        pumps.append(PumpPlan("frontend", (OutletPlan("backend", take=take),)))
    if backward:
        pumps.append(PumpPlan("backend", (OutletPlan("frontend", take=take),)))
    return Plan(sockets, tuple(pumps), answered)


def _subscriptions(prefixes: Prefixes) -> Options:
    return tuple((zmq.SUBSCRIBE, prefix) for prefix in cast("tuple[bytes, ...]", prefixes))


def _no_drop(slow_subscriber: WhenFull | str) -> Options:
    return ((zmq.XPUB_NODROP, 1),) if slow_subscriber is WhenFull.BLOCK else ()


def _endpoints(endpoints: Endpoints) -> tuple[Endpoint, ...]:
    # DeviceSettings has turned what the user wrote into this.
    return cast("tuple[Endpoint, ...]", endpoints)


def _value(choice: Any) -> str:
    return str(choice.value)


_PLANS: dict[type, Callable[[Any], Plan]] = {
    Relay: _relay,
    Forwarder: _forwarder,
    Queue: _queue,
    Streamer: _streamer,
    Custom: _custom,
}
