"""Who is connected, and who has to go for one more. Pure: no sockets, no time; the order says what is oldest."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from ...settings.checks import Network

_Key = TypeVar("_Key", bound=Hashable)


class Places(Generic[_Key]):
    """Places of clients, each of which may have so many.

    :param each: how many one client may have; one more costs it another one: the oldest that is idle, else the oldest.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._client_of: dict[_Key, str] = {}
        self._by_client: dict[str, dict[_Key, None]] = {}
        self._idle: set[_Key] = set()

    def __len__(self) -> int:
        return len(self._client_of)

    def enter(self, key: _Key, client: str) -> _Key | None:
        """Give `key` a place of `client`, and return which other one has to be ended for it. It is idle.

        A `key` that has a place of another client's loses that one.
        """
        if self._client_of.get(key) == client:
            return None
        self.leave(key)
        self._client_of[key] = client
        own = self._by_client.setdefault(client, {})
        own[key] = None
        self._idle.add(key)
        if len(own) <= self._each:
            return None
        others = [one for one in own if one != key]
        ended = next((one for one in others if one in self._idle), others[0])
        self.leave(ended)
        return ended

    def leave(self, key: _Key) -> None:
        """Take the place of `key`, if it has one."""
        client = self._client_of.pop(key, None)
        if client is None:
            return
        self._idle.discard(key)
        own = self._by_client[client]
        del own[key]
        if not own:
            del self._by_client[client]

    def set_idle(self, key: _Key, idle: bool) -> None:
        """Say whether `key` waits for a request. An idle one is ended first."""
        if not idle:
            self._idle.discard(key)
        elif key in self._client_of:
            self._idle.add(key)


def client_of(address: str) -> str:
    """What an IP `address` counts as: itself, or its /64 for IPv6, which is what one subscriber gets (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


class Proxies:
    """The proxies whose word is taken for who the client is.

    :param networks: where they are.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def trusts(self, address: str) -> bool:
        """Whether a trusted proxy is at this IP `address`."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None) or found
        return any(mapped in network for network in self._networks)

    def client(self, address: str, forwarded: Iterable[str]) -> str:
        """Who asks over a connection of a trusted proxy at `address`.

        :param forwarded: the values of its headers X-Forwarded-For. The last address counts, because the proxy itself
            has added it; a client can send any before. Where it is none, the proxy's own counts.
        """
        last = ",".join(forwarded).rpartition(",")[2].strip()
        if last.startswith("["):
            last = last[1:].partition("]")[0]
        elif last.count(":") == 1:
            last = last.partition(":")[0]
        try:
            ipaddress.ip_address(last)
        except ValueError:
            return client_of(address)
        return client_of(last)
