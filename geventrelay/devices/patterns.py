"""The patterns: each a few lines that name sockets and how pumps join them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import zmq

from ..components.plan import CONTROL, Options, OutletPlan, Plan, PumpPlan, SocketPlan, endpoints_of, tap_plan
from ..errors import SettingsError
from ..settings import Custom, DeviceSettings, Forwarder, Prefixes, Queue, Relay, Streamer
from ..settings.socket_types import directions
from ..terms import Payload, WhenFull


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
        more.append(SocketPlan(CONTROL, kind, endpoints_of(settings.control), options))
    if settings.tap is not None:
        more.append(tap_plan(settings))
    return dataclasses.replace(made, sockets=(*made.sockets, *more))


def _relay(settings: Relay) -> Plan:
    sockets = [SocketPlan("sub", zmq.SUB, endpoints_of(settings.sub), _subscriptions(settings.subscribe))]
    outlets = []
    if settings.pub is not None:
        sockets.append(SocketPlan("pub", zmq.PUB, endpoints_of(settings.pub)))
        outlets.append(OutletPlan("pub"))
    if settings.push is not None:
        sockets.append(SocketPlan("push", zmq.PUSH, endpoints_of(settings.push)))
        when_full, payload = WhenFull(settings.push_when_full), Payload(settings.push_payload)
        outlets.append(OutletPlan("push", when_full, payload))
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
        SocketPlan("frontend", zmq.SocketType[frontend_type], endpoints_of(settings.frontend), frontend_options),
        SocketPlan("backend", zmq.SocketType[backend_type], endpoints_of(settings.backend), backend_options),
    )
    payload = Payload.SWAP if frontend_type == backend_type == "ROUTER" else Payload.WHOLE
    pumps = []
    if forward:
        pumps.append(PumpPlan("frontend", (OutletPlan("backend", payload=payload),)))
    if backward:
        pumps.append(PumpPlan("backend", (OutletPlan("frontend", payload=payload),)))
    return Plan(sockets, tuple(pumps), answered)


def _subscriptions(prefixes: Prefixes) -> Options:
    return tuple((zmq.SUBSCRIBE, prefix) for prefix in cast("tuple[bytes, ...]", prefixes))


def _no_drop(slow_subscriber: WhenFull | str) -> Options:
    return ((zmq.XPUB_NODROP, 1),) if slow_subscriber is WhenFull.BLOCK else ()


def _value(choice: Any) -> str:
    return str(choice.value)


_PLANS: dict[type, Callable[[Any], Plan]] = {
    Relay: _relay,
    Forwarder: _forwarder,
    Queue: _queue,
    Streamer: _streamer,
    Custom: _custom,
}
