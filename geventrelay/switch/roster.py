"""Who is connected to one socket, exactly, and which connections came to nothing. Time is an argument."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping

from ..engine.peeraccount import PeerAccount
from ..engine.peertable import ConnectingSnapshot, PeerSnapshot, PeersSnapshot


class Roster:
    """The peers of one socket, and counts of what has become of connections."""

    def __init__(self) -> None:
        self._peers: dict[int, PeerSnapshot] = {}
        self._connected = self._disconnected = self._retries = 0
        self._handshake_failures: Counter[str] = Counter()
        self._cut_off: Counter[str] = Counter()
        self._denied: Counter[str] = Counter()

    def connected(
        self, number: int, address: str, now: float, mechanism: str = "NULL", user: str | None = None
    ) -> None:
        """A handshake is through.

        :param number: tells the connection from all others.
        :param address: the other end.
        :param now: Unix time, in seconds.
        :param mechanism: how it has shown who it is.
        :param user: who that is; None if it was not asked.
        """
        self._connected += 1
        self._peers[number] = PeerSnapshot(address, now, mechanism, user=user)

    def disconnected(self, number: int, fault: str | None) -> None:
        """A connection has ended whose handshake was through.

        :param number: as in `connected`.
        :param fault: what its peer has done wrong; None if nothing.
        """
        if self._peers.pop(number, None) is not None:
            self._disconnected += 1
            if fault is not None:
                self._cut_off[fault] += 1

    def peer(self, number: int) -> PeerSnapshot | None:
        """The connection with this `number`, as in `connected`; None if it is not there."""
        return self._peers.get(number)

    def failed(self, reason: str) -> None:
        """A handshake has failed for `reason`."""
        self._handshake_failures[reason] += 1

    def denied(self, reason: str) -> None:
        """A peer was refused for `reason`; its handshake fails."""
        self._denied[reason] += 1

    def retried(self) -> None:
        """Connecting was tried again."""
        self._retries += 1

    def snapshot(
        self,
        gone: Collection[int],
        connecting: tuple[ConnectingSnapshot, ...],
        accounts: Mapping[int, PeerAccount],
    ) -> PeersSnapshot:
        """Who is there now, the longest first, and what has been counted.

        :param gone: the numbers of connections that have ended, and of which something is still to be read.
        :param connecting: the endpoints that are to be connected.
        :param accounts: what more is known of peers, by their number.
        """
        peers = self._peers.items()
        found = (dataclasses.replace(one, certain=False) if key in gone else one for key, one in peers)
        if accounts:
            keyed = zip(self._peers, found, strict=True)
            found = (dataclasses.replace(one, account=accounts.get(key)) for key, one in keyed)
        return PeersSnapshot(
            peers=tuple(found),
            connecting=connecting,
            connected_total=self._connected,
            disconnected_total=self._disconnected,
            handshake_failures=dict(self._handshake_failures),
            cut_off=dict(self._cut_off),
            denied=dict(self._denied),
            retries=self._retries,
        )
