"""What a device is to be made of: sockets and pumps as values, before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import zmq

from ..endpoints import Endpoint
from ..settings import DeviceSettings, Endpoints
from ..terms import Payload, WhenFull

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
    when_full: WhenFull = WhenFull.BLOCK
    payload: Payload = Payload.WHOLE


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


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What the running SUB of a device is to be told.

    :ivar subscribe: the prefixes that a SUB takes from now on.
    :ivar unsubscribe: those that it takes no more.
    """

    subscribe: tuple[bytes, ...] = ()
    unsubscribe: tuple[bytes, ...] = ()


def tap_plan(settings: DeviceSettings) -> SocketPlan:
    """The socket at which a device with these `settings` can be watched; without `tap` among them, it goes nowhere."""
    endpoints = () if settings.tap is None else endpoints_of(settings.tap)
    return SocketPlan(TAP, zmq.XPUB, endpoints, ((zmq.LINGER, min(settings.linger_ms, _TAP_LINGER_MS)),))


def endpoints_of(endpoints: Endpoints) -> tuple[Endpoint, ...]:
    """The `endpoints` of checked settings, as what they are there. Does not yield."""
    # DeviceSettings has turned what the user wrote into this.
    return cast("tuple[Endpoint, ...]", endpoints)
