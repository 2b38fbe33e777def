"""What one socket's rules have decided: how many peers they refused, and who was let in from which address.

libzmq asks who may connect, and tells of connections; which connection it asked for, it does not tell. Only the address
is in both. So a peer's user is known as long as all that were let in from its address were one user. Where there was
no room to keep who came, that is kept: an address is *vague* then.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

from ..engine.grant import Grant
from ..engine.peertable import PeersSnapshot
from .decision import Denied, Pass, Request, Verdict
from .networks import without_mapping

MOST_ADDRESSES = 10_000
"""Of how many addresses it is kept who came from there; that there were others is kept too."""

_MOST_OF_ONE = 100
# By what a peer was let in, and what it may do.
Known = tuple[Pass, Grant | None]

# No peer comes from here.
_NOWHERE = "?"


class Ledger:
    """What has been decided at one socket. Pure."""

    def __init__(self) -> None:
        self._denied: Counter[str] = Counter()
        # By what peers were let in, by their address; None where there were too many.
        self._known: dict[str, dict[Known, None] | None] = {}
        # Whether peers were let in from addresses that are not among these.
        self._left_out = False

    def note(self, request: Request | None, verdict: Verdict) -> None:
        """Keep what was decided. Does not yield.

        :param request: what was asked; None if it could not be understood.
        :param verdict: what was answered.
        """
        if isinstance(verdict, Denied):
            self._denied[verdict.reason.value] += 1
        elif request is not None:
            address = _plain(request.address)
            if address not in self._known:
                if len(self._known) < MOST_ADDRESSES:
                    # Another one may have been let in from there before, and is not known any more.
                    self._known[address] = None if self._left_out else {}
                else:
                    self._left_out = True
            known = self._known.get(address)
            if known is not None:
                known[verdict.by or Pass(request.domain, request.address, verdict.user), verdict.grant] = None
                if len(known) > _MOST_OF_ONE:
                    self._known[address] = None

    def knows(self, address: str, is_meant: Callable[[Pass, Grant | None], bool]) -> bool:
        """Whether it is known that a peer was let in from the `address` of a connection by what `is_meant`.

        Does not yield.
        """
        return any(is_meant(*one) for one in list(self._known.get(_host(address)) or ()))

    def is_vague(self, address: str) -> bool:
        """Whether others may have been let in from the `address` of a connection than those that `knows` tells of.

        Does not yield.
        """
        host = _host(address)
        return self._known[host] is None if host in self._known else self._left_out

    def forget(self, is_meant: Callable[[Pass, Grant | None], bool], *, vague: bool) -> None:
        """Know nothing more of what `is_meant`, since all of its peers have been ended. Does not yield.

        :param vague: whether those have been ended too that are from addresses of which `is_vague` tells.
        """
        for address, known in list(self._known.items()):
            for one in [one for one in known or () if is_meant(*one)]:
                known.pop(one, None)  # type: ignore[union-attr]
            if not known and (vague or known is not None):
                del self._known[address]
        self._left_out = self._left_out and not vague

    def complete(self, peers: PeersSnapshot) -> PeersSnapshot:
        """The same `peers` with their users, where these are known, and with what was refused. Does not yield."""
        known = tuple(dataclasses.replace(one, user=self._user(_host(one.address))) for one in peers.peers)
        return dataclasses.replace(peers, peers=known, denied=dict(self._denied))

    def _user(self, host: str) -> str | None:
        """Who comes from a `host`, if that is one alone."""
        users = {by.user for by, _ in self._known.get(host) or ()}
        return users.pop() if len(users) == 1 else None


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
