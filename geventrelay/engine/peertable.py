"""Who is connected to one socket: the events of its monitor, turned into a table. Pure; time is an argument.

libzmq (4.3.5, zmq_socket_monitor(3)) gives the descriptor of a connection that is made and of one that ends, but not of
one whose handshake goes through or fails: these say at which endpoint, and there a hundred may be under way. So:

* a handshake that went through is assigned to the connection that has waited longest there, of those from which enough
  bytes have come for one;
* one that failed is assigned to the connection that ends next there: libzmq's io thread reports both in one go;
* a connection that ends with its handshake neither through nor failed was refused without an event; see
  `geventrelay.engine.handshake_failures`.

A handshake assigned to the wrong connection is corrected when that connection fails. Where several connections may be
the one whose handshake went through, all of them are *doubtful* for as long as a handshake may take: one that ends then
without an event may have been the peer, and the other one none. What is told says whether it is certain.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ..terms import Denial
from .handshake_failures import Ended, HandshakeFailures
from .peeraccount import PeerAccount
from .peerlimit import PeerLimit
from .usage import REASONS
from .useraccount import Accounts, together
from .values import Kind, Value, counter, merged, values_of

# How long libzmq takes to end a handshake whose time is over.
_LATE_S = 1.0

LEGACY_ADVICE = {"advice": "--legacy-peers lets ZMTP 1.0 and 2.0 in"}
"""What the first line of the log says besides about a peer that may be a legacy one, at a socket that takes none."""

KEPT_OFF = "kept_off"
"""Why a connection was ended at once: too few descriptors were free."""

# A client that opens thousands of connections and sends nothing must not have all of them looked at for each new peer.
_CANDIDATES = 64

_UNKNOWN = Ended()


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """One peer that is connected.

    :ivar address: ``host:port`` of the other end, or ``pid N`` over ipc; ``unknown`` where it is not known.
    :ivar since: when it connected, as Unix time.
    :ivar mechanism: how it authenticated, e.g. ``NULL``.
    :ivar certain: whether it is certainly there, and a peer. False where its handshake may have been another
        connection's, and where its connection has ended and libzmq does not know yet, since the socket's queue is full.
    :ivar user: who it is, by the rules of who may connect; ``""`` if it was let in without a name, None if that is not
        known, or if there are no rules.
    :ivar account: what more is known of it; None if it was not asked for, and with engine libzmq.
    """

    address: str
    since: float
    mechanism: str
    certain: bool = True
    user: str | None = None
    account: PeerAccount | None = None


@dataclass(frozen=True, slots=True)
class ConnectingSnapshot:
    """One endpoint that a socket of engine zmtp keeps connected.

    :ivar endpoint: where it connects to.
    :ivar connected: whether it is connected, its handshake through.
    :ivar tries: how often in a row it has failed since it was connected last.
    :ivar failure: why it failed last, or why its last connection ended; None if neither has happened.
    :ivar failed_at: when that was, as Unix time; None likewise.
    :ivar waiting: how many messages wait for it.
    """

    endpoint: str
    connected: bool
    tries: int
    failure: str | None
    failed_at: float | None
    waiting: int


@dataclass(frozen=True, slots=True)
class PeersSnapshot:
    """One socket's connections at one moment. Connections over inproc are not seen.

    The reasons of `handshake_failures` are an errno's name where the connection broke, ``zmtp_...`` or ``zap_...`` for
    what was wrong, ``auth_STATUS`` where a ZAP handler refused it, ``wrong_type`` where the types of the two
    sockets do not fit, ``not_zmtp3`` for other bytes, ``kept_off`` where too few descriptors were free, ``too_slow``
    where its time was over, ``too_many_peers`` and ``too_many_connections`` where it was one too many.

    :ivar peers: who is connected, the longest first.
    :ivar connecting: the endpoints that it connects to; None with engine libzmq, which does not tell.
    :ivar users: what has moved for each user that has a name; None if it was not asked for, and with engine libzmq.
    """

    peers: tuple[PeerSnapshot, ...] = ()
    connecting: tuple[ConnectingSnapshot, ...] | None = None
    users: Accounts | None = None
    connected_total: int = counter(
        "connections", "Connections to the socket whose handshake went through.", metric="connects"
    )
    disconnected_total: int = counter(
        "connections", "Connections to the socket that have ended, of those whose handshake went through.",
        path=("disconnects",), metric="disconnects",
    )  # fmt: skip
    handshake_failures: Mapping[str, int] = counter(
        "connections", "Connections to the socket whose handshake failed, by reason.",
        path=("handshake_failures",), metric="handshake_failures", by="reason",
    )  # fmt: skip
    cut_off: Mapping[str, int] = counter(
        "connections", "Connections to the socket that an option has had ended, by reason.",
        path=("cut_off",), metric="cut_off_connections", by="reason", known=REASONS,
    )  # fmt: skip
    denied: Mapping[str, int] = counter(
        "connections", "Connections to the socket that were refused by the rules of who may connect, by reason.",
        path=("denied",), metric="denied_connections", by="reason", known=[one.value for one in Denial], top=True,
    )  # fmt: skip
    retries: int = counter(
        "attempts", "Times that connecting the socket was tried again.", path=("retries",), metric="connect_retries"
    )

    @property
    def connected(self) -> int:
        """How many peers are connected."""
        return len(self.peers)

    @property
    def certain(self) -> bool:
        """Whether each of the peers is certainly there."""
        return all(peer.certain for peer in self.peers)

    def merged_with(self, later: PeersSnapshot) -> PeersSnapshot:
        """The counts of both lives of one socket, this one and a `later` one; who is connected is the later one's."""
        users = together(self.users, later.users)
        return merged(self, later, peers=later.peers, connecting=later.connecting, users=users)


