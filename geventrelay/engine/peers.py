"""Who is connected to a socket, by the events of its monitor (zmq_socket_monitor(3)): tcp and ipc; inproc has none.

From this also follows whether a message was refused because no peer is there or because every peer is full: libzmq
answers EAGAIN to both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import gevent
import zmq

from ..log import LogEvent, event
from . import connections, descriptors
from .admission import Admission
from .handshake_failures import NOT_ZMTP, TOO_SLOW, WRONG_TYPE, Ended
from .holding import Holding
from .kept_off import KeptOff
from .libzmq import topics_count, unless_gone
from .limiter import Limiter
from .monitor import Monitor, MonitorEvent
from .narrowing import Narrowing
from .origins import Origins
from .peerlimit import HandshakeTime, PeerLimit
from .peertable import LEGACY_ADVICE, Connection, PeersSnapshot, PeerTable
from .readiness import plain_get
from .seldom import Seldom
from .usage import REVOKED, Bound, Offence

log = logging.getLogger("geventrelay")

_GAINED = int(zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED)
_ACCEPTED = int(zmq.EVENT_ACCEPTED)
_LOST = int(zmq.EVENT_DISCONNECTED)
_SUCCEEDED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_BROKEN = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_WRONG = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_DENIED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_RETRIED = int(zmq.EVENT_CONNECT_RETRIED)
_LISTENING, _CLOSED = int(zmq.EVENT_LISTENING), int(zmq.EVENT_CLOSED)
# Not EVENT_ACCEPT_FAILED: without a free descriptor, libzmq tries again without a pause and reports each try. That is a
# quarter of a million events a second, more than can be read.
PEER_EVENTS = _GAINED | _LOST | _SUCCEEDED | _BROKEN | _WRONG | _DENIED | _RETRIED | _LISTENING | _CLOSED
"""The events that `SocketPeers` needs of a `Monitor`."""

# Taking in one takes some 5 us, during which everything else waits.
_AT_A_TIME = 1_000
_PAUSE_S = 0.001
# While a connection is held, its end is not noticed at the other side.
_MOST_HELD = 64
# In one go, for all that there is.
_MOST_READS = 100

_PROTOCOL_ERRORS = {
    int(value): name.removeprefix("PROTOCOL_ERROR_").lower()
    for name, value in vars(zmq).items()
    if name.startswith("PROTOCOL_ERROR_")
}
_MECHANISMS: dict[int, str] = {zmq.NULL: "NULL", zmq.PLAIN: "PLAIN", zmq.CURVE: "CURVE", zmq.GSSAPI: "GSSAPI"}

# For connections that have come while others were ended.
_LIMIT_LOOK_S = 1.0
# Of the time of a handshake: what is seen of its beginning and its end may come late.
_ABOUT = 0.5
# How the reasons begin of handshakes that a ZAP handler has ended; its status follows.
_REFUSED = "auth_"

# A greeting has 64 bytes (ZMTP 3.1, RFC 37), and no handshake is through without it.
_GREETING_BYTES = 64


_LIBZMQS = HandshakeTime()


class SocketPeers:
    """Follows the connections of one socket.

    :param monitor: the socket's monitor, opened for `PEER_EVENTS` before the socket was bound or connected. Its owner
        ends it, after `close`.
    :param device: the device's name in the log.
    :param key: the socket's key there.
    :param observe: gets each event too, while it is taken in; it must not yield. None for nothing.
    :param bound: how much each connection may send before it is ended; None for no bound.
    :param types: what the log says of a peer whose type does not fit: the socket's type, and those that would.
    :param takes_legacy: whether the socket takes peers of ZMTP 1.0 and 2.0, of whose handshakes libzmq tells nothing.
    :param handshake: how long a handshake may take at the socket.
    :param limit: how many connections of others are let in; None for as many as come.
    :ivar limiter: holds connections to `bound`; None without one.
    :ivar emptied: how many times the socket has had nothing to read.
    """

    def __init__(
        self,
        monitor: Monitor,
        device: str = "",
        key: str = "",
        observe: Callable[[MonitorEvent], None] | None = None,
        bound: Bound | None = None,
        *,
        types: Mapping[str, str] = MappingProxyType({}),
        takes_legacy: bool = False,
        handshake: HandshakeTime = _LIBZMQS,
        limit: PeerLimit | None = None,
    ) -> None:
        self._monitor = monitor
        self._observe = observe
        readiness = monitor.socket.readiness
        self.limiter = None if bound is None else Limiter(bound, lambda: readiness.readable)
        self.emptied: Callable[[], int] = lambda: 0
        self._origins = Origins()
        self._holding = Holding()
        self._narrowing = Narrowing()
        to_subscribers = monitor.socket.type in (zmq.PUB, zmq.XPUB)
        self._admission = Admission(functools.partial(topics_count, monitor.socket)) if to_subscribers else None
        self._whose = {"device": device, "socket": key}
        self._types = types
        self._mechanism = _MECHANISMS.get(int(plain_get(monitor.socket, zmq.MECHANISM)), "unknown")
        self._handshake = handshake
        self._limit = limit
        self._table = PeerTable(
            _has_spoken,
            mechanism=self._mechanism,
            takes_legacy=takes_legacy,
            handshake_s=handshake.longest_s,
            limit=limit,
        )
        self._refused: list[tuple[int, Connection, Offence]] = []
        # What the first line about a peer that may be a legacy one says besides.
        self._advice: Mapping[str, str] = {} if takes_legacy else LEGACY_ADVICE
        self._kept_off = KeptOff()
        self._seldom = Seldom()
        # Of connections whose handshake is under way: libzmq tells of their end when it closes them, and nothing more.
        self._held: dict[int, connections.Held] = {}
        self._news: list[tuple[int, LogEvent]] = []
        self._on_changes: Callable[[int, int], None] | None = None
        self._greenlet = gevent.spawn(self._follow)

    def follow_ready(self, call: Callable[[int, int], None]) -> None:
        """Call `call` with how many peers have come and how many have gone, now and when others do. Does not yield.

        :param call: must not yield.
        """
        self._on_changes = call
        call(*self._table.changes)

    def now(self) -> int:
        """How many peers are connected at the least, handshakes through. Does not yield.

        The events up to now are taken in; of a storm, a thousand, and the others within the next ms.
        """
        self._read()
        return self._table.certainly_ready(time.time())

    @property
    def has_unread(self) -> bool:
        """Whether the kernel has bytes of some connection that libzmq has not read. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            # Where the context has gone, what was known before is all there is.
            self.now()
        return any(map(connections.has_unread, self._table.connections))

    def snapshot(self) -> PeersSnapshot:
        """Who is connected and what has been counted up to now. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            # Where the context has gone, what was known before is all there is.
            self.now()
        self._name_addresses()
        return self._table.snapshot(self._mechanism, time.time(), self._gone())

    def end_sender(self, descriptor: int, offence: Offence) -> None:
        """End a connection for a message that was just read, if that certainly came over it; else hold it back.

        Does not yield.

        Only connections that others have made are ended: a user has chosen what this end connects to.

        :param descriptor: what libzmq says of the message.
        :param offence: what is wrong with it.
        """
        connection = self._table.connections.get(descriptor)
        if connection is None or not connection.accepted:
            return
        if not self._is_certain(descriptor):
            self._holding.hold(descriptor, connection, time.monotonic())
            return
        with contextlib.suppress(OSError, zmq.ZMQError):
            self._end(descriptor, connection, offence)

    def end_revoked(self, is_meant: Callable[[str], bool]) -> bool:
        """End the connections of others whose address `is_meant`; whether none of them is left. Does not yield."""
        # All events: one of those who are meant may have come with the last.
        complete = self._read_all()
        self._name_addresses()
        ended = [
            self._end_revoked(descriptor, connection)
            for descriptor, connection in list(self._table.connections.items())
            if connection.accepted and is_meant(connection.address or "")
        ]
        return complete and all(ended)

    def _end_revoked(self, descriptor: int, connection: Connection) -> bool:
        # There may be no descriptor for it, or no end of events.
        with contextlib.suppress(OSError, zmq.ZMQError):
            return any(self._end(descriptor, connection, REVOKED) for _ in range(_MOST_READS))
        return False

    def _is_certain(self, descriptor: int) -> bool:
        return self._origins.is_certain(descriptor, self.emptied())

    def close(self) -> PeersSnapshot:
        """Stop following, and return what has been counted. Call it before the socket is closed. Yields."""
        self._greenlet.kill()
        self._read_all()
        for descriptor in list(self._held):
            self._let_go(descriptor)
        self._holding.let_all_go()
        if self._admission is not None:
            self._admission.let_all_in()
        self._tell_news()
        return dataclasses.replace(self._table.snapshot(self._mechanism), peers=())

    def _follow(self) -> None:
        # Events that are not read would pile up.
        with unless_gone():
            # The end of the context ends this too; the socket's own greenlets report it.
            while True:
                gevent.with_timeout(self._wait_s(), self._monitor.wait, timeout_value=None)
                more = self._read()
                self._name_addresses()
                self._enforce()
                self._holding.look(self._is_certain, time.monotonic())
                self._tell_news()
                if more:
                    gevent.sleep(_PAUSE_S)

    def _wait_s(self) -> float | None:
        waits = [self._holding.wait_s, None if self._admission is None else self._admission.wait_s]
        if self._limit is not None:
            waits.append(_LIMIT_LOOK_S)
        if self.limiter is not None and self._table.connections:
            waits.append(self.limiter.wait_s(time.monotonic()))
        return min((one for one in waits if one is not None), default=None)

    def _enforce(self) -> None:
        """End the connections that have sent more than the bound allows; slow those down that have to wait."""
        if self._admission is not None and self._admission.look(time.monotonic()):
            self._note(logging.WARNING, "subscribers-wait", reason="many topics, and subscribers that come and go")
        if self.limiter is not None:
            for descriptor, connection in self.limiter.look(self._table.connections, time.monotonic()):
                with contextlib.suppress(OSError):
                    self._end(descriptor, connection, self.limiter.bound.offence)
            for descriptor, connection, goes_on in self.limiter.waiting():
                change = self._narrowing.widen if goes_on else self._narrowing.narrow
                change(descriptor, connection)

    def _end(self, descriptor: int, connection: Connection, offence: Offence) -> bool:
        """End a connection, if it is that one still; false if there are more events, which may tell of its end."""
        held = connections.Held(descriptor)
        try:
            # libzmq tells of an end before it closes the descriptor. So without such an event up to now, what is held
            # is this connection; and its cookie is for the ends that libzmq does not tell of.
            if self._read():
                return False
            known = self._table.connections.get(descriptor)
            if known is not connection or connections.cookie(held.descriptor) != connection.cookie:
                return True
            end = connections.end if self._table.is_pending(descriptor) else connections.discard
            end(held.descriptor)
        finally:
            held.close()
        self._table.cut_off(descriptor, offence.reason)
        if self._on_changes is not None:
            self._on_changes(*self._table.changes)
        where = {"endpoint": connection.endpoint, "peer": connection.address or "unknown"}
        self._note(logging.WARNING, "cut-off", **where, reason=offence.reason, option=offence.option)
        return True

    def _read(self) -> bool:
        """Take in events, so many at most, and end the connections that are too many; whether there may be more."""
        more = self._take_in()
        if self._refused:
            self._turn_away()
        return more

    def _read_all(self) -> bool:
        """Take in all events that there are; whether that came to an end."""
        with contextlib.suppress(OSError, zmq.ZMQError):
            return any(not self._read() for _ in range(_MOST_READS))
        return False

    def _turn_away(self) -> None:
        refused, self._refused = self._refused, []
        held = []
        for descriptor, connection, offence in refused:
            with contextlib.suppress(OSError):
                held.append((descriptor, connections.Held(descriptor), connection, offence))
        # As in `_end`: without an event of its end by now, what is held is this connection.
        self._take_in()
        for descriptor, one, connection, offence in held:
            address = connections.address(one.descriptor)
            if self._table.connections.get(descriptor) is connection and connections.end(one.descriptor):
                self._table.kept_off(descriptor, offence.reason)
                where = {"endpoint": connection.endpoint, "peer": address}
                self._note(logging.WARNING, "handshake-failed", **where, reason=offence.reason, option=offence.option)
            one.close()

    def _take_in(self) -> bool:
        events, before = self._monitor.read(_AT_A_TIME), self._table.changes
        for one in events:
            self._take(one)
            if self._observe is not None and not one.kind & (_LISTENING | _CLOSED):
                self._observe(one)
        accepted = [one.value for one in events if one.kind == _ACCEPTED and self._table.is_pending(one.value)]
        if accepted:
            self._keep_off(accepted)
        if self._on_changes is not None and self._table.changes != before:
            self._on_changes(*self._table.changes)
        return len(events) == _AT_A_TIME

    def _keep_off(self, accepted: list[int]) -> None:
        """End as many of the connections just `accepted` as descriptors are missing, the newest first."""
        missing = descriptors.RESERVE - descriptors.free()
        if missing <= 0:
            return
        ended = [descriptor for descriptor in accepted[-int(missing) :] if connections.end(descriptor)]
        for descriptor in ended:
            self._table.kept_off(descriptor)
        if ended and (keys := self._kept_off.line(len(ended), time.monotonic())) is not None:
            self._note(logging.WARNING, "kept-off", **keys)

    def _take(self, one: MonitorEvent) -> None:
        table, kind, value, endpoint = self._table, one.kind, one.value, one.endpoint
        if kind & _GAINED:
            table.gained(value, endpoint, time.time(), accepted=kind == _ACCEPTED)
            self._origins.gained(value, self.emptied())
            self._hold(value)
            if self._limit is not None and kind == _ACCEPTED:
                self._let_in(self._limit, value)
            if self._admission is not None and kind == _ACCEPTED:
                self._admission.accepted(value)
        elif kind == _LOST:
            self._note_lost(value, endpoint)
        elif kind == _SUCCEEDED:
            self._let_go(table.succeeded(endpoint))
        elif kind == _BROKEN:
            table.failed(endpoint, _errno_name(value), detail=False)
        elif kind == _WRONG:
            table.failed(endpoint, _PROTOCOL_ERRORS.get(value, f"protocol_{value:#x}"))
        elif kind == _DENIED:
            table.denied(endpoint, f"{_REFUSED}{value}")
        elif kind == _RETRIED:
            table.retried()
        elif self._admission is not None and kind == _LISTENING:
            self._admission.listening(value)
        elif self._admission is not None and kind == _CLOSED:
            self._admission.not_listening(value)

    def _let_in(self, limit: PeerLimit, descriptor: int) -> None:
        address = connections.address(descriptor) if limit.most_per_address else ""
        offence = limit.come(descriptor, address)
        if offence is not None:
            self._refused.append((descriptor, self._table.connections[descriptor], offence))

    def _hold(self, descriptor: int) -> None:
        self._let_go(descriptor)
        if len(self._held) < _MOST_HELD and descriptors.free() > 2 * descriptors.RESERVE:
            with contextlib.suppress(OSError):
                self._held[descriptor] = connections.Held(descriptor)

    def _was_slow(self, descriptor: int) -> bool:
        """Whether a handshake has taken about its time, and the other end has not ended it."""
        connection, longest_s = self._table.connections.get(descriptor), self._handshake.longest_s
        if connection is None or not longest_s or time.time() - connection.since < _ABOUT * longest_s:
            return False
        held = self._held.get(descriptor)
        return held is None or not connections.has_ended(held.descriptor)

    def _let_go(self, descriptor: int | None) -> None:
        """Hold a connection no more."""
        held = None if descriptor is None else self._held.pop(descriptor, None)
        if held is not None:
            held.close()

    def _ended(self, descriptor: int) -> Ended:
        """What is known of a connection that has ended."""
        held, slow = self._held.get(descriptor), self._was_slow(descriptor)
        sent = None if held is None else connections.sent_bytes(held.descriptor)
        if held is None or sent is None:
            return Ended(slow=slow)
        heard = _has_spoken(held.descriptor)
        return Ended(greeted=sent >= _GREETING_BYTES, said=sent > _GREETING_BYTES, heard=heard, slow=slow)

    def _gone(self) -> set[int]:
        """The connections that have ended and that libzmq does not read, since the socket's queue may be full."""
        with contextlib.suppress(zmq.ZMQError):
            if self._monitor.socket.readiness.readable:
                return {one for one in self._table.connections if connections.has_ended(one)}
        return set()

    def _note_lost(self, descriptor: int, endpoint: str) -> None:
        lost = self._table.lost(descriptor, endpoint, self._ended(descriptor))
        self._let_go(descriptor)
        if self._admission is not None:
            self._admission.lost(descriptor, time.monotonic(), was_peer=lost is not None and lost[1] is None)
        if lost is None:
            return
        connection, reason = lost
        where = {"endpoint": endpoint, "peer": connection.address or "unknown"}
        if reason is None:
            self._note(logging.DEBUG, "disconnected", **where)
        elif not reason.startswith(_REFUSED) or self._seldom.line(reason, time.monotonic()) is not None:
            # Of those that are refused, what has decided so tells more.
            more: Mapping[str, str] = {}
            if reason == WRONG_TYPE:
                more = self._types
            elif reason == NOT_ZMTP:
                more, self._advice = self._advice, {}
            elif reason == TOO_SLOW:
                more = {"option": self._handshake.option}
            self._note(logging.WARNING, "handshake-failed", **where, reason=reason, **more)

    def _name_addresses(self) -> None:
        for descriptor, connection in self._table.nameless():
            connection.address = connections.address(descriptor)
            connection.cookie = connections.cookie(descriptor)
            self._note(logging.DEBUG, "connected", endpoint=connection.endpoint, peer=connection.address)

    def _note(self, level: int, name: str, **keys: str) -> None:
        if log.isEnabledFor(level):
            self._news.append((level, event(name, **self._whose, **keys)))

    def _tell_news(self) -> None:
        # Not while events are taken in, for that may be in the middle of a burst.
        news, self._news = self._news, []
        for level, what in news:
            log.log(level, what)


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno_{number}")


def _has_spoken(descriptor: int) -> bool:
    """Whether more than a greeting has come in over a tcp connection; true where that is not known."""
    received = connections.received_bytes(descriptor)
    # The kernel counts the end of the other side as a byte. No command is as short as that.
    return received is None or received > _GREETING_BYTES + 1
