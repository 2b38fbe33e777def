"""What one socket's rules have decided: how many peers they refused, and who was let in from which address.

libzmq asks who may connect, and tells of connections; which connection it asked for, it does not tell. Only the address
is in both. So a peer's user is known as long as all that were let in from its address were one user.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from ..engine.peertable import PeersSnapshot
from .decision import Denied, Request, Verdict
from .networks import without_mapping

MOST_ADDRESSES = 10_000
"""Of how many addresses it is kept who came from there; of the others it is not known."""

# No peer comes from here.
_NOWHERE = "?"


class Ledger:
    """What has been decided at one socket. Pure."""

    def __init__(self) -> None:
        self._denied: Counter[str] = Counter()
        # None where there were several.
        self._users: dict[str, str | None] = {}

    def note(self, request: Request | None, verdict: Verdict) -> None:
        """Keep what was decided. Does not yield.

        :param request: what was asked; None if it could not be understood.
        :param verdict: what was answered.
        """
        if isinstance(verdict, Denied):
            self._denied[verdict.reason.value] += 1
        elif request is not None:
            address = _plain(request.address)
            if address in self._users:
                self._users[address] = verdict.user if self._users[address] == verdict.user else None
            elif len(self._users) < MOST_ADDRESSES:
                self._users[address] = verdict.user

    def complete(self, peers: PeersSnapshot) -> PeersSnapshot:
        """The same `peers` with their users, where these are known, and with what was refused. Does not yield."""
        known = tuple(dataclasses.replace(one, user=self._users.get(_host(one.address))) for one in peers.peers)
        return dataclasses.replace(peers, peers=known, denied=dict(self._denied))


def _plain(address: str) -> str:
    """One text for each address; ``""`` over ipc."""
    try:
        return str(without_mapping(address))
    except ValueError:
        return address


def _host(address: str) -> str:
    """What `_plain` makes of a peer's address: ``host:port``, ``[host]:port``, or ``pid N`` over ipc."""
    if address.startswith("pid "):
        return ""
    host = address.rpartition(":")[0].strip("[]")
    return _plain(host) if host else _NOWHERE
