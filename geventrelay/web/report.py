"""The JSON of a server and its devices; docs/http.rst describes every field."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backbone.values import OF_BACKBONE, BackboneSnapshot, Neighbour
from ..engine.counters import OF_OUTLET, OF_PUMP, PumpSnapshot
from ..engine.native.choose import burst_name
from ..engine.peeraccount import ACCOUNTS_AT_A_TIME, OF_PEER
from ..engine.peertable import OF_SOCKET, ConnectingSnapshot, PeerSnapshot, PeersSnapshot
from ..engine.useraccount import OF_USER
from ..engine.values import as_json
from ..printable import printable
from ..version import version
from .catalogue import descriptions

if TYPE_CHECKING:
    from ..devices.device import Device
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice

VERSION = 1
"""The version of the JSON. In a version, no field is removed or changes its meaning."""

MAX_TOPICS = 10_000
"""The most topics in one answer: making JSON of more would keep every device waiting."""

Json = dict[str, Any]


def devices(server: Server, *, hub_delay_s: float, can_change: bool, http_refused: Mapping[str, int]) -> Json:
    """The server and all its devices.

    :param server: the server.
    :param hub_delay_s: how late a timer fired last, in seconds.
    :param can_change: whether the server has a token, so that changes are possible.
    :param http_refused: what HTTP has refused, by reason.
    """
    about = {
        "geventrelay": version(),
        "burst": burst_name(),
        "pid": os.getpid(),
        "started_at": server.started_at,
        "ready": server.ready,
        "hub_delay_s": round(hub_delay_s, 6),
        "log_dropped": server.log_dropped,
        "can_change": can_change,
        "http_refused": dict(http_refused),
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
        "engine": supervised.device.engine,
        "state": supervised.state.value,
        "failure": supervised.last_failure,
        "restarts": supervised.restarts,
        "started_at": supervised.started_at,
        "next_start_in_s": None if next_start_s is None else round(next_start_s, 3),
        "held": snapshot.held,
        # What it may be asked for: none in 0, and None where the pattern has no such option.
        "topics": getattr(supervised.settings, "topics", None),
        "sockets": [
            _socket(supervised.device, key, kind, peers.get(key)) for key, kind in supervised.device.sockets.items()
        ],
        "pumps": [_pump(pump) for pump in snapshot.pumps],
        "backbone": None if snapshot.backbone is None else backbone(snapshot.backbone),
    }


def backbones(server: Server) -> Json:
    """How each device of a `server` that has a backbone is joined with others, by its name."""
    found = {one.name: one.snapshot().backbone for one in server.devices.values()}
    return {
        "version": VERSION,
        "devices": {name: backbone(one) for name, one in found.items() if one is not None},
    }


def values() -> Json:
    """The description of every measured value, and of every reason to drop a message."""
    return {"version": VERSION, **descriptions()}


def connections(peers: Mapping[str, PeersSnapshot], pause: Callable[[], None] = lambda: None) -> Json:
    """The peers of each socket of a device; with what engine zmtp knows of each, if they have their accounts.

    :param peers: the peers, by the socket's key.
    :param pause: is called now and then; it may yield.
    """
    sockets: dict[str, list[Json]] = {}
    for key, one in peers.items():
        found = sockets[key] = []
        for peer in one.peers:
            found.append(peer_facts(peer))
            if len(found) % ACCOUNTS_AT_A_TIME == 0:
                pause()
    return {"version": VERSION, "sockets": sockets, "users": {key: _users(one) for key, one in peers.items()}}


def subscriptions(topics: Sequence[bytes]) -> Json:
    """The number of `topics`, and the first of them in their order. How many subscribers each has cannot be known."""
    return {
        "version": VERSION,
        "total": len(topics),
        "subscriptions": [{**topic_names(topic), "count": 1} for topic in topics[:MAX_TOPICS]],
    }


def topic_names(topic: bytes) -> Json:
    """A `topic` as text, and exactly."""
    return {"topic": topic.decode(errors="replace"), "hex": topic.hex()}


def peer_facts(peer: PeerSnapshot) -> Json:
    """What is known of a `peer`."""
    found: Json = {
        "address": peer.address,
        "since": round(peer.since, 3),
        "mechanism": peer.mechanism,
        "certain": peer.certain,
        "user": None if peer.user is None else printable(peer.user),
    }
    account = peer.account
    if account is None:
        return found
    return {
        **found,
        "id": account.id,
        "type": account.type,
        "routing_id": printable(account.routing_id.decode(errors="backslashreplace")),
        "zmtp": account.version,
        "topics": [topic_names(topic) for topic in account.topics],
        **as_json(OF_PEER, account),
        "oldest_s": None if account.oldest_s is None else round(account.oldest_s, 3),
        "received_per_s": account.received_per_s,
        "delivered_per_s": account.delivered_per_s,
    }


def _users(peers: PeersSnapshot) -> Json | None:
    if peers.users is None:
        return None
    return {printable(user): as_json(OF_USER, one) for user, one in peers.users.items()}


def _connecting(one: ConnectingSnapshot) -> Json:
    return {
        "endpoint": one.endpoint,
        "connected": one.connected,
        "tries": one.tries,
        "failure": one.failure,
        "failed_at": None if one.failed_at is None else round(one.failed_at, 3),
        "waiting": one.waiting,
    }


def _socket(device: Device, key: str, kind: str, peers: PeersSnapshot | None) -> Json:
    endpoints = device.settings.endpoints.get(key, ())
    return {
        "key": key,
        "type": kind,
        "bound": device.endpoints.get(key, []),
        "connects": [endpoint.address for endpoint in endpoints if not endpoint.binds],
        "connecting": None
        if peers is None or peers.connecting is None
        else [_connecting(one) for one in peers.connecting],
        # Connections over inproc are not seen.
        **as_json(OF_SOCKET, PeersSnapshot() if peers is None else peers),
        **({"peers": None} if peers is None else {}),
    }


def _pump(pump: PumpSnapshot) -> Json:
    return {
        "source": pump.source,
        **as_json(OF_PUMP, pump),
        "outlets": [{"socket": outlet.socket, **as_json(OF_OUTLET, outlet)} for outlet in pump.outlets],
    }


def backbone(one: BackboneSnapshot) -> Json:
    """How `one` device is joined with others of its name."""
    return {
        "relay": one.relay,
        "host": printable(one.host),
        "state": one.state.value,
        "server": printable(one.server),
        "reason": printable(one.reason),
        **as_json(OF_BACKBONE, one),
        "store": store(one),
        "hungry": one.hungry,
        "neighbours": [neighbour(other) for other in one.neighbours],
    }


def store(one: BackboneSnapshot) -> Json | None:
    """How `one` device stands with what keeps its work; None if that is not to be kept."""
    if one.store is None:
        return None
    return {
        "state": one.store.value,
        "reason": printable(one.store_reason),
        "replicas": one.store_replicas,
        **as_json(OF_BACKBONE, one)["store"],
    }


def neighbour(other: Neighbour) -> Json:
    """An `other` device of the same name, as one that is joined with it sees it."""
    about = other.about
    return {
        "relay": other.relay,
        "host": printable(other.host),
        "silent_s": round(other.silent_s, 3),
        "wants": other.wants,
        "served": other.served,
        "serves": other.serves,
        "sent": other.sent,
        "received": other.received,
        "lost": other.lost,
        "work_sent": other.work_sent,
        "work_received": other.work_received,
        "credit": other.credit,
        "promised": other.promised,
        "hungry": other.hungry,
        "round_trip_s": None if other.round_trip_s is None else round(other.round_trip_s, 6),
        "about": None
        if about is None
        else {
            "version": printable(about.version),
            "server": printable(about.server),
            "peers": {printable(key): count for key, count in about.peers.items()},
            "received_per_s": about.received_per_s,
            "sent_per_s": about.sent_per_s,
            "waiting": about.waiting,
            "incoming": about.incoming,
        },
    }
