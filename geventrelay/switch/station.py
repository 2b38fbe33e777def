"""One socket of a device: where it listens and connects, and its connections."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any

from ..endpoints import Endpoint
from ..engine import connections
from ..engine.counters import Drop
from ..engine.peertable import ConnectingSnapshot, PeersSnapshot
from ..engine.useraccount import UserAccounts
from ..zmtp.errors import Fault
from ..zmtp.greeting import Version
from ..zmtp.socket_types import TO_SUBSCRIBERS
from .accounts import accounts_of, moved_by
from .contract import Ended, Peer, Side
from .dialler import Dialler
from .door import Admit
from .entrance import Arrival, Entrance
from .journal import Journal
from .link import Link
from .listener import Listener
from .pulse import Heartbeat
from .rates import Rates
from .subscribers import Subscriber, Subscribers, SubscribersSnapshot
from .terms import Terms
from .transport import close

if TYPE_CHECKING:
    from .contract import Way
    from .driver import Driver


class Station:
    """The listeners, endpoints, handshakes and connections of one socket. Nothing here yields unless it says so.

    :param driver: the device's.
    :param side: what the core makes of this socket.
    :param terms: on what terms it has connections.
    :ivar way: where the messages go that it reads; None if it is only written to.
    :ivar paused: whether nothing is read.
    :ivar left_unread: whether a connection was ended with something unread.
    """

    def __init__(self, driver: Driver, side: Side, terms: Terms) -> None:
        self.driver = driver
        self.side = side
        self.way: Way | None = None
        self.paused = False
        self.left_unread = False
        self._terms = terms
        self._listeners: list[Listener] = []
        self._diallers: dict[Dialler, Peer] = {}
        self._callers: dict[Peer, Dialler] = {}
        # By their number.
        self._links: dict[int, Link] = {}
        self._users = UserAccounts()
        self._journal = Journal(driver, side, legacy_peers=terms.legacy_peers)
        self._subscribers = None
        if side.plan.type in TO_SUBSCRIBERS:
            self._subscribers = Subscribers(self._journal, by_topic=side.plan.topics is not None)
        self._rates = Rates(driver.core.rate, terms.rate, terms.rate_per)
        self._entrance = Entrance(driver, side, terms, self._journal, self._on_arrival)

    @property
    def bound(self) -> list[str]:
        """Where it listens."""
        return [listener.address for listener in self._listeners]

    @property
    def admit(self) -> Admit | None:
        """Who decides who may come in; it may be replaced while this runs, for those who come then."""
        return self._entrance.admit

    @admit.setter
    def admit(self, admit: Admit | None) -> None:
        """Have `admit` decide from now on."""
        self._entrance.admit = admit

    def listen(self, socket: Any, address: str) -> None:
        """Accept connections at a listening `socket`, which is closed with this.

        :param address: where that is, as an endpoint is written.
        """
        listener = Listener(
            socket,
            address,
            self._terms.transport,
            functools.partial(self._entrance.shake, endpoint=address),
            self._journal.few_descriptors,
            self.driver.later,
        )
        self._listeners.append(listener)
        listener.start()

    def connect(self, endpoint: Endpoint) -> None:
        """Keep `endpoint` connected from now on."""
        dialler = Dialler(
            endpoint,
            self._terms.transport,
            self._terms.redial,
            ipv6=self._terms.ipv6,
            on_connect=lambda socket, one: self._entrance.shake(socket, endpoint=endpoint.address, dialler=one),
            on_failure=self._journal.no_connection,
        )
        self._add_caller(dialler)
        dialler.start()

    def stop_listening(self) -> None:
        """Accept no more connections; those that are there go on."""
        while self._listeners:
            self._listeners.pop().close()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.paused = True
        for link in self._links.values():
            link.pause()

    def resume(self) -> None:
        """Go on reading after `pause`."""
        if self.paused:
            self.paused = False
            for link in self._links.values():
                link.resume()

    def finish(self) -> None:
        """Take in nothing new: read what has come by now, and end each connection then."""
        self.stop_listening()
        for dialler in self._diallers:
            dialler.stop()
        self._entrance.close()
        for link in list(self._links.values()):
            link.finish()

    def discard(self, until: float) -> bool:
        """Read what has come by now, for the account alone, since the way is stopped; whether that is all of it.

        :param until: when to stop at the latest, by `time.monotonic`.
        """
        return all(link.discard(until) for link in list(self._links.values()))

    @property
    def at_rest(self) -> bool:
        """Whether all that has come has been moved."""
        return all(link.at_rest for link in self._links.values())

    @property
    def has_written(self) -> bool:
        """Whether nothing waits for a peer any more."""
        waits = any(peer.counts().waiting for peer in self._callers)
        return not waits and all(link.has_written for link in self._links.values())

    def snapshot(self, *, accounts: bool = False) -> PeersSnapshot:
        """Who is connected, and what has been counted.

        :param accounts: whether to tell all of each peer, of the first `MOST_ACCOUNTS`; this yields.
        """
        known = accounts_of(self._links.values()) if accounts else {}
        # What is not read is not heard to end either.
        unread = (link for link in self._links.values() if link.blocked or self.paused)
        gone = {link.id for link in unread if connections.has_ended(link.number)}
        connecting = tuple(self._connecting(dialler, peer) for dialler, peer in self._diallers.items())
        present = moved_by(self._links.values()) if accounts else []
        users = self._users.all(present) if accounts or not self._links else None
        return dataclasses.replace(self._journal.snapshot(gone, connecting, known), users=users)

    def subscribers(self) -> SubscribersSnapshot | None:
        """What each subscriber has got and lost, also of those that have left; None of another type of socket. Yields.

        While it yields, messages go on: each subscriber is told at its own moment.
        """
        if self._subscribers is None:
            return None
        away = {peer: one.endpoint.address for peer, one in self._callers.items() if peer not in self.driver.links}
        found = self._subscribers.snapshot(self._links.values(), away) if self._links or away else []
        return self._subscribers.all(self.side.counts(), len(self._links) + len(away), found)

    def _connecting(self, dialler: Dialler, peer: Peer) -> ConnectingSnapshot:
        return ConnectingSnapshot(
            dialler.endpoint.address,
            peer in self.driver.links,
            dialler.tries,
            dialler.last_failure or None,
            dialler.failed_at,
            peer.counts().waiting,
        )

    def disconnect(self, id: int) -> bool:
        """End the connection with this `id`; whether it was there. It may come again.

        What waits for its peer is lost, `Drop.BY_REQUEST`, but not where this end connects: then it connects again.
        """
        link = self._links.get(id)
        if link is None:
            return False
        self._journal.on_request(link)
        self.ended(link, Ended(None, "it was disconnected on request"), Drop.BY_REQUEST)
        self.driver.after_move()
        return True

    def end_revoked(self) -> None:
        """End each connection that would not be let in now, or would have other rights."""
        for link in list(self._links.values()):
            if link.still is not None and not link.still():
                self.ended(link, Ended(Fault.REVOKED, "it would not be let in now, or would have other rights"))
        self.driver.after_move()

    def ended(self, link: Link, why: Ended | None, lost: Drop = Drop.LEFT) -> None:
        """The connection of a `link` has ended, or is to end, and `why`.

        :param lost: why what waits for its peer is lost then; an endpoint that connects keeps it.
        """
        if link.closed:
            return
        why = why or Ended(None, "the connection has ended")
        leaving = None if self._subscribers is None else self._subscribers.leaving(link)
        self.left_unread = self.left_unread or link.unread > 0
        link.close()
        link.peer.detach()
        if link.user:
            self._users.leave(link.user, link.moved())
        self._entrance.leave(link.socket)
        self._rates.leave(link.user)
        close(link.socket)
        del self._links[link.id]
        self.driver.links.pop(link.peer, None)
        self._journal.ended(link, why)
        dialler = self._callers.get(link.peer)
        if dialler is None:
            self._remove(link.peer, lost, leaving)
        else:
            if self._terms.immediate:
                # Its queue goes with the connection, as in libzmq (session_base_t::reconnect).
                self._remove(link.peer, lost, leaving)
                del self._callers[link.peer]
                self._add_caller(dialler)
            dialler.lost(why.what)
        self.driver.after_end()

    def close(self) -> None:
        """End everything. Yields; may be called twice."""
        self.stop_listening()
        for dialler in list(self._diallers):
            dialler.close()
        self._entrance.close()
        for link in list(self._links.values()):
            self.ended(link, Ended(None, "the device stops"), Drop.STOPPED)
        while self._callers:
            peer, dialler = self._callers.popitem()
            address = dialler.endpoint.address
            leaving = None if self._subscribers is None else self._subscribers.away(peer, address)
            self._remove(peer, Drop.STOPPED, leaving)

    def _remove(self, peer: Peer, lost: Drop, leaving: Subscriber | None) -> None:
        self.side.remove(peer, lost)
        if self._subscribers is not None:
            self._subscribers.left(peer, leaving)

    def _add_caller(self, dialler: Dialler) -> None:
        peer = self.side.new_peer(queues_before=not self._terms.immediate)
        self._diallers[dialler], self._callers[peer] = peer, dialler

    def _on_arrival(self, arrival: Arrival) -> None:
        dialler = arrival.dialler
        peer = self.side.new_peer(queues_before=False) if dialler is None else self._diallers[dialler]
        known_as = arrival.peer
        if not self._terms.knows_by_routing_id:
            known_as = dataclasses.replace(known_as, routing_id=b"")
        peer.attach(arrival.socket.fileno(), known_as, arrival.rest, arrival.grant)
        rate = self._rates.come(arrival.user, time.monotonic())
        link = Link(
            arrival.socket,
            peer,
            self,
            arrival.endpoint,
            arrival.address,
            arrival.peer,
            arrival.user,
            rate,
            arrival.grant,
        )
        link.still = arrival.still
        if arrival.user:
            self._users.come(arrival.user)
        self._links[link.id] = self.driver.links[peer] = link
        self._journal.connected(link, arrival.mechanism, arrival.user if arrival.asked else None)
        if dialler is not None:
            dialler.reached()
            self._journal.reached(dialler)
        # Peers of ZMTP 3.0 need not know PING.
        link.start(self._terms.heartbeat if arrival.peer.version is Version.V3_1 else Heartbeat())
        self.driver.after_move()
