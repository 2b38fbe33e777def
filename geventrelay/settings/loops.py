"""Loops: ways on which a message comes back to where it was, as far as the settings of devices show them.

A message that comes to a socket leaves by other sockets of its device, and from each of them it goes over every
connection that there will be between an endpoint that connects and one that binds.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from ..endpoints import Endpoint, is_every_host
from .socket_types import READABLE, WRITABLE

Place = tuple[str, str]
"""A socket: its device's name and its key."""

Sockets = Mapping[str, tuple[str, Sequence[Endpoint]]]
"""The type and the endpoints of each socket of a device, by key."""

RULE = "endpoints that lead no message back to where it was"

# More say nothing new, and in a large file each can be long.
_MOST = 10
# What comes to these is not passed on: commands, and subscriptions to a tap.
_ENDS = frozenset({"control", "tap", "replay"})
_NOT_FILLED = frozenset({"control", "replay"})
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})

_Hop = tuple[Place, str, Place]
"""A message leaves by the first socket, over a connection at the address, and comes to the second."""


def loops(devices: Mapping[str, Sockets]) -> Iterator[tuple[Place, str]]:
    """Each loop, at most a few: a socket on it that connects, and the way in words.

    It asks no resolver: two names of one host are two hosts here.

    :param devices: the sockets of each device, by its name.
    """
    links = _links(devices)
    if links:
        found = _rings(devices, links)
        for ring in itertools.islice(found, _MOST):
            connecting = next(place for one, _, other in ring for place in (one, other) if _connects(devices, place))
            yield (
                connecting,
                " -> ".join(f"{_shown(one)} -> {address} -> {_shown(other)}" for one, address, other in ring),
            )


def _links(devices: Mapping[str, Sockets]) -> dict[Place, list[tuple[str, Place]]]:
    """The connections of each socket: the address, and the socket at the other end."""
    bound: dict[Hashable, Place] = {}
    connecting: list[tuple[Place, Endpoint]] = []
    for name, sockets in devices.items():
        for key, (_, endpoints) in sockets.items():
            for endpoint in endpoints:
                if endpoint.binds:
                    # Where two bind the same, that has an error of its own.
                    bound.update((point, (name, key)) for point in _points(endpoint) if point not in bound)
                else:
                    connecting.append(((name, key), endpoint))
    links: dict[Place, list[tuple[str, Place]]] = defaultdict(list)
    for place, endpoint in connecting:
        for binder in {bound[point]: None for point in _points(endpoint) if point in bound}:
            links[place].append((endpoint.address, binder))
            links[binder].append((endpoint.address, place))
    return links


def _rings(devices: Mapping[str, Sockets], links: Mapping[Place, list[tuple[str, Place]]]) -> Iterator[list[_Hop]]:
    """Each ring of hops, found by walking every way once; the same ring the other way round is not told again."""
    told = set()
    walked: set[Place] = set()
    for start in links:
        # The hops of the way so far, the hops that are left at each of its ends, and where on the way each end is.
        way: list[_Hop] = []
        left = [_hops(devices, links, start)]
        on_way = {start: 0}
        while start not in walked:
            hop = next(left[-1], None)
            if hop is None:
                left.pop()
                end = way.pop()[2] if way else start
                del on_way[end]
                walked.add(end)
            elif hop[2] in on_way:
                ring = [*way[on_way[hop[2]] :], hop]
                both = frozenset(frozenset((one, other)) for one, _, other in ring)
                if both not in told:
                    told.add(both)
                    yield ring
            elif hop[2] not in walked:
                way.append(hop)
                on_way[hop[2]] = len(way)
                left.append(_hops(devices, links, hop[2]))


def _hops(
    devices: Mapping[str, Sockets], links: Mapping[Place, list[tuple[str, Place]]], place: Place
) -> Iterator[_Hop]:
    """Where a message goes next that has come to the socket at `place`."""
    name, key = place
    sockets = devices[name]
    # A socket that connects to itself has its own messages back, whatever its device does with them.
    yield from ((place, address, other) for address, other in links.get(place, ()) if other == place)
    if key in _ENDS or sockets[key][0] not in READABLE:
        return
    for out, (kind, _) in sockets.items():
        if out != key and out not in _NOT_FILLED and kind in WRITABLE:
            for address, other in links.get((name, out), ()):
                if devices[other[0]][other[1]][0] in READABLE:
                    yield (name, out), address, other


def _points(endpoint: Endpoint) -> Iterable[Hashable]:
    """What an endpoint that binds and one that connects to it have in common; nothing where the system chooses."""
    if endpoint.is_wildcard:
        return ()
    if endpoint.transport == "tcp":
        host = (endpoint.host or "").strip("[]")
        return [(int(endpoint.port or 0), one) for one in _hosts(host, endpoint.binds)]
    if endpoint.transport == "ipc" and not endpoint.address.startswith("ipc://@"):
        return [("ipc", _whole(endpoint.address.removeprefix("ipc://")))]
    return [endpoint.address]


def _hosts(host: str, binds: bool) -> set[str]:
    """The host in one spelling, or both addresses of this host; ``*`` where every interface, or this host, is meant."""
    if binds and is_every_host(host):
        return {"*"}
    own = {"*"} if not binds else set()
    name = host.lower().rstrip(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return {"127.0.0.1", "::1"} | own
    if name == "lo" and binds:
        return {"127.0.0.1"}
    address = _address(host)
    if address is not None:
        return {str(address)} | (own if address.is_loopback else set())
    return {name} | (own if name == socket.gethostname().lower() else set())


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # As getaddrinfo(3) does: 127.1 is 127.0.0.1.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _whole(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:
        # The folder in which the process was started has gone.
        return os.path.normpath(path)


def _connects(devices: Mapping[str, Sockets], place: Place) -> bool:
    return any(not endpoint.binds for endpoint in devices[place[0]][place[1]][1])


def _shown(place: Place) -> str:
    return ".".join(place)
