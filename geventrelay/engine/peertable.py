"""Who is connected to one socket: the events of its monitor, turned into a table. Pure; time is an argument.

libzmq (4.3.5, zmq_socket_monitor(3)) gives the descriptor of a connection that is made and of one that ends, but not of
one whose handshake goes through or fails: these say at which endpoint, and there a hundred may be under way. So:

* a handshake that went through is assigned to the connection that has waited longest there, of those from which enough
  bytes have come for one;
* one that failed is assigned to the connection that ends next there: libzmq's io thread reports both in one go;
* a connection that ends with its handshake neither through nor failed did not speak ZMTP 3. libzmq refuses those
  without an event of its own.

A handshake assigned to the wrong connection is corrected when that connection fails. The number of connected peers is
right at any time, and that is what ``no_peer`` and ``full`` are told apart by.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .usage import REASONS
from .values import Kind, Value, counter, merged, values_of

NOT_ZMTP = "not_zmtp3"
"""Why a handshake failed that libzmq reports nothing about: HTTP, a port scanner, libzmq before 4.0."""

KEPT_OFF = "kept_off"
"""Why a connection was ended at once: too few descriptors were free."""

# A client that opens thousands of connections and sends nothing must not have all of them looked at for each new peer.
_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """One peer that is connected.

    :ivar address: ``host:port`` of the other end, or ``pid N`` over ipc; ``unknown`` where it is not known.
    :ivar since: when it connected, as Unix time.
    :ivar mechanism: how it authenticated, e.g. ``NULL``.
    """

    address: str
    since: float
    mechanism: str


@dataclass(frozen=True, slots=True)
class PeersSnapshot:
    """One socket's connections at one moment. Connections over inproc are not seen.

    The reasons of `handshake_failures` are an errno's name where the connection broke, ``zmtp_...`` or ``zap_...`` for
    what was wrong, ``auth_STATUS`` where a ZAP handler refused it, ``not_zmtp3`` for other bytes,
    ``kept_off`` where too few descriptors were free.

    :ivar peers: who is connected, the longest first.
    """

    peers: tuple[PeerSnapshot, ...] = ()
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
        "connections", "Connections to the socket that were ended for sending more than an option allows, by reason.",
        path=("cut_off",), metric="cut_off_connections", by="reason", known=REASONS,
    )  # fmt: skip
    retries: int = counter(
        "attempts", "Times that connecting the socket was tried again.", path=("retries",), metric="connect_retries"
    )

    @property
    def connected(self) -> int:
        """How many peers are connected."""
        return len(self.peers)

    def merged_with(self, later: PeersSnapshot) -> PeersSnapshot:
        """The counts of both lives of one socket, this one and a `later` one; who is connected is the later one's."""
        return merged(self, later, peers=later.peers)