OF_SOCKET = (
    Value("connected", Kind.GAUGE, "peers", "Peers that are connected to the socket.", ("peers",), "peers"),
    Value(
        "certain", Kind.GAUGE, "sockets", "1 if the number of peers is certain, else 0.", ("certain",), "peers_certain"
    ),
    *values_of(PeersSnapshot),
)
"""Every value of a socket."""


@dataclass(slots=True)
class Connection:
    """A connection that has been made and not ended.

    :ivar endpoint: which of the socket's own endpoints it is at.
    :ivar since: when it was seen, as Unix time in seconds.
    :ivar address: the other end; None until it has been looked up.
    :ivar ready: whether its handshake is through.
    :ivar doubtful: whether the handshake that is through, or is not, may be another connection's.
    :ivar accepted: whether the other end has made it.
    :ivar cookie: what tells it from later connections with its descriptor; None where that is not known.
    """

    endpoint: str
    since: float
    address: str | None = None
    ready: bool = False
    doubtful: bool = False
    cookie: int | None = None
    accepted: bool = False


class PeerTable:
    """Keeps the connections of one socket by their file descriptors.

    :param spoke: whether as much as a handshake needs has come in over the connection with a descriptor; only asked
        where several handshakes are under way.
    :param mechanism: what every peer uses.
    :param takes_legacy: see `HandshakeFailures`.
    :param handshake_s: after how long libzmq ends a handshake, in seconds; 0 for never.
    :param limit: how many connections of others are let in.
    :ivar ready: how many peers are connected, their handshakes through.
    :ivar connections: every connection, by its descriptor; to be read only.
    """

    def __init__(
        self,
        spoke: Callable[[int], bool] = lambda descriptor: True,
        *,
        mechanism: str = "NULL",
        takes_legacy: bool = False,
        handshake_s: float = 30.0,
        limit: PeerLimit | None = None,
    ) -> None:
        self.ready = 0
        self._limit = limit or PeerLimit()
        self._handshake_s = handshake_s
        self._takes_legacy = takes_legacy
        self._spoke = spoke
        self.connections: dict[int, Connection] = {}
        # The descriptors of those whose handshake is under way, the oldest first.
        self._pending: dict[int, None] = {}
        self._kept_off: set[int] = set()
        self._failures = HandshakeFailures(mechanism, takes_legacy=takes_legacy)
        self._connected = self._disconnected = self._retries = 0
        self._cut_off: Counter[str] = Counter()

    @property
    def changes(self) -> tuple[int, int]:
        """How many peers have come, their handshakes through, and how many of these have gone. Does not yield."""
        return self._connected, self._disconnected

    def gained(self, descriptor: int, endpoint: str, now: float, *, accepted: bool = False) -> None:
        """A connection has been made at `endpoint`, as seen at `now`; it has this `descriptor`.

        :param accepted: whether the other end has made it.
        """
        if descriptor in self.connections:
            # libzmq reports no end where it closes a connection itself.
            self._end(descriptor)
        self._kept_off.discard(descriptor)
        self.connections[descriptor] = Connection(endpoint, now, accepted=accepted)
        self._pending[descriptor] = None

    def is_pending(self, descriptor: int) -> bool:
        """Whether the connection with this `descriptor` is there, its handshake under way."""
        return descriptor in self._pending

    def kept_off(self, descriptor: int, reason: str = KEPT_OFF) -> None:
        """The connection with this `descriptor` is being ended by us, for this `reason`: its handshake fails."""
        if descriptor not in self._kept_off:
            self._kept_off.add(descriptor)
            self._failures.count(reason)

    def succeeded(self, endpoint: str) -> int | None:
        """A handshake at `endpoint` is through; the descriptor that it is assigned to, None if there can be none."""
        likely = self._likely(endpoint)
        if not likely:
            return None
        for one in likely if len(likely) > 1 else ():
            self.connections[one].doubtful = True
        descriptor = likely[0]
        self._connected += 1
        self.ready += 1
        self._mark_ready(descriptor)
        return descriptor

    def certainly_ready(self, now: float) -> int:
        """How many peers are connected at the least, at `now`. Does not yield."""
        if not any(one.doubtful for one in self.connections.values()):
            return self.ready
        return sum(one.ready and not self.is_doubtful(one, now) for one in self.connections.values())

    def is_doubtful(self, connection: Connection, now: float) -> bool:
        """Whether it is not known at `now` (Unix time, in seconds) if the handshake of a `connection` is through."""
        longest_s = self._handshake_s + _LATE_S if self._handshake_s else math.inf
        return connection.doubtful and now - connection.since < longest_s

    def failed(self, endpoint: str, reason: str, *, detail: bool = True) -> None:
        """A handshake at `endpoint` has failed, for this `reason`; see `HandshakeFailures.failed`, also of `detail`."""
        self._failures.failed(endpoint, reason, detail=detail)

    def denied(self, endpoint: str, reason: str) -> None:
        """A ZAP handler has refused a handshake at `endpoint`, for this `reason`; the connection ends some time."""
        self._failures.denied(endpoint, reason)

    def lost(self, descriptor: int, endpoint: str, ended: Ended = _UNKNOWN) -> tuple[Connection, str | None] | None:
        """The connection with this `descriptor`, at `endpoint`, has ended.

        :param ended: what is known of it, but for what is in this table.

        Returns it, and why its handshake failed (None if it had gone through); None for one that was never seen.
        """
        told = self._failures.take(endpoint)
        connection = self.connections.get(descriptor)
        if connection is None:
            return None
        if descriptor in self._kept_off:
            # It has been counted.
            self._kept_off.discard(descriptor)
            self._failures.take_back(told)
            self._end(descriptor)
            return None
        ended = dataclasses.replace(ended, accepted=connection.accepted, ready=connection.ready)
        reason = self._failures.conclude(endpoint, told, ended)
        if told is None:
            self._end(descriptor)
        else:
            self._fail(descriptor, connection)
        return connection, reason

    def retried(self) -> None:
        """Connecting is to be tried again."""
        self._retries += 1

    def nameless(self) -> Iterable[tuple[int, Connection]]:
        """The connections whose other end has not been looked up yet, with their descriptors."""
        return [(descriptor, one) for descriptor, one in self.connections.items() if one.address is None]

    def cut_off(self, descriptor: int, reason: str) -> None:
        """The connection with this `descriptor` was ended here, for this `reason`.

        libzmq reports its end later, and only then if the socket has room for what it has read.
        """
        self._cut_off[reason] += 1
        self._end(descriptor)

    def snapshot(self, mechanism: str, now: float = 0.0, gone: Collection[int] = ()) -> PeersSnapshot:
        """What is known.

        :param mechanism: what every peer uses.
        :param now: the Unix time, in seconds.
        :param gone: the descriptors of connections that have ended without an event yet.
        """
        return PeersSnapshot(
            tuple(
                PeerSnapshot(
                    one.address or "unknown",
                    one.since,
                    mechanism,
                    one.ready and not self.is_doubtful(one, now) and descriptor not in gone,
                )
                for descriptor, one in self.connections.items()
                if one.ready or self._takes_legacy
            ),
            connected_total=self._connected,
            disconnected_total=self._disconnected,
            handshake_failures=self._failures.counts,
            cut_off=dict(self._cut_off),
            retries=self._retries,
        )

    def _likely(self, endpoint: str) -> list[int]:
        """Those whose handshake may be through, the one that has waited longest first."""
        here = (one for one in self._pending if self.connections[one].endpoint == endpoint)
        if len(self._pending) == 1:
            return list(here)
        candidates = list(itertools.islice(here, _CANDIDATES))
        return [one for one in candidates if self._spoke(one)] or candidates[:1]

    def _mark_ready(self, descriptor: int) -> Connection:
        del self._pending[descriptor]
        connection = self.connections[descriptor]
        connection.ready = True
        return connection

    def _fail(self, descriptor: int, connection: Connection) -> None:
        if connection.ready:
            # The handshake that was assigned to it was another connection's.
            others = self._likely(connection.endpoint)
            if others:
                self._mark_ready(others[0])
                del self.connections[descriptor]
                self._limit.leave(descriptor)
                return
        self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        connection = self.connections.pop(descriptor)
        self._limit.leave(descriptor)
        if connection.ready:
            self.ready -= 1
            self._disconnected += 1
        else:
            del self._pending[descriptor]
