"""How many connections a socket lets in, together and from one address, and how long a handshake may take. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from .usage import Offence

TOO_MANY_PEERS = Offence("too_many_peers", "max-peers")
TOO_MANY_CONNECTIONS = Offence("too_many_connections", "max-connections-per-address")


@dataclass(frozen=True, slots=True)
class HandshakeTime:
    """How long a handshake may take at a socket.

    :ivar longest_s: in seconds; 0 for no limit.
    :ivar option: the option that says so, for the log.
    """

    longest_s: float = 30.0
    option: str = "handshake-timeout"


class PeerLimit:
    """Counts the connections that others have made to one socket, those within their handshake too.

    :param most: how many there may be; 0 for no limit.
    :param most_per_address: how many of one IP address; 0 for no limit. Loopback and ipc are not counted.
    """

    def __init__(self, most: int = 0, most_per_address: int = 0) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self._hosts: dict[Hashable, str] = {}
        self._per_host: Counter[str] = Counter()

    def come(self, connection: Hashable, address: str) -> Offence | None:
        """A `connection` from an `address` (``host:port``, or other text over ipc) has a place from now on.

        :returns: None; or what it exceeds, and then it has no place.
        """
        host = _remote_host(address)
        if self.most and len(self._hosts) >= self.most:
            return TOO_MANY_PEERS
        if self.most_per_address and host and self._per_host[host] >= self.most_per_address:
            return TOO_MANY_CONNECTIONS
        self._hosts[connection] = host
        self._per_host[host] += 1
        return None

    def leave(self, connection: Hashable) -> None:
        """A `connection` has ended. Its place is free, if it had one."""
        host = self._hosts.pop(connection, None)
        if host is not None:
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]


def _remote_host(address: str) -> str:
    """The host of an address that another machine has; empty for every other."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return "" if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return ""
