"""A device at one moment: what state it is in, and what it has counted."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..backbone.values import BackboneSnapshot
from ..engine.counters import OutletSnapshot, PumpSnapshot


class State(enum.Enum):
    """Where a device is in its life."""

    STOPPED = "stopped"
    """Not started yet, or stopped on request; `Device.start` starts it (again)."""
    RUNNING = "running"
    PAUSED = "paused"
    """Running, but reading nothing: peers feel backpressure, and nothing is lost."""
    STOPPING = "stopping"
    """Moving what has come in already, then closing."""
    FAILED = "failed"
    """Ended because a greenlet of it died; `Device.failure` says of what."""


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """A device at one moment.

    :ivar name: the device's name.
    :ivar state: where it is in its life.
    :ivar pumps: one entry per direction of traffic, in the order in which the pattern names them.
    :ivar backbone: how it is joined with others of its name; None if it is not.
    """

    name: str
    state: State
    pumps: tuple[PumpSnapshot, ...]
    backbone: BackboneSnapshot | None = None

    @property
    def held(self) -> int:
        """Messages in hand: read from one socket and not taken by every outlet yet."""
        return sum(pump.held for pump in self.pumps)

    def accounting(self) -> str:
        """One line: per socket what was received, sent, and dropped by reason, and what is held.

        With engine zmtp, per socket also what was delivered to its peers, lost by reason, and what waits; and how many
        deliveries were due, ``matched``, where these are not as many as messages were sent.
        After a stop that may have left messages unread, ``unread=unknown`` follows.
        """
        return " ".join(f"{key}={value}" for key, value in self.accounting_keys().items())

    def accounting_keys(self) -> dict[str, object]:
        """The keys and values of `accounting`."""
        counts: dict[str, int] = {}
        for pump in self.pumps:
            counts[f"{pump.source}.received"] = pump.received
            for outlet in pump.outlets:
                for key, count in (_counts(outlet) | _deliveries(outlet)).items():
                    # Several pumps may lead to one socket.
                    counts[f"{outlet.socket}.{key}"] = counts.get(f"{outlet.socket}.{key}", 0) + count
        keys: dict[str, object] = {"device": self.name, **counts, "held": self.held}
        if any(pump.left_unread for pump in self.pumps):
            keys["unread"] = "unknown"
        return keys

    def merged_with(self, later: DeviceSnapshot) -> DeviceSnapshot:
        """The counts of both lives of one device, this one and a `later` one; name and state are the later one's.

        A later one with other pumps or outlets counts from 0: a sum would not say what went where.
        """
        if not later.pumps:
            pumps = tuple(pump.as_closed() for pump in self.pumps)
        elif _shape(self) != _shape(later):
            pumps = later.pumps
        else:
            pumps = tuple(past.merged_with(now) for past, now in zip(self.pumps, later.pumps, strict=True))
        backbone = later.backbone if self.backbone is None else self.backbone.merged_with(later.backbone)
        return DeviceSnapshot(later.name, later.state, pumps, backbone)


def _counts(outlet: OutletSnapshot) -> dict[str, int]:
    found = {"sent": outlet.sent} | ({"uncut": outlet.uncut} if outlet.uncut else {})
    found |= {"elsewhere": outlet.elsewhere} if outlet.elsewhere else {}
    return found | {f"dropped.{why.value}": count for why, count in outlet.dropped.items()}


def _deliveries(outlet: OutletSnapshot) -> dict[str, int]:
    if outlet.matched is None or outlet.delivered is None or outlet.lost is None:
        return {}
    found = {} if outlet.matched == outlet.sent else {"matched": outlet.matched}
    found["delivered"] = outlet.delivered
    found |= {f"lost.{why.value}": count for why, count in outlet.lost.items()}
    return found | ({"waiting": outlet.waiting} if outlet.waiting else {})


def _shape(snapshot: DeviceSnapshot) -> list[tuple[str, list[tuple[str, bool]]]]:
    # Whether deliveries are counted is a matter of the engine.
    return [
        (pump.source, [(outlet.socket, outlet.matched is None) for outlet in pump.outlets]) for pump in snapshot.pumps
    ]
