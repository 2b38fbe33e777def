"""What has become of the connections of one socket: counted, and told in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..engine.kept_off import KeptOff
from ..engine.peeraccount import PeerAccount
from ..engine.peertable import KEPT_OFF, LEGACY_ADVICE, ConnectingSnapshot, PeerSnapshot, PeersSnapshot
from ..engine.seldom import Seldom
from ..zmtp import socket_types
from ..zmtp.errors import Fault
from .contract import Ended
from .roster import Roster

if TYPE_CHECKING:
    from .contract import Side
    from .dialler import Dialler
    from .door import Refusal
    from .driver import Driver
    from .link import Link

OPTIONS = {
    Fault.TOO_LARGE: "max-message-size",
    Fault.UNFINISHED: "max-unfinished",
    Fault.TOO_MANY_PARTS: "max-parts",
    Fault.TOPIC_TOO_LONG: "max-topic-size",
    Fault.SLOW: "slow-subscriber",
    Fault.TOO_MANY_SUBSCRIPTIONS: "max-subscriptions",
    Fault.MEMORY: "memory-budget",
    Fault.REVOKED: "on-revoke",
}
"""The option that says so, where a peer is ended after its handshake."""


class Journal:
    """Keeps the counts of one socket, and tells its driver what the log is to say.

    :param driver: the device's.
    :param side: what the core makes of the socket.
    :param legacy_peers: whether peers of ZMTP 1.0 and 2.0 may connect; if not, the log says once how they could.
    """

    def __init__(self, driver: Driver, side: Side, *, legacy_peers: bool) -> None:
        self._driver = driver
        self._plan = side.plan
        self._roster = Roster()
        self._kept_off = KeptOff()
        self._seldom = Seldom()
        self._advice: Mapping[str, str] = {} if legacy_peers else LEGACY_ADVICE
        # Why each failed last, so that the log says it once.
        self._failures: dict[Dialler, str] = {}

    def connected(self, link: Link, mechanism: str, user: str | None) -> None:
        """The handshake of a `link` is through.

        :param link: the connection.
        :param mechanism: how the other end has shown who it is.
        :param user: who that is; None if it was not asked.
        """
        self._roster.connected(link.id, link.address, time.time(), mechanism, user)
        self._note(logging.DEBUG, "connected", endpoint=link.endpoint, peer=link.address)

    def peer(self, link: Link) -> PeerSnapshot | None:
        """Who is at the other end of a `link`; None if it has ended."""
        return self._roster.peer(link.id)

    def reached(self, dialler: Dialler) -> None:
        """The endpoint of a `dialler` is connected: its next failure is news again."""
        self._failures.pop(dialler, None)

    def handshake_failed(
        self, endpoint: str, address: str, reason: str, what: str, option: str = "", refusal: Refusal | None = None
    ) -> None:
        """A connection was ended before its handshake was through.

        :param endpoint: the endpoint that it came in at, or goes to.
        :param address: the other end.
        :param reason: what to count it by.
        :param what: one sentence about it.
        :param option: the option that says so; empty for none.
        :param refusal: the answer to who may connect, if that is why.
        """
        self._roster.failed(reason)
        if refusal is not None:
            self._roster.denied(refusal.reason)
        if refusal is not None and refusal.keys:
            self._denied(refusal)
            return
        keys = {"endpoint": endpoint, "peer": address, "reason": reason}
        if reason == Fault.WRONG_TYPE.value:
            keys |= socket_types.told(self._plan.type)
        elif reason == Fault.NOT_ZMTP.value:
            keys |= self._advice
            self._advice = {}
        if option:
            keys["option"] = option
        self._note(logging.WARNING, "handshake-failed", **keys, detail=what)

    def _denied(self, refusal: Refusal) -> None:
        left_out = self._seldom.line((refusal.keys.get("address"), refusal.reason), time.monotonic())
        if left_out is not None:
            more = {"left_out": str(left_out)} if left_out else {}
            self._note(logging.WARNING, "denied", **refusal.keys, reason=refusal.reason, **more)

    def on_request(self, link: Link) -> None:
        """The connection of a `link` is ended next, since it was asked for."""
        keys = {"endpoint": link.endpoint, "peer": link.address, "id": str(link.id)}
        self._note(logging.INFO, "disconnected-on-request", **keys)

    def ended(self, link: Link, why: Ended) -> None:
        """The connection of a `link` has ended, and `why`."""
        # A peer that dies in the middle of a message has done nothing wrong.
        fault = None if why.fault in (None, Fault.CUT) else why.fault
        self._roster.disconnected(link.id, None if fault is None else fault.value)
        keys = {"endpoint": link.endpoint, "peer": link.address}
        if fault is None:
            self._note(logging.DEBUG, "disconnected", **keys)
            return
        keys["reason"] = fault.value
        if fault in OPTIONS:
            keys["option"] = OPTIONS[fault]
        self._note(logging.WARNING, "cut-off", **keys, detail=why.what)

    def no_connection(self, dialler: Dialler, reason: str, delay_s: float | None) -> None:
        """A `dialler` has no connection, for `reason`.

        :param delay_s: the seconds until it tries again; None for never.
        """
        self._roster.retried()
        level = logging.DEBUG if self._failures.get(dialler) == reason else logging.WARNING
        self._failures[dialler] = reason
        keys = {"endpoint": dialler.endpoint.address, "reason": reason}
        if delay_s is not None:
            keys["in_s"] = f"{delay_s:.3g}"
        self._note(level, "connect-failed", **keys)

    def few_descriptors(self, ended: bool) -> None:
        """Few descriptors are free: a connection was `ended` since, or one waits to be accepted."""
        if ended:
            self._roster.failed(KEPT_OFF)
        if (keys := self._kept_off.line(ended, time.monotonic())) is not None:
            self._note(logging.WARNING, "kept-off", **keys)

    def snapshot(
        self, gone: Collection[int], connecting: tuple[ConnectingSnapshot, ...], accounts: Mapping[int, PeerAccount]
    ) -> PeersSnapshot:
        """Who is connected, and what has been counted.

        :param gone: the numbers of connections that have ended, and of which something is still to be read.
        :param connecting: the endpoints that are to be connected.
        :param accounts: what more is known of peers, by their number.
        """
        return self._roster.snapshot(gone, connecting, accounts)

    def _note(self, level: int, name: str, **keys: str) -> None:
        self._driver.tell(level, name, socket=self._plan.key, **keys)
