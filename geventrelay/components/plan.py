"""What a device is to be made of: sockets and pumps as values, before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import zmq

from ..endpoints import Endpoint
from ..settings import Endpoints
from ..terms import Payload, WhenFull

RECEIVE_ONLY = frozenset({zmq.SUB, zmq.XSUB, zmq.PULL})
"""Socket types whose peers send and never receive more than subscriptions."""

BACKBONE_OUT = "backbone_out"
"""The key of the socket at which a backbone gets what other devices want."""

BACKBONE_IN = "backbone_in"
"""The key of the socket at which it hands in what comes from them."""

BACKBONE_NEWS = "backbone_news"
"""The key of the socket at which it gets to know what this device's subscribers want."""

BACKBONE_WORK_OUT = "backbone_work_out"
"""The key of the socket at which a backbone gets messages that no worker of this device has room for."""

BACKBONE_WORK_IN = "backbone_work_in"
"""The key of the socket at which it hands in messages of other devices, for the workers of this one."""

Options = tuple[tuple[int, Any], ...]


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """A socket to be made.

    :ivar key: what it is called in the device, e.g. ``frontend``.
    :ivar type: its ZeroMQ type, e.g. `zmq.SUB`.
    :ivar endpoints: where it binds and connects.
    :ivar options: libzmq's options that it has besides those that every socket of the device has.
    :ivar longest_linger_ms: the most that it may linger, in ms, whatever the settings say; None for no bound.
    :ivar private: whether its one peer is a component of this device. No rules, rates or bounds of the settings hold
        for it, and users do not see it but for what it has counted.
    :ivar requests_per_peer: where peers answer requests, how many each of them is given at a time; 0 for no limit.
    :ivar way_parts: how many parts may stand before a message of its peers besides those that the settings allow: the
        way back of a request that has come from another device.
    """

    key: str
    type: int
    endpoints: tuple[Endpoint, ...]
    options: Options = ()
    longest_linger_ms: int | None = None
    private: bool = False
    requests_per_peer: int = 0
    way_parts: int = 0


@dataclass(frozen=True, slots=True)
class OutletPlan:
    """An outlet to be made.

    :ivar socket: the key of the socket that it leads to.
    :ivar when_full: what happens to a message that neither this socket nor `otherwise` takes now.
    :ivar payload: which part of each message goes there.
    :ivar otherwise: the key of the socket that gets the same of a message that `socket` does not take now: for want of
        room, or because a ROUTER has no such peer. None for none.
    """

    socket: str
    when_full: WhenFull = WhenFull.BLOCK
    payload: Payload = Payload.WHOLE
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class PumpPlan:
    """A pump to be made.

    :ivar source: the key of the socket that it reads.
    :ivar outlets: where its messages go.
    :ivar answered_by: the sources of the pumps that bring replies, one to each message of this one; none without
        replies. Pumps with the same ones are answered together.
    """

    source: str
    outlets: tuple[OutletPlan, ...]
    answered_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pattern is made of.

    :ivar sockets: in the order in which they are opened.
    :ivar pumps: in the order in which they are reported.
    """

    sockets: tuple[SocketPlan, ...]
    pumps: tuple[PumpPlan, ...]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """How the subscriptions of a running SUB change.

    :ivar subscribe: the prefixes that a SUB takes from now on.
    :ivar unsubscribe: those that it takes no more.
    """

    subscribe: tuple[bytes, ...] = ()
    unsubscribe: tuple[bytes, ...] = ()


def endpoints_of(endpoints: Endpoints) -> tuple[Endpoint, ...]:
    """The `endpoints` of settings, which are checked, so that they have this type. Does not yield."""
    return cast("tuple[Endpoint, ...]", endpoints)
