"""The sockets and pumps of one start of a device: made, opened, watched, and closed again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import zmq

from ..components import contexts
from ..components import sockets as opening
from ..components.listeners import own_addresses
from ..components.plan import RECEIVE_ONLY, TAP, Adjustment, OutletPlan, Plan, SocketPlan, tap_plan
from ..components.tap import Tap
from ..engine.counters import Drop
from ..engine.monitor import Monitor, close
from ..engine.outlet import Outlet
from ..engine.peers import PEER_EVENTS, SocketPeers
from ..engine.peertable import PeersSnapshot
from ..engine.pump import Pump
from ..engine.socket import RelaySocket
from ..settings import DeviceSettings
from ..terms import WhenFull

# What is still unread at the end is lost with its socket, so it is read to be counted; a queue of 10000 takes 20 ms.
_COUNT_THE_REST_S = 0.1


def _reaches_inproc(socket_plan: SocketPlan) -> bool:
    return any(endpoint.transport == "inproc" for endpoint in socket_plan.endpoints)


class Assembly:
    """What a plan becomes between `open` and `close`. Making one does no I/O; each is opened once.

    :param plan: what to make. :param settings: the device's.
    :param context: where to make it; None for the one that devices share.
    :param descriptors: listening sockets that somebody else has bound, see `Device`.
    :param watch_peers: whether to follow the connections of every socket, and not of those alone whose drops are told
        apart by them.

    :ivar sockets: by key. :ivar pumps: in the order of the plan; they are still there when all is closed.
    :ivar bound: the addresses that each socket is bound to, by its key.
    :ivar tap: None where there is none, or not yet.
    """

    def __init__(
        self,
        plan: Plan,
        settings: DeviceSettings,
        *,
        context: zmq.Context[Any] | None,
        descriptors: Mapping[tuple[str, int], int],
        watch_peers: bool,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._descriptors = descriptors
        self._watch_peers = watch_peers
        self._shared: zmq.Context[Any] | None = None
        self._context: Any = context
        self.sockets: dict[str, RelaySocket] = {}
        self.bound: dict[str, list[str]] = {}
        self.pumps: list[Pump] = []
        self.tap: Tap | None = None
        self._monitors: dict[str, Monitor] = {}
        self._peers: dict[str, SocketPeers] = {}
        self._last_peers: dict[str, PeersSnapshot] = {}

    def open(self) -> None:
        """Make everything, bind and connect. Yields while host names are resolved.

        :raises StartError: naming the endpoint that could not be had; everything else is undone by then.
        """
        try:
            if self._context is None:
                self._context = self._shared = contexts.take(self._settings.io_threads)
            self._make()
            for plan in self._plan.sockets:
                socket = self.sockets[plan.key]
                self.bound[plan.key] = opening.open_endpoints(socket, plan, self._settings.name, self._descriptors)
        except BaseException:
            self.close(0)
            raise

    def adjust(self, plan: Plan, settings: DeviceSettings, change: Adjustment) -> None:
        """Give the running sockets the `change` that leads to another `plan` and other `settings`. Does not yield."""
        self._plan, self._settings = plan, settings
        for socket_plan in plan.sockets:
            opening.adjust(self.sockets[socket_plan.key], socket_plan, settings, change)

    def unbind_receivers(self) -> None:
        """Stop listening at the sockets that only receive: what has come in can still be read. Does not yield."""
        for plan in self._plan.sockets:
            if plan.type in RECEIVE_ONLY:
                opening.unbind(self.sockets[plan.key], self.bound[plan.key])

    @property
    def drained(self) -> bool:
        """Whether all that came in has been moved, and each request that was handed out was answered."""
        if self._plan.answered:
            requests, replies = (pump.snapshot().outlets[0] for pump in self.pumps)
            # Unroutable ones do not count: they answer nobody who still waits.
            if replies.sent + replies.dropped.get(Drop.FULL, 0) < requests.sent:
                return False
        return all(pump.drained for pump in self.pumps)

    def count_the_rest(self) -> None:
        """Count what has not been read as dropped; for when the pumps' greenlets have ended. Yields."""
        for pump in self.pumps:
            pump.discard(time.monotonic() + _COUNT_THE_REST_S)

    def peers(self) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket that is watched, by its key; when all is closed, only what was counted."""
        return {**self._last_peers, **{key: peers.snapshot() for key, peers in self._peers.items()}}

    def make_tap(self) -> Tap:
        """Make a tap that nobody but this process can reach; the caller runs it. Does not yield."""
        self.sockets[TAP] = opening.make_socket(self._context, tap_plan(self._settings), self._settings)
        self.tap = Tap(self.sockets[TAP], self._context, self.pumps)
        return self.tap

    def close(self, linger_ms: int | None) -> None:
        """Close everything. Yields until all of it has gone; does nothing the second time.

        :param linger_ms: how long to go on delivering what is queued, in ms; None for each socket's own.
        """
        self.tap = None
        peers, self._peers = self._peers, {}
        self._last_peers = {key: one.close() for key, one in peers.items()}
        sockets, self.sockets = self.sockets, {}
        monitors, self._monitors = self._monitors, {}
        for plan in self._plan.sockets:
            if _reaches_inproc(plan) and plan.key in monitors:
                # It ends when its peers have noticed, which may be sockets of this very greenlet's.
                monitors.pop(plan.key).stop()
        for key, socket in sockets.items():
            if key not in monitors:
                socket.close(linger_ms)
        close(monitors.values(), linger_ms)
        shared, self._shared = self._shared, None
        if shared is not None:
            contexts.give_back(shared)
        bound, self.bound = self.bound, {}
        for plan in self._plan.sockets:
            if plan.key in bound:
                opening.remove_ipc_files(own_addresses(plan, bound[plan.key], self._descriptors))

    def _make(self) -> None:
        for plan in self._plan.sockets:
            self.sockets[plan.key] = opening.make_socket(self._context, plan, self._settings)
            if any(one.transport != "inproc" for one in plan.endpoints):
                self._watch(plan.key)
        for pump in self._plan.pumps:
            outlets = [self._outlet(outlet) for outlet in pump.outlets]
            self.pumps.append(Pump(pump.source, self.sockets[pump.source], outlets))
        if TAP in self.sockets:
            self.tap = Tap(self.sockets[TAP], self._context, self.pumps)

    def _watch(self, key: str) -> None:
        # Also where no one asks for its peers: a stop waits for the monitor's last event.
        follows = self._watch_peers or self._drops(key)
        monitor = self._monitors[key] = Monitor(self.sockets[key], PEER_EVENTS if follows else 0)
        if follows:
            self._peers[key] = SocketPeers(monitor, self._settings.name, key)

    def _drops(self, key: str) -> bool:
        outlets = (outlet for pump in self._plan.pumps for outlet in pump.outlets)
        return any(outlet.socket == key and outlet.when_full is WhenFull.DROP for outlet in outlets)

    def _outlet(self, plan: OutletPlan) -> Outlet:
        socket, peers = self.sockets[plan.socket], self._peers.get(plan.socket)
        if _reaches_inproc(next(one for one in self._plan.sockets if one.key == plan.socket)):
            # So nobody can tell whether somebody is there.
            peers = None
        return Outlet(plan.socket, socket, when_full=plan.when_full, payload=plan.payload, peers=peers)
