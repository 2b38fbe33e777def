"""On what terms a socket has connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..engine.grant import Grant
from ..engine.peerlimit import HandshakeTime
from ..engine.rate import RateLimit
from ..terms import RatePer
from .dialler import Redial
from .door import Door
from .pulse import Heartbeat
from .transport import Transport


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a socket has connections.

    :ivar transport: how they are set up.
    :ivar handshake: how long a handshake may take.
    :ivar routing_id: what it calls itself.
    :ivar knows_by_routing_id: whether a ROUTER knows its peers by what they call themselves, and so each name once;
        else it gives them names of its own.
    :ivar legacy_peers: whether peers of ZMTP 1.0 and 2.0 may connect.
    :ivar heartbeat: how it is found out whether peers of ZMTP 3.1 are alive.
    :ivar immediate: whether an endpoint that connects takes messages only while it is connected.
    :ivar ipv6: whether IPv6 goes first for names that have both.
    :ivar redial: when to connect again.
    :ivar most_peers: how many connections are let in; 0 for no limit.
    :ivar most_per_address: how many of one address; 0 for no limit.
    :ivar door: which mechanism handshakes have, and who decides who may come in.
    :ivar rate: how much may come in; None for any number.
    :ivar rate_per: what has such a rate of its own.
    :ivar grant: what a user may do that has connected to it, or None for one that must not connect; an empty name is a
        peer without one. None lets each peer do everything, as those do to which it connects itself.
    :ivar refresh: has `grant` know what counts now, before a handshake begins; it yields. None where nothing changes.
    """

    transport: Transport = field(default_factory=Transport)
    handshake: HandshakeTime = field(default_factory=HandshakeTime)
    routing_id: bytes = b""
    knows_by_routing_id: bool = True
    legacy_peers: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    immediate: bool = False
    ipv6: bool = False
    redial: Redial = field(default_factory=Redial)
    most_peers: int = 0
    most_per_address: int = 0
    door: Door = field(default_factory=Door)
    rate: RateLimit | None = None
    rate_per: RatePer = RatePer.DEVICE
    grant: Callable[[str], Grant | None] | None = None
    refresh: Callable[[], None] | None = None
