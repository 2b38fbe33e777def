"""One socket of a device: where it listens and connects, and its connections."""

from __future__ import annotations

import functools
import logging
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..endpoints import Endpoint
from ..engine import connections
from ..engine.counters import Drop
from ..engine.fair import FairYield
from ..engine.grant import Grant
from ..engine.kept_off import KeptOff
from ..engine.peeraccount import ACCOUNTS_AT_A_TIME, MOST_ACCOUNTS, PeerAccount
from ..engine.peerlimit import HandshakeTime, PeerLimit
from ..engine.peertable import KEPT_OFF, LEGACY_ADVICE, TOO_SLOW, ConnectingSnapshot, PeersSnapshot
from ..zmtp import events, socket_types
from ..zmtp.bounds import Bounds
from ..zmtp.connection import Connection
from ..zmtp.errors import Fault
from ..zmtp.greeting import Version
from ..zmtp.mechanism import Null
from .contract import Ended, Peer, Side
from .dialler import Dialler, Redial
from .door import Admit, Answer, Door, Doorkeeper, Entry, Refusal
from .handshake import Handshake
from .link import Link
from .listener import Listener
from .pulse import Heartbeat
from .roster import Roster
from .transport import Transport, close, reset

if TYPE_CHECKING:
    from .contract import Way
    from .driver import Driver

# A handshake has no messages: what comes before it is over is no larger than a command.
_HANDSHAKE_BOUNDS = Bounds(frame_bytes=64 << 10, message_bytes=64 << 10)

OPTIONS = {
    Fault.TOO_LARGE: "max-message-size",
    Fault.UNFINISHED: "max-unfinished",
    Fault.TOO_MANY_PARTS: "max-parts",
    Fault.TOPIC_TOO_LONG: "max-topic-size",
    Fault.SLOW: "slow-subscriber",
    Fault.TOO_MANY_SUBSCRIPTIONS: "max-subscriptions",
    Fault.MEMORY: "memory-budget",
}
"""The option that says so, where a peer is ended after its handshake."""

