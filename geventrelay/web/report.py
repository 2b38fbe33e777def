"""What the API says of a server and its devices, as JSON has it; docs/http.rst describes every field."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..engine.counters import OutletSnapshot, PumpSnapshot
from ..engine.native.choose import burst_name
from ..engine.peertable import PeersSnapshot
from ..version import version

if TYPE_CHECKING:
    from ..devices.device import Device
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice

VERSION = 1
"""Of the JSON: what one can rely on in it changes with this number alone."""

Json = dict[str, Any]


def devices(server: Server, *, hub_delay_s: float, can_change: bool) -> Json:
    """The `server` and all its devices.

    :param hub_delay_s: how late a timer fired last. :param can_change: whether there is a token at all.
    """
    about = {
        "geventrelay": version(),
        "burst": burst_name(),
        "pid": os.getpid(),
        "started_at": server.started_at,
        "ready": server.ready,
        "hub_delay_s": round(hub_delay_s, 6),
        "can_change": can_change,
    }
    return {"version": VERSION, "server": about, "devices": [device(one) for one in server.devices.values()]}


def one_device(supervised: SupervisedDevice) -> Json:
    """One `supervised` device by itself."""
    return {"version": VERSION, "device": device(supervised)}


def device(supervised: SupervisedDevice) -> Json:
    """A `supervised` device: its state, sockets and pumps."""
    snapshot, peers, next_start_s = supervised.snapshot(), supervised.peers(), supervised.next_start_s
    return {
        "name": supervised.name,
        "pattern": supervised.settings.pattern,
        "state": supervised.state.value,
        "failure": supervised.last_failure,
        "restarts": supervised.restarts,
        "started_at": supervised.started_at,
        "next_start_in_s": None if next_start_s is None else round(next_start_s, 3),
        "held": snapshot.held,
        "sockets": [
            _socket(supervised.device, key, kind, peers.get(key)) for key, kind in supervised.device.sockets.items()
        ],
        "pumps": [_pump(pump) for pump in snapshot.pumps],
    }


def connections(peers: Mapping[str, PeersSnapshot]) -> Json:
    """The `peers` of each socket of a device."""
    return {
        "version": VERSION,
        "sockets": {
            key: [
                {"address": peer.address, "since": round(peer.since, 3), "mechanism": peer.mechanism}
                for peer in one.peers
            ]
            for key, one in peers.items()
        },
    }


def subscriptions(topics: Iterable[bytes]) -> Json:
    """The `topics` that are subscribed to, in their order. How many subscribers each has cannot be known."""
    return {
        "version": VERSION,
        "subscriptions": [
            {"topic": topic.decode(errors="replace"), "hex": topic.hex(), "count": 1} for topic in topics
        ],
    }


def _socket(device: Device, key: str, kind: str, peers: PeersSnapshot | None) -> Json:
    endpoints = device.settings.endpoints.get(key, ())
    return {
        "key": key,
        "type": kind,
        "bound": device.endpoints.get(key, []),
        "connects": [endpoint.address for endpoint in endpoints if not endpoint.binds],
        # Over inproc nobody can be seen.
        "peers": None if peers is None else len(peers.peers),
        "disconnects": 0 if peers is None else peers.disconnected_total,
        "handshake_failures": {} if peers is None else dict(peers.handshake_failures),
        "retries": 0 if peers is None else peers.retries,
    }


def _pump(pump: PumpSnapshot) -> Json:
    return {
        "source": pump.source,
        "received": _count(pump.received, pump.received_parts, pump.received_bytes),
        "bursts": pump.bursts,
        "held": pump.held,
        "outlets": [_outlet(outlet) for outlet in pump.outlets],
    }


def _outlet(outlet: OutletSnapshot) -> Json:
    return {
        "socket": outlet.socket,
        "sent": _count(outlet.sent, outlet.sent_parts, outlet.sent_bytes),
        "dropped": {reason.value: count for reason, count in outlet.dropped.items()},
        "held": outlet.held,
    }


def _count(messages: int, parts: int, nbytes: int) -> Json:
    return {"messages": messages, "parts": parts, "bytes": nbytes}
