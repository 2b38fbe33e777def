"""Where connections come into one socket: within its limits, through their handshakes, past its doorkeeper."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent

from ..engine import connections
from ..engine.grant import Grant
from ..engine.handshake_failures import TOO_SLOW
from ..engine.peerlimit import PeerLimit
from ..zmtp import events
from ..zmtp.bounds import Bounds
from ..zmtp.connection import Connection
from ..zmtp.errors import Fault
from ..zmtp.mechanism import Null
from .door import Admit, Answer, Doorkeeper, Entry, Refusal
from .handshake import Handshake
from .transport import close, reset

if TYPE_CHECKING:
    from .contract import Side
    from .dialler import Dialler
    from .driver import Driver
    from .journal import Journal
    from .terms import Terms

# A handshake has no messages: what comes before it is over is no larger than a command.
_HANDSHAKE_BOUNDS = Bounds(frame_bytes=64 << 10, message_bytes=64 << 10)

FORBIDDEN = "forbidden"
"""Why a connection was not let in whose peer would be given messages that it has no right to."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that has come in.

    :ivar socket: the connection.
    :ivar peer: the other end, as its handshake has told.
    :ivar rest: what has come after the handshake.
    :ivar mechanism: the name of the mechanism.
    :ivar user: who the other end is; empty for a peer without a name.
    :ivar asked: whether it was asked who that is.
    :ivar grant: what it may do.
    :ivar endpoint: the endpoint that it came in at, or goes to.
    :ivar address: the other end's.
    :ivar dialler: what has made the connection; None if the other end has.
    :ivar still: whether it would be let in now, with the same rights; None where it is not asked.
    """

    socket: Any
    peer: events.Peer
    rest: bytes
    mechanism: str
    user: str
    asked: bool
    grant: Grant
    endpoint: str
    address: str
    dialler: Dialler | None
    still: Callable[[], bool] | None = None


class Entrance:
    """Takes new connections of one socket until they are in, or are ended. Nothing here yields.

    :param driver: the device's, which knows when time is up.
    :param side: what the core makes of the socket.
    :param terms: on what terms it has connections.
    :param journal: is told which connections have come to nothing.
    :param on_arrival: gets each connection that is in; `leave` is called when that has ended.
    """

    def __init__(
        self, driver: Driver, side: Side, terms: Terms, journal: Journal, on_arrival: Callable[[Arrival], None]
    ) -> None:
        self._driver = driver
        self._plan = side.plan
        self._terms = terms
        self._journal = journal
        self._on_arrival = on_arrival
        self._handshakes: set[Handshake] = set()
        self._limit = PeerLimit(terms.most_peers, terms.most_per_address)
        self._keeper = Doorkeeper(terms.door.admit)

    @property
    def admit(self) -> Admit | None:
        """Who decides who may come in; it may be replaced while this runs, for those who come then."""
        return self._keeper.admit

    @admit.setter
    def admit(self, admit: Admit | None) -> None:
        """Have `admit` decide from now on."""
        self._keeper.admit = admit

    def leave(self, socket: Any) -> None:
        """The connection `socket`, which had come in, is to be closed: another may come in for it."""
        self._limit.leave(socket)

    def close(self) -> None:
        """End each connection that is not in yet. May be called twice."""
        for handshake in list(self._handshakes):
            self._handshakes.discard(handshake)
            handshake.close()
            self._limit.leave(handshake.socket)
            handshake.socket.close()

    def shake(self, socket: Any, *, endpoint: str, dialler: Dialler | None = None) -> None:
        """Begin the handshake of a new connection, or end it at once if it may not come in.

        :param socket: the connection, which does not block.
        :param endpoint: the endpoint that it came in at, or goes to.
        :param dialler: what has made the connection; None if the other end has.
        """
        connection = self._connection(connects=dialler is not None)
        # Of a connection that was reset, the kernel does not tell it any more.
        address = connections.address(socket.fileno())
        offence = self._limit.come(socket, address) if dialler is None else None
        if offence is not None:
            reset(socket)
            self._journal.handshake_failed(endpoint, address, offence.reason, "it was not let in", offence.option)
            return
        entry: Answer = Entry()
        if dialler is None and self._terms.door.accepting is Null:
            entry = self._keeper.ask(events.Credentials(Null.name), ip_address(address))
        if isinstance(entry, Refusal):
            self._limit.leave(socket)
            reset(socket)
            self._journal.handshake_failed(endpoint, address, entry.reason, entry.what, refusal=entry)
            return
        on_end = functools.partial(self._on_shaken, endpoint=endpoint, address=address, dialler=dialler)
        handshake = Handshake(socket, connection, on_end, functools.partial(self._ask, ip_address(address)))
        handshake.entry = entry
        self._handshakes.add(handshake)
        if self._terms.handshake.longest_s:
            # It is not kept until then: strangers could have failed ones fill the memory.
            expire = functools.partial(self._expire, weakref.ref(handshake))
            self._driver.later(self._terms.handshake.longest_s, expire)
        if dialler is None and self._terms.refresh is not None:
            handshake.wait_for(gevent.spawn(self._start_refreshed, self._terms.refresh, handshake))
        else:
            handshake.start()

    def _start_refreshed(self, refresh: Callable[[], None], handshake: Handshake) -> None:
        refresh()
        handshake.start()

    def _connection(self, *, connects: bool) -> Connection:
        door = self._terms.door
        return Connection(
            self._plan.type,
            self._terms.routing_id,
            mechanism=door.connecting if connects else door.accepting,
            legacy_peers=self._terms.legacy_peers,
            bounds=_HANDSHAKE_BOUNDS,
        )

    def _ask(self, address: str, handshake: Handshake, credentials: events.Credentials) -> None:
        if self._keeper.admit is None:
            handshake.answer(Entry())
        else:
            handshake.wait_for(self._keeper.check(credentials, address, handshake.answer))

    def _expire(self, one: weakref.ref[Handshake]) -> None:
        handshake = one()
        if handshake is not None and not handshake.over:
            handshake.fail(TOO_SLOW, f"the handshake was not over in {self._terms.handshake.longest_s:g} s")

    def _on_shaken(self, handshake: Handshake, endpoint: str, address: str, dialler: Dialler | None) -> None:
        self._handshakes.discard(handshake)
        socket = handshake.socket
        if handshake.peer is None:
            self._limit.leave(socket)
            # The other end has to read why.
            close(socket) if handshake.refused else socket.close()
            option = self._terms.handshake.option if handshake.reason == TOO_SLOW else ""
            self._journal.handshake_failed(
                endpoint, address, handshake.reason, handshake.what, option, handshake.refusal
            )
            if dialler is not None:
                dialler.lost(handshake.what)
            return
        if handshake.entry.still is not None and not handshake.entry.still():
            # Other rules have come within its handshake.
            self._limit.leave(socket)
            socket.close()
            what = "what its peer was let in by counts no more"
            self._journal.handshake_failed(endpoint, address, Fault.REVOKED.value, what)
            return
        user, asked = handshake.entry.user, dialler is None and self._keeper.admit is not None
        grant = self._grant(handshake.entry, connects=dialler is not None)
        if grant is None:
            self._limit.leave(socket)
            socket.close()
            what = "its peer has no right to take messages here"
            self._journal.handshake_failed(endpoint, address, FORBIDDEN, what, "rights")
            return
        peer, rest, mechanism = handshake.peer, handshake.rest, handshake.mechanism
        still = None if dialler is not None else functools.partial(self._still, handshake.entry, grant)
        self._on_arrival(Arrival(socket, peer, rest, mechanism, user, asked, grant, endpoint, address, dialler, still))

    def _still(self, entry: Entry, grant: Grant) -> bool:
        """Whether the peer of an `entry` would be let in now, with the same `grant`."""
        return (entry.still is None or entry.still()) and self._grant(entry, connects=False) == grant

    def _grant(self, entry: Entry, *, connects: bool) -> Grant | None:
        """What the peer of an `entry` may do; None if it must not connect. `connects` is whether this end does."""
        if entry.grant is not None or connects or self._terms.grant is None:
            return entry.grant or Grant()
        return self._terms.grant(entry.user)


def ip_address(address: str) -> str:
    """The IP address alone in an `address` of `connections.address`; ``""`` over ipc. Does not yield."""
    if address.startswith("pid "):
        return ""
    return address.rpartition(":")[0].strip("[]") or address
