"""One socket of a device: made, watched, bound and connected, and closed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zmq

from ..endpoints import Endpoint
from ..engine import descriptors as free_descriptors
from ..engine.monitor import Monitor
from ..engine.peers import PEER_EVENTS, SocketPeers
from ..engine.peertable import PeersSnapshot
from ..engine.usage import Bound, Offence
from ..errors import StartError
from ..settings import DeviceSettings
from ..settings.socket_options import lets_legacy_peers_in
from ..zmtp import socket_types
from . import inproc
from .endpoints import bind, connect, reason, unbind
from .guard import Guard
from .ipc_files import IpcFile, file_of
from .listeners import use_descriptor
from .new_socket import new_socket, set_linger
from .peer_bounds import backlog, handshake_time, largest_part, peer_limit, usage_bound
from .plan import RECEIVE_ONLY, Adjustment, SocketPlan
from .reconnecting import Reconnector
from .socks import Proxy
from .tunnels import Tunnels

# How long libzmq may take to stop listening, where the end of the socket is not waited for.
_END_S = 0.5


class DeviceSocket:
    """One socket of a device, with the monitor that waits for its end. Making it takes all descriptors but endpoints'.

    :param context: where to make it.
    :param plan: what it is to be.
    :param settings: the device's.
    :param guard: what protects it.
    :param follow: whether to follow its peers.
    :raises StartError: naming an option that libzmq refuses, or if there are no descriptors; nothing is left open then.

    :ivar plan: what it was made of.
    :ivar socket: the socket itself.
    :ivar bound: the addresses that it is bound to.
    """

    def __init__(
        self,
        context: Any,
        plan: SocketPlan,
        settings: DeviceSettings,
        guard: Guard,
        *,
        follow: bool,
    ) -> None:
        self.plan = plan
        self.bound: list[str] = []
        self._device = settings.name
        self._takes_legacy = lets_legacy_peers_in(plan.key, settings)
        self._settings = settings
        self._whose = {"device": settings.name, "socket": plan.key}
        proxy = Proxy.of(settings.socket_options.get(plan.key, {}))
        self._tunnels = None if proxy is None else Tunnels(proxy, self._whose)
        self._files: list[IpcFile] = []
        # The inproc addresses that it is bound to and has not given up.
        self._inproc: list[str] = []
        self._monitor: Monitor | None = None
        self._peers: SocketPeers | None = None
        self._reconnector: Reconnector | None = None
        self._last_peers: PeersSnapshot | None = None
        self._ending: Monitor | None = None
        self._left_unread = False
        self.socket = new_socket(context, plan, settings, guard)
        try:
            self._watch(follow)
        except BaseException as error:
            self.close(0)
            if isinstance(error, zmq.ZMQError):
                raise StartError(f"cannot watch a socket ({self._device} {plan.key}): {reason(error)}") from error
            raise

    def open(self, descriptors: Mapping[tuple[str, int], int]) -> None:
        """Bind and connect it. Yields while names resolve.

        :param descriptors: listening sockets to use instead of binding, by socket key and position among its endpoints.
        :raises StartError: naming the first endpoint that could not be had, and why.
        """
        for position, endpoint in enumerate(self.plan.endpoints):
            try:
                self._open(endpoint, descriptors.get((self.plan.key, position)))
            except (zmq.ZMQError, OSError) as error:
                verb, whose = "bind" if endpoint.binds else "connect", f"{self._device} {self.plan.key}"
                raise StartError(f"cannot {verb} {endpoint.address} ({whose}): {reason(error)}") from error
        for endpoint in self.plan.endpoints:
            if not endpoint.binds:
                # For connects that are made again.
                self._limit_parts(endpoint)

    def unbind(self) -> None:
        """Stop listening if its peers only send: what has come in can still be read. Does not yield."""
        if self.is_cut_off:
            # This ends the connections, and nothing that the kernel still has of them can be read then.
            self._left_unread = self.has_unread
            self._leave_inproc()
            unbind(self.socket, self.bound)

    @property
    def is_cut_off(self) -> bool:
        """Whether `unbind` ends connections. Does not yield."""
        if self.plan.private:
            # Its peer stops by itself, and what it has handed in is to be moved.
            return False
        return self.plan.type in RECEIVE_ONLY and any(endpoint.binds for endpoint in self.plan.endpoints)

    @property
    def has_unread(self) -> bool:
        """Whether bytes came in that libzmq has not read, now or when `unbind` ended their connections.

        False where its peers are not followed. Does not yield.
        """
        return self._left_unread or (self._peers is not None and self._peers.has_unread)

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Go on with other settings. Does not yield.

        :param settings: the device's from now on.
        :param change: the subscriptions that come and go, if this is a SUB.
        """
        set_linger(self.socket, self.plan, settings)
        if self.plan.type == zmq.SUB:
            for prefix in change.subscribe:
                self.socket.set(zmq.SUBSCRIBE, prefix)
            for prefix in change.unsubscribe:
                self.socket.set(zmq.UNSUBSCRIBE, prefix)
        # These calls may have taken news of the socket that a greenlet waits for.
        self.socket.readiness.check_events()

    def count_read(self, read_bytes: Callable[[], int], emptied: Callable[[], int]) -> None:
        """Hold connections to the bounds on messages. Does not yield.

        :param read_bytes: how many bytes of messages have been read from the socket.
        :param emptied: how many times it had nothing to read.
        """
        if self._peers is not None:
            self._peers.emptied = emptied
            if self._peers.limiter is not None:
                self._peers.limiter.read_bytes = read_bytes

    def end_sender(self, descriptor: int, offence: Offence) -> None:
        """End the connection over which a message came; see `SocketPeers.end_sender`. Does not yield.

        :param descriptor: what libzmq says of the message.
        :param offence: what is wrong with it.
        """
        if self._peers is not None:
            self._peers.end_sender(descriptor, offence)

    def end_revoked(self, is_meant: Callable[[str], bool]) -> bool:
        """End the connections whose address `is_meant`; whether none of them is left. Does not yield.

        They stay where the peers of the socket are not followed.
        """
        return self._peers is not None and self._peers.end_revoked(is_meant)

    @property
    def peers(self) -> SocketPeers | None:
        """Knows whether a peer is there; None where that cannot be known: inproc, legacy peers. Does not yield."""
        return None if self._reaches_inproc or self._takes_legacy else self._peers

    def snapshot(self) -> PeersSnapshot | None:
        """Who is connected and what has been counted; once it is closed, what had been; None if it was not followed.

        Does not yield.
        """
        return self._last_peers if self._peers is None else self._peers.snapshot()

    def close(self, linger_ms: int | None) -> None:
        """Close the socket; `wait_closed` waits for what it has queued. Yields; may be called twice.

        :param linger_ms: how long to go on delivering what is queued, in ms; None for the socket's own time.
        """
        self._leave_inproc()
        for endpoint in self.plan.endpoints:
            if not endpoint.binds and endpoint.transport == "inproc":
                inproc.forget(self.socket, endpoint.address)
        if self._reconnector is not None:
            self._reconnector.close()
        if self._peers is not None:
            self._last_peers = self._peers.close()
            self._peers = None
        if self._monitor is not None and (self._reaches_inproc or self.socket.closed):
            # Over inproc it ends when its peers have noticed, which may belong to the greenlet that would wait here.
            self._monitor.stop()
            self._monitor = None
        elif self._monitor is not None:
            self._monitor.close_socket(linger_ms)
            self._ending, self._monitor = self._monitor, None
        self.socket.close(linger_ms)

    def wait_closed(self) -> None:
        """Yield until it has delivered what lingers, and its addresses are free; then remove its files.

        May be called twice.
        """
        if self._ending is not None:
            self._ending.wait_destroyed()
        while self._files:
            # An interruption may come meanwhile, and the next call goes on.
            self._files[-1].remove(0.0 if self._ending is not None else _END_S)
            self._files.pop()
        if self._tunnels is not None:
            self._tunnels.close()
        self.bound = []

    @property
    def _reaches_inproc(self) -> bool:
        return any(endpoint.transport == "inproc" for endpoint in self.plan.endpoints)

    def _watch(self, follow: bool) -> None:
        # A monitor has no events of inproc endpoints.
        if any(endpoint.transport != "inproc" for endpoint in self.plan.endpoints):
            connects = any(not endpoint.binds for endpoint in self.plan.endpoints)
            names = None if self._tunnels is None else self._tunnels.names
            self._monitor = Monitor(self.socket, PEER_EVENTS if follow or connects else 0, names)
            if follow or connects:
                self._follow(self._monitor, usage_bound(self.plan, self._settings) if follow else None)

    def _follow(self, monitor: Monitor, bound: Bound | None) -> None:
        self._reconnector = one = Reconnector(
            self.socket,
            self.plan.endpoints,
            bound=lambda: self.bound,
            instead={} if self._tunnels is None else self._tunnels.addresses,
            whose=self._whose,
        )
        self._peers = SocketPeers(
            monitor,
            self._device,
            self.plan.key,
            one.observe,
            bound,
            types=socket_types.told(zmq.SocketType(self.plan.type).name),
            takes_legacy=self._takes_legacy,
            handshake=handshake_time(self.plan, self._settings),
            limit=None if self.plan.private else peer_limit(self._settings),
        )
        one.read_events = self._peers.now

    def _open(self, endpoint: Endpoint, descriptor: int | None) -> None:
        self._limit_parts(endpoint)
        self.socket.set(zmq.BACKLOG, backlog(self.plan, self._settings, endpoint, free_descriptors.free()))
        if descriptor is not None:
            self.bound.append(use_descriptor(self.socket, descriptor))
        elif endpoint.binds:
            self._bind(endpoint)
        elif endpoint.transport == "inproc":
            inproc.connect(self.socket, endpoint.address)
        elif self._tunnels is not None and endpoint.transport == "tcp":
            self.socket.connect(self._tunnels.open(endpoint))
        else:
            connect(self.socket, endpoint)

    def _limit_parts(self, endpoint: Endpoint) -> None:
        # Connections keep what is set when their endpoint is bound or connected.
        self.socket.set(zmq.MAXMSGSIZE, largest_part(self.plan, self._settings, endpoint))

    def _leave_inproc(self) -> None:
        # At once, for its successor: a closed socket keeps its address until libzmq's own thread has taken it away.
        while self._inproc:
            inproc.unbind(self.socket, self._inproc.pop())

    def _bind(self, endpoint: Endpoint) -> None:
        # libzmq removes the file of ipc://* itself.
        path = None if endpoint.is_wildcard else file_of(endpoint.address)
        file = None if path is None else IpcFile(path)
        try:
            self.bound.append(bind(self.socket, endpoint))
        except BaseException:
            if file is not None:
                file.leave()
            raise
        if file is not None:
            self._files.append(file)
        if endpoint.transport == "inproc":
            self._inproc.append(endpoint.address)
            inproc.bound(self.socket, endpoint.address)