FORBIDDEN = "forbidden"
"""Why a connection was not let in whose peer would be given messages that it has no right to."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a socket has connections.

    :ivar transport: how they are set up.
    :ivar handshake: how long a handshake may take.
    :ivar routing_id: what it calls itself.
    :ivar legacy_peers: whether peers of ZMTP 1.0 and 2.0 may connect.
    :ivar heartbeat: how it is found out whether peers of ZMTP 3.1 are alive.
    :ivar immediate: whether an endpoint that connects takes messages only while it is connected.
    :ivar ipv6: whether IPv6 goes first for names that have both.
    :ivar redial: when to connect again.
    :ivar most_peers: how many connections are let in; 0 for no limit.
    :ivar most_per_address: how many of one address; 0 for no limit.
    :ivar door: which mechanism handshakes have, and who decides who may come in.
    :ivar grant: what a user may do that has connected to it, or None for one that must not connect; an empty name is a
        peer without one. None lets each peer do everything, as those do to which it connects itself.
    """

    transport: Transport = field(default_factory=Transport)
    handshake: HandshakeTime = field(default_factory=HandshakeTime)
    routing_id: bytes = b""
    legacy_peers: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    immediate: bool = False
    ipv6: bool = False
    redial: Redial = field(default_factory=Redial)
    most_peers: int = 0
    most_per_address: int = 0
    door: Door = field(default_factory=Door)
    grant: Callable[[str], Grant | None] | None = None


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
        # Why each failed last, so that the log says it once.
        self._failures: dict[Dialler, str] = {}
        self._handshakes: set[Handshake] = set()
        self._limit = PeerLimit(terms.most_peers, terms.most_per_address)
        self._links: dict[Peer, Link] = {}
        self._roster = Roster()
        self._kept_off = KeptOff()
        self._keeper = Doorkeeper(terms.door.admit)
        self._advice: Mapping[str, str] = {} if terms.legacy_peers else LEGACY_ADVICE

    @property
    def bound(self) -> list[str]:
        """Where it listens."""
        return [listener.address for listener in self._listeners]

    def listen(self, socket: Any, address: str) -> None:
        """Accept connections at a listening `socket`, which is closed with this.

        :param address: where that is, as an endpoint is written.
        """
        listener = Listener(
            socket,
            address,
            self._terms.transport,
            functools.partial(self._shake, endpoint=address),
            self._on_few_descriptors,
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
            on_connect=lambda socket, one: self._shake(socket, endpoint=endpoint.address, dialler=one),
            on_failure=self._on_no_connection,
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
        for handshake in list(self._handshakes):
            self._drop(handshake)
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
        known = self._accounts() if accounts else {}
        # What is not read is not heard to end either.
        unread = (link for link in self._links.values() if link.blocked or self.paused)
        gone = {link.id for link in unread if connections.has_ended(link.number)}
        connecting = tuple(self._connecting(dialler, peer) for dialler, peer in self._diallers.items())
        return self._roster.snapshot(gone, connecting, known)

    def _accounts(self) -> dict[int, PeerAccount]:
        found: dict[int, PeerAccount] = {}
        with FairYield() as turn:
            for link in list(self._links.values())[:MOST_ACCOUNTS]:
                found[link.id] = link.account(time.monotonic())
                if len(found) % ACCOUNTS_AT_A_TIME == 0:
                    turn.wait()
        return found

    def _connecting(self, dialler: Dialler, peer: Peer) -> ConnectingSnapshot:
        return ConnectingSnapshot(
            dialler.endpoint.address,
            peer in self._links,
            dialler.tries,
            dialler.last_failure or None,
            dialler.failed_at,
            peer.counts().waiting,
        )

    def disconnect(self, id: int) -> bool:
        """End the connection with this `id`; whether it was there. It may come again.

        What waits for its peer is lost, `Drop.BY_REQUEST`, but not where this end connects: then it connects again.
        """
        link = next((one for one in self._links.values() if one.id == id), None)
        if link is None:
            return False
        self._note(logging.INFO, "disconnected-on-request", endpoint=link.endpoint, peer=link.address, id=str(id))
        self.ended(link, Ended(None, "it was disconnected on request"), Drop.BY_REQUEST)
        self.driver.after_move()
        return True

    def ended(self, link: Link, why: Ended | None, lost: Drop = Drop.LEFT) -> None:
        """The connection of a `link` has ended, or is to end, and `why`.

        :param lost: why what waits for its peer is lost then; an endpoint that connects keeps it.
        """
        if link.closed:
            return
        why = why or Ended(None, "the connection has ended")
        self.left_unread = self.left_unread or link.unread > 0
        link.close()
        link.peer.detach()
        self._limit.leave(link.socket)
        close(link.socket)
        del self._links[link.peer]
        self.driver.links.pop(link.peer, None)
        self._tell_end(link, why)
        dialler = self._callers.get(link.peer)
        if dialler is None:
            self.side.remove(link.peer, lost)
        else:
            if self._terms.immediate:
                # Its queue goes with the connection, as in libzmq (session_base_t::reconnect).
                self.side.remove(link.peer, lost)
                del self._callers[link.peer]
                self._add_caller(dialler)
            dialler.lost(why.what)
        self.driver.after_end()

    def close(self) -> None:
        """End everything. Yields; may be called twice."""
        self.stop_listening()
        for dialler in list(self._diallers):
            dialler.close()
        for handshake in list(self._handshakes):
            self._drop(handshake)
        for link in list(self._links.values()):
            self.ended(link, Ended(None, "the device stops"), Drop.STOPPED)
        while self._callers:
            peer, _ = self._callers.popitem()
            self.side.remove(peer, Drop.STOPPED)

    def _add_caller(self, dialler: Dialler) -> None:
        peer = self.side.new_peer(queues_before=not self._terms.immediate)
        self._diallers[dialler], self._callers[peer] = peer, dialler

    def _shake(self, socket: Any, *, endpoint: str, dialler: Dialler | None = None) -> None:
        terms = self._terms
        mechanism = terms.door.connecting if dialler else terms.door.accepting
        connection = Connection(
            self.side.plan.type,
            terms.routing_id,
            mechanism=mechanism,
            legacy_peers=terms.legacy_peers,
            bounds=_HANDSHAKE_BOUNDS,
        )
        # Of a connection that was reset, the kernel does not tell it any more.
        address = connections.address(socket.fileno())
        offence = self._limit.come(socket, address) if dialler is None else None
        if offence is not None:
            reset(socket)
            self._fail(endpoint, address, offence.reason, "it was not let in", offence.option)
            return
        entry: Answer = Entry()
        if dialler is None and mechanism is Null:
            entry = self._keeper.ask(events.Credentials(Null.name), ip_address(address))
        if isinstance(entry, Refusal):
            self._limit.leave(socket)
            reset(socket)
            self._fail(endpoint, address, entry.reason, entry.what, refusal=entry)
            return
        on_end = functools.partial(self._on_shaken, endpoint=endpoint, address=address, dialler=dialler)
        handshake = Handshake(socket, connection, on_end, functools.partial(self._ask, ip_address(address)))
        handshake.entry = entry
        self._handshakes.add(handshake)
        if terms.handshake.longest_s:
            # It is not kept until then: strangers could have failed ones fill the memory.
            self.driver.later(terms.handshake.longest_s, functools.partial(self._expire, weakref.ref(handshake)))
        handshake.start()

    def _ask(self, address: str, handshake: Handshake, credentials: events.Credentials) -> None:
        if self._keeper.admit is None:
            handshake.answer(Entry())
        else:
            handshake.wait_for(self._keeper.check(credentials, address, handshake.answer))

    def _expire(self, one: weakref.ref[Handshake]) -> None:
        handshake = one()
        if handshake is not None and not handshake.over:
            handshake.fail(TOO_SLOW, f"the handshake was not over in {self._terms.handshake.longest_s:g} s")

    def _drop(self, handshake: Handshake) -> None:
        self._handshakes.discard(handshake)
        handshake.close()
        self._limit.leave(handshake.socket)
        handshake.socket.close()

    def _on_shaken(self, handshake: Handshake, endpoint: str, address: str, dialler: Dialler | None) -> None:
        self._handshakes.discard(handshake)
        if handshake.peer is None:
            self._limit.leave(handshake.socket)
            # The other end has to read why.
            close(handshake.socket) if handshake.refused else handshake.socket.close()
            option = self._terms.handshake.option if handshake.reason == TOO_SLOW else ""
            self._fail(endpoint, address, handshake.reason, handshake.what, option, handshake.refusal)
            if dialler is not None:
                dialler.lost(handshake.what)
            return
        entry = handshake.entry
        grant = self._grant(entry, connects=dialler is not None)
        if grant is None:
            self._limit.leave(handshake.socket)
            handshake.socket.close()
            self._fail(endpoint, address, FORBIDDEN, "its peer has no right to take messages here", "rights")
            return
        peer = self.side.new_peer(queues_before=False) if dialler is None else self._diallers[dialler]
        peer.attach(handshake.socket.fileno(), handshake.peer, handshake.rest, grant)
        link = Link(handshake.socket, peer, self, endpoint, address, handshake.peer, entry.user)
        self._links[peer] = self.driver.links[peer] = link
        asked = dialler is None and self._keeper.admit is not None
        self._roster.connected(link.id, address, time.time(), handshake.mechanism, entry.user if asked else None)
        self._note(logging.DEBUG, "connected", endpoint=endpoint, peer=address)
        if dialler is not None:
            dialler.reached()
            self._failures.pop(dialler, None)
        # Peers of ZMTP 3.0 need not know PING.
        link.start(self._terms.heartbeat if handshake.peer.version is Version.V3_1 else Heartbeat())
        self.driver.after_move()

    def _grant(self, entry: Entry, *, connects: bool) -> Grant | None:
        """What the peer of an `entry` may do; None if it must not connect. `connects` is whether this end does."""
        if entry.grant is not None or connects or self._terms.grant is None:
            return entry.grant or Grant()
        return self._terms.grant(entry.user)

    def _on_few_descriptors(self, ended: bool) -> None:
        if ended:
            self._roster.failed(KEPT_OFF)
        if (keys := self._kept_off.line(ended, time.monotonic())) is not None:
            self._note(logging.WARNING, "kept-off", **keys)

    def _fail(
        self, endpoint: str, address: str, reason: str, what: str, option: str = "", refusal: Refusal | None = None
    ) -> None:
        self._roster.failed(reason)
        if refusal is not None:
            self._roster.denied(refusal.reason)
        if refusal is not None and refusal.keys:
            self._note(logging.WARNING, "denied", **refusal.keys, reason=refusal.reason)
            return
        keys = {"endpoint": endpoint, "peer": address, "reason": reason}
        if reason == Fault.WRONG_TYPE.value:
            keys |= socket_types.told(self.side.plan.type)
        elif reason == Fault.NOT_ZMTP.value:
            keys |= self._advice
            self._advice = {}
        if option:
            keys["option"] = option
        self._note(logging.WARNING, "handshake-failed", **keys, detail=what)

    def _tell_end(self, link: Link, why: Ended) -> None:
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
        keys["detail"] = why.what
        self._note(logging.WARNING, "cut-off", **keys)

    def _on_no_connection(self, dialler: Dialler, reason: str, delay_s: float | None) -> None:
        self._roster.retried()
        level = logging.DEBUG if self._failures.get(dialler) == reason else logging.WARNING
        self._failures[dialler] = reason
        keys = {"endpoint": dialler.endpoint.address, "reason": reason}
        if delay_s is not None:
            keys["in_s"] = f"{delay_s:.3g}"
        self._note(level, "connect-failed", **keys)

    @property
    def admit(self) -> Admit | None:
        """Who decides who may come in; it may be replaced while this runs, for those who come then."""
        return self._keeper.admit

    @admit.setter
    def admit(self, admit: Admit | None) -> None:
        """Have `admit` decide from now on."""
        self._keeper.admit = admit

    def _note(self, level: int, name: str, **keys: str) -> None:
        self.driver.tell(level, name, socket=self.side.plan.key, **keys)


def ip_address(address: str) -> str:
    """The IP address alone in an `address` of `connections.address`; ``""`` over ipc. Does not yield."""
    if address.startswith("pid "):
        return ""
    return address.rpartition(":")[0].strip("[]") or address