OF_SOCKET = (
    Value("connected", Kind.GAUGE, "peers", "Peers that are connected to the socket.", ("peers",), "peers"),
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
    :ivar cookie: what tells it from later connections with its descriptor; None where that is not known.
    """

    endpoint: str
    since: float
    address: str | None = None
    ready: bool = False
    cookie: int | None = None


class PeerTable:
    """Keeps the connections of one socket by their file descriptors.

    :param spoke: whether as much as a handshake needs has come in over the connection with a descriptor; only asked
        where several handshakes are under way.
    :ivar ready: how many peers are connected, their handshakes through.
    :ivar connections: every connection, by its descriptor; to be read only.
    """

    def __init__(self, spoke: Callable[[int], bool] = lambda descriptor: True) -> None:
        self.ready = 0
        self._spoke = spoke
        self.connections: dict[int, Connection] = {}
        # The descriptors of those whose handshake is under way, the oldest first.
        self._pending: dict[int, None] = {}
        self._kept_off: set[int] = set()
        self._failing: dict[str, str] = {}
        self._denied: dict[str, deque[str]] = {}
        self._connected = self._disconnected = self._retries = 0
        self._failures: Counter[str] = Counter()
        self._cut_off: Counter[str] = Counter()

    def gained(self, descriptor: int, endpoint: str, now: float) -> None:
        """A connection has been made at `endpoint`, as seen at `now`; it has this `descriptor`."""
        if descriptor in self.connections:
            # libzmq reports no end where it closes a connection itself.
            self._end(descriptor)
        self._kept_off.discard(descriptor)
        self.connections[descriptor] = Connection(endpoint, now)
        self._pending[descriptor] = None

    def is_pending(self, descriptor: int) -> bool:
        """Whether the connection with this `descriptor` is there, its handshake under way."""
        return descriptor in self._pending

    def kept_off(self, descriptor: int) -> None:
        """The connection with this `descriptor` is being ended by us. That is how its handshake fails."""
        self._kept_off.add(descriptor)
        self._failures[KEPT_OFF] += 1

    def succeeded(self, endpoint: str) -> Connection | None:
        """A handshake at `endpoint` is through; the connection that it is assigned to, None if there can be none."""
        descriptor = self._likeliest(endpoint)
        if descriptor is None:
            return None
        self._connected += 1
        self.ready += 1
        return self._mark_ready(descriptor)

    def failed(self, endpoint: str, reason: str, *, detail: bool = True) -> None:
        """A handshake at `endpoint` has failed, for this `reason`; its connection ends next.

        :param detail: whether more is known than that the connection has broken. That is reported after a denial too,
            and is no failure of its own then.
        """
        denied = self._denied.get(endpoint)
        if denied and not detail:
            reason = denied.popleft()
        else:
            self._failures[reason] += 1
        self._failing[endpoint] = reason

    def denied(self, endpoint: str, reason: str) -> None:
        """A ZAP handler has refused a handshake at `endpoint`, for this `reason`; the connection ends some time."""
        self._failures[reason] += 1
        self._denied.setdefault(endpoint, deque()).append(reason)

    def lost(self, descriptor: int, endpoint: str) -> tuple[Connection, str | None] | None:
        """The connection with this `descriptor`, at `endpoint`, has ended.

        Returns it, and why its handshake failed (None if it had gone through); None for one that was never seen.
        """
        reason = self._failing.pop(endpoint, None)
        connection = self.connections.get(descriptor)
        if connection is None:
            return None
        if descriptor in self._kept_off:
            # It has been counted.
            self._kept_off.discard(descriptor)
            if reason is not None:
                self._failures[reason] -= 1
            self._end(descriptor)
            return None
        if reason is not None:
            self._fail(descriptor, connection)
            return connection, reason
        if not connection.ready:
            denied = self._denied.get(endpoint)
            reason = denied.popleft() if denied else NOT_ZMTP
            self._failures[reason] += reason == NOT_ZMTP
        self._end(descriptor)
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

    def snapshot(self, mechanism: str) -> PeersSnapshot:
        """What is known now; every peer uses this `mechanism`."""
        return PeersSnapshot(
            tuple(
                PeerSnapshot(one.address or "unknown", one.since, mechanism)
                for one in self.connections.values()
                if one.ready
            ),
            connected_total=self._connected,
            disconnected_total=self._disconnected,
            handshake_failures={reason: count for reason, count in self._failures.items() if count},
            cut_off=dict(self._cut_off),
            retries=self._retries,
        )

    def _likeliest(self, endpoint: str) -> int | None:
        here = (one for one in self._pending if self.connections[one].endpoint == endpoint)
        if len(self._pending) == 1:
            return next(here, None)
        candidates = list(itertools.islice(here, _CANDIDATES))
        return next((one for one in candidates if self._spoke(one)), candidates[0] if candidates else None)

    def _mark_ready(self, descriptor: int) -> Connection:
        del self._pending[descriptor]
        connection = self.connections[descriptor]
        connection.ready = True
        return connection

    def _fail(self, descriptor: int, connection: Connection) -> None:
        if connection.ready:
            # The handshake that was assigned to it was another connection's.
            other = self._likeliest(connection.endpoint)
            if other is not None:
                self._mark_ready(other)
                del self.connections[descriptor]
                return
        self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        connection = self.connections.pop(descriptor)
        if connection.ready:
            self.ready -= 1
            self._disconnected += 1
        else:
            del self._pending[descriptor]
