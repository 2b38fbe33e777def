"""The patterns as plans: which sockets there are, and how pumps join them.

A pattern with a `frontend` and a `backend` needs nothing here: its plan comes from its settings' socket types. Here is
what differs from that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zmq

from ..components.plan import (
    BACKBONE_IN,
    BACKBONE_NEWS,
    BACKBONE_OUT,
    BACKBONE_WORK_IN,
    BACKBONE_WORK_OUT,
    Options,
    OutletPlan,
    Plan,
    PumpPlan,
    SocketPlan,
    endpoints_of,
)
from ..endpoints import Endpoint
from ..errors import SettingsError
from ..settings import PATTERNS, DeviceSettings, Queue, Relay
from ..settings.socket_types import directions
from ..terms import Payload, SlowSubscriber, WhenFull

WAY_PARTS = 16
"""Each device on the way of a request puts two parts before it: a worker's reply has them too."""


def plan(settings: DeviceSettings) -> Plan:
    """What the pattern of `settings` is made of. Does not yield.

    :raises SettingsError: if it is none of a pattern.
    """
    if type(settings) not in PATTERNS.values():
        raise SettingsError(
            "settings", "one of " + ", ".join(f"{cls.__name__}(...)" for cls in PATTERNS.values()), settings
        )
    made = _DIFFERENT.get(type(settings), two_sides)(settings)
    return made if getattr(settings, "backbone", None) is None else _with_backbone(made, settings)


def two_sides(settings: Any) -> Plan:
    """The plan of a pattern with a `frontend` and a `backend`: messages go every way that the types of these two allow.

    :param settings: the pattern's settings; a SUB takes their `subscribe`, and an XPUB or PUB follows their
        `slow_subscriber`, where they have these.
    """
    frontend, backend = (_socket(settings, key) for key in ("frontend", "backend"))
    types = settings.socket_types["frontend"], settings.socket_types["backend"]
    payload = Payload.SWAP if types == ("ROUTER", "ROUTER") else Payload.WHOLE
    ways = zip(directions(*types), ((frontend, backend), (backend, frontend)), strict=True)
    pumps = (PumpPlan(one.key, (OutletPlan(other.key, payload=payload),)) for open_, (one, other) in ways if open_)
    return Plan((frontend, backend, *_replay(settings)), tuple(pumps))


def _queue(settings: Queue) -> Plan:
    made = two_sides(settings)
    frontend, backend = made.sockets
    requests, replies = made.pumps
    backend = dataclasses.replace(backend, requests_per_peer=settings.most_requests_per_worker)
    return Plan((frontend, backend), (dataclasses.replace(requests, answered_by=(replies.source,)), replies))


def _relay(settings: Relay) -> Plan:
    sockets, outlets = [_socket(settings, "sub")], []
    if settings.pub is not None:
        sockets.append(_socket(settings, "pub"))
        outlets.append(OutletPlan("pub"))
    if settings.push is not None:
        sockets.append(_socket(settings, "push"))
        outlets.append(OutletPlan("push", WhenFull(settings.push_when_full), Payload(settings.push_payload)))
    return Plan((*sockets, *_replay(settings)), (PumpPlan("sub", tuple(outlets)),))


def _replay(settings: Any) -> Iterator[SocketPlan]:
    """The socket at which subscribers ask for what they have missed. No pump reads it: it is answered from the log."""
    if getattr(settings, "replay", None) is not None:
        yield _socket(settings, "replay")


def _with_backbone(made: Plan, settings: Any) -> Plan:
    """The plan of a device with what its backbone needs: for its subscribers, for its workers, or for both."""
    types = {one.key: one.type for one in made.sockets}
    outlets = [outlet.socket for pump in made.pumps for outlet in pump.outlets]
    if any(types[key] in (zmq.PUSH, zmq.DEALER) for key in outlets):
        made = _with_work(made, types)
    if any(types[key] in (zmq.PUB, zmq.XPUB) for key in outlets):
        made = _with_streams(made, types, settings)
    return made


