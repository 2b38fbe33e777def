"""From which addresses peers may connect."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from ..settings.checks import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Networks:
    """Rules for the addresses of peers. A network that is denied wins over one that is allowed.

    A peer over ipc or inproc has no address: it is let in, since who may open an ipc file is what the file's
    permissions say. IPv4 written as IPv6 (``::ffff:10.0.0.1``) is IPv4, in addresses and in networks.

    :ivar allow: where peers may be; empty for everywhere.
    :ivar deny: where peers may not be.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a rule."""
        return bool(self.allow or self.deny)

    def allows(self, address: str) -> bool:
        """Whether a peer at `address` may connect. Does not yield.

        :param address: an IP address without a port, or ``""`` for a peer over ipc. Any other text is not let in where
            there is a rule.
        """
        if not self or not address:
            return True
        try:
            found = without_mapping(address)
        except ValueError:
            return False
        if any(_contains(network, found) for network in self.deny):
            return False
        return not self.allow or any(_contains(network, found) for network in self.allow)


def without_mapping(text: str) -> Address:
    """The address that `text` is; IPv4 that is written as IPv6 is IPv4. Does not yield.

    :raises ValueError: if it is none.
    """
    # What follows a % is the interface of a link-local address.
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def covers_a_family(networks: Iterable[Network]) -> bool:
    """Whether `networks` are together every address of IPv4 or of IPv6. Does not yield."""
    known = [_unmapped(one) for one in networks]
    of_ipv4 = (one for one in known if isinstance(one, ipaddress.IPv4Network))
    of_ipv6 = (one for one in known if isinstance(one, ipaddress.IPv6Network))
    collapsed: list[Network] = [*ipaddress.collapse_addresses(of_ipv4), *ipaddress.collapse_addresses(of_ipv6)]
    return any(one.prefixlen == 0 for one in collapsed)


def _contains(network: Network, address: Address) -> bool:
    # ::ffff:0:0/96 and what is in it are IPv4; a larger network, such as ::/0, is IPv6 alone.
    network = _unmapped(network)
    return network.version == address.version and address in network


def _unmapped(network: Network) -> Network:
    """The same `network`; one of IPv4 that is written as IPv6 is IPv4."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))


_MAPPED_BITS = 96
