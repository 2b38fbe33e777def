"""Who is connected to one socket: the events of its monitor, turned into a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """One peer that is connected.

    :ivar address: ``host:port`` of the other end, or ``pid N`` over ipc; ``unknown`` where it cannot be had (any more).
    :ivar since: when it connected, as Unix time. :ivar mechanism: how it showed who it is, e.g. ``NULL``.
    """

    address: str
    since: float
    mechanism: str


@dataclass(frozen=True, slots=True)
class PeersSnapshot:
    """One socket's connections at one moment.

    :ivar peers: who is connected, the longest first.
    :ivar connected_total: how many handshakes went through. :ivar disconnected_total: how many of them have ended.
    :ivar handshake_failures: how many did not, by reason. :ivar retries: how often connecting was tried again.
    :ivar accept_failures: how often a connection could not be accepted, by errno's name.
    """

    peers: tuple[PeerSnapshot, ...] = ()
    connected_total: int = 0
    disconnected_total: int = 0
    handshake_failures: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    accept_failures: Mapping[str, int] = field(default_factory=dict)