def _with_streams(made: Plan, types: Mapping[str, int], settings: Any) -> Plan:
    """The plan of a device with subscribers, and with three sockets for its backbone.

    ::

        frontend --> backend, ..., backbone_out      (and back, where publishers are asked for topics)
        backend --> [frontend,] backbone_news        what subscribers want, as an XPUB tells it
        backbone_in --> backend                      alone: what came from others does not go out again
    """
    first, *others = made.pumps
    backend = next(one.socket for one in first.outlets if types[one.socket] in (zmq.PUB, zmq.XPUB))
    asks = types[first.source] == zmq.XSUB
    blocks = WhenFull(settings.backbone_when_full) is WhenFull.BLOCK
    out = _private(BACKBONE_OUT, zmq.XPUB if asks else zmq.PUB, ((zmq.XPUB_NODROP, 1),))
    sockets = [dataclasses.replace(one, type=zmq.XPUB) if one.key == backend else one for one in made.sockets]
    sockets += [out, _private(BACKBONE_IN, zmq.PULL), _private(BACKBONE_NEWS, zmq.PUSH)]
    to_publishers = [outlet for pump in others if pump.source == backend for outlet in pump.outlets]
    kept = [pump for pump in others if pump.source != backend]
    pumps = [
        dataclasses.replace(
            first, outlets=(*first.outlets, OutletPlan(BACKBONE_OUT, WhenFull.BLOCK if blocks else WhenFull.DROP))
        ),
        PumpPlan(backend, (*to_publishers, OutletPlan(BACKBONE_NEWS))),
        PumpPlan(BACKBONE_IN, (OutletPlan(backend),)),
    ]
    if asks:
        pumps.append(PumpPlan(BACKBONE_OUT, (OutletPlan(first.source),)))
    return Plan(tuple(sockets), (*pumps, *kept))


def _with_work(made: Plan, types: Mapping[str, int]) -> Plan:
    """The plan of a device with workers, and with two sockets for its backbone.

    ::

        frontend --> backend, otherwise work_out     work_in --> backend, otherwise work_out
        backend --> frontend, otherwise work_in      work_out --> frontend, otherwise work_in      of a queue: replies
    """
    first, *others = made.pumps
    to_workers = next(one for one in first.outlets if types[one.socket] in (zmq.PUSH, zmq.DEALER))
    requests = types[first.source] == zmq.ROUTER
    outlets = tuple(
        dataclasses.replace(one, otherwise=BACKBONE_WORK_OUT) if one is to_workers else one for one in first.outlets
    )
    # What comes from others is a payload by now, and there was room for it.
    into = OutletPlan(to_workers.socket, otherwise=BACKBONE_WORK_OUT)
    answered_by = (*first.answered_by, BACKBONE_WORK_OUT) if requests else ()
    pumps = [
        dataclasses.replace(first, outlets=outlets, answered_by=answered_by),
        *(dataclasses.replace(one, outlets=_otherwise_back(one.outlets)) if requests else one for one in others),
        PumpPlan(BACKBONE_WORK_IN, (into,), answered_by),
    ]
    if requests:
        pumps.append(PumpPlan(BACKBONE_WORK_OUT, _otherwise_back((OutletPlan(first.source),))))
    sockets = tuple(
        dataclasses.replace(one, way_parts=WAY_PARTS) if requests and one.key == to_workers.socket else one
        for one in made.sockets
    )
    private = (
        _private(BACKBONE_WORK_OUT, zmq.DEALER if requests else zmq.PUSH),
        _private(BACKBONE_WORK_IN, zmq.ROUTER if requests else zmq.PULL),
    )
    return Plan((*sockets, *private), tuple(pumps))


def _otherwise_back(outlets: tuple[OutletPlan, ...]) -> tuple[OutletPlan, ...]:
    return tuple(dataclasses.replace(one, otherwise=BACKBONE_WORK_IN) for one in outlets)


def _private(key: str, kind: int, options: Options = ()) -> SocketPlan:
    # In a folder that is its user's alone, and goes with the socket.
    return SocketPlan(key, kind, (Endpoint("ipc://*"),), options, private=True)


_DIFFERENT: dict[type[DeviceSettings], Callable[[Any], Plan]] = {Relay: _relay, Queue: _queue}


def _socket(settings: DeviceSettings, key: str) -> SocketPlan:
    kind = settings.socket_types[key]
    return SocketPlan(key, zmq.SocketType[kind], endpoints_of(settings.endpoints[key]), _options(settings, kind))


def _options(settings: Any, kind: str) -> Options:
    if kind == "SUB":
        prefixes = settings.subscribe
        return tuple((zmq.SUBSCRIBE, prefix) for prefix in ((b"",) if prefixes is None else prefixes))
    if kind == "XSUB" and getattr(settings, "replay_size", None) is not None:
        # Its log is to have also what no subscriber wants now.
        return ((zmq.SUBSCRIBE, b""),)
    if kind == "XSUB" and getattr(settings, "last_value", False):
        # It is to know the last values also of what no subscriber wants now.
        prefixes = settings.last_value_prefix
        return tuple((zmq.SUBSCRIBE, prefix) for prefix in ((b"",) if prefixes is None else prefixes))
    if kind in ("PUB", "XPUB") and getattr(settings, "slow_subscriber", None) is SlowSubscriber.BLOCK:
        return ((zmq.XPUB_NODROP, 1),)
    return ()
