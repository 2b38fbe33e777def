"""The sockets of a device and the context that they are made in: opened together, closed together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zmq

from ..engine.peers import SocketPeers
from ..engine.peertable import PeersSnapshot
from ..engine.socket import RelaySocket
from ..engine.stages.contract import Stage
from ..engine.usage import Offence
from ..settings import DeviceSettings
from . import contexts
from .component import Component, DrainStep
from .device_socket import DeviceSocket
from .guard import Guard
from .peer_bounds import most_parts
from .plan import Adjustment, SocketPlan


class Sockets(Component):
    """Every socket of a device: those of its pattern, and those that its other components have made here.

    It is the first component to be opened and the last to be closed, so that all sockets deliver what lingers at the
    same time.

    :param plans: the pattern's sockets.
    :param settings: the device's.
    :param context: where to make them; None for the one that devices share.
    :param descriptors: listening sockets that others have bound, see `Device`.
    :param guard: what protects them.
    :param followed: the keys of the sockets whose peers are to be followed; None for every socket.
    """

    key = "sockets"
    runs = False

    def __init__(
        self,
        plans: Iterable[SocketPlan],
        settings: DeviceSettings,
        *,
        context: zmq.Context[Any] | None,
        descriptors: Mapping[tuple[str, int], int],
        guard: Guard,
        followed: frozenset[str] | None,
    ) -> None:
        self._plans = tuple(plans)
        self._settings = settings
        self._context: Any = context
        self._shared: zmq.Context[Any] | None = None
        self._descriptors = descriptors
        self._guard = guard
        self._followed = followed
        self._sockets: dict[str, DeviceSocket] = {}
        self._last_peers: dict[str, PeersSnapshot] = {}

    def __getitem__(self, key: str) -> RelaySocket:
        return self._sockets[key].socket

    def __contains__(self, key: object) -> bool:
        return key in self._sockets

    @property
    def context(self) -> Any:
        """Where the sockets are made; None before the first is made where that is the shared one."""
        return self._context

    @property
    def bound(self) -> dict[str, list[str]]:
        """The addresses that each socket is bound to, by its key. Does not yield."""
        return {key: list(one.bound) for key, one in self._sockets.items() if one.plan.endpoints}

    def peers_of(self, key: str) -> SocketPeers | None:
        """Knows whether a peer of the socket `key` is there; None where that cannot be known. Does not yield."""
        return self._sockets[key].peers

    def is_private(self, key: str) -> bool:
        """Whether the socket `key` is between components of the device; see `SocketPlan`. Does not yield."""
        return self._sockets[key].plan.private

    def most_parts(self, key: str, settings: DeviceSettings) -> int:
        """How many parts a message from the socket `key` may have; see `peer_bounds.most_parts`, `settings` too."""
        return most_parts(self._sockets[key].plan, settings)

    def stages(self, key: str) -> tuple[Stage, ...]:
        """What each message has to pass that is read from the socket `key`. Does not yield."""
        return self._guard.stages(self._sockets[key].plan)

    def count_read(self, key: str, read_bytes: Callable[[], int], emptied: Callable[[], int]) -> None:
        """Let the socket `key` know what has been read from it: `read_bytes`, and how often it was `emptied`.

        Does not yield.
        See `DeviceSocket.count_read`.
        """
        self._sockets[key].count_read(read_bytes, emptied)

    def end_sender(self, key: str, descriptor: int, offence: Offence) -> None:
        """End the connection to the socket `key` with this `descriptor` for an `offence`; see `SocketPeers.end_sender`.

        Does not yield.
        """
        self._sockets[key].end_sender(descriptor, offence)

    def end_revoked(self) -> None:
        """End the connections that would not be let in now, or would have other rights. Does not yield.

        Where others come from the address of one of them, theirs are ended too: libzmq does not tell which is whose.
        Those that may come in connect again.
        """
        for key, one in list(self._sockets.items()):
            if one.end_revoked(functools.partial(self._guard.is_revoked, key)):
                self._guard.forget_revoked(key)

    def is_cut_off(self, key: str) -> bool:
        """Whether the end of its listening ends connections of the socket `key`: see `stop_reading`. Does not yield."""
        return self._sockets[key].is_cut_off

    def has_unread(self, key: str) -> bool:
        """Whether bytes of messages came in at the socket `key` that libzmq has not read. Does not yield."""
        return self._sockets[key].has_unread

    def peers(self) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket that is followed, by its key; once all is closed, only what was counted.

        Does not yield.
        """
        found = {key: one.snapshot() for key, one in self._sockets.items()}
        known = {key: self._guard.complete(key, one) for key, one in found.items() if one is not None}
        return {**self._last_peers, **known}

    def make(self, plan: SocketPlan) -> RelaySocket:
        """Make one more socket, neither bound nor connected yet. It is closed with the others. Does not yield.

        :param plan: what it is to be, under a key that is not taken.
        :raises StartError: naming an option that libzmq refuses, or if there are no descriptors.
        """
        self._take_context()
        follow = self._followed is None or plan.key in self._followed
        one = self._sockets[plan.key] = DeviceSocket(self._context, plan, self._settings, self._guard, follow=follow)
        return one.socket

    def open_endpoints(self, key: str) -> None:
        """Bind and connect the socket `key` as it was planned. Yields while names resolve.

        :raises StartError: naming the endpoint that could not be had.
        """
        self._sockets[key].open(self._descriptors)

    def open(self) -> None:
        """Make, bind and connect the pattern's sockets; see `Component.open`."""
        for plan in self._plans:
            self.make(plan)
        for plan in self._plans:
            self.open_endpoints(plan.key)

    def stop_reading(self, step: DrainStep) -> None:
        """At the `step` BEGUN, stop listening where peers only send. Does not yield."""
        if step is DrainStep.BEGUN:
            for plan in self._plans:
                self._sockets[plan.key].unbind()

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Take the linger of other `settings`, and the subscriptions of a `change`. Does not yield."""
        self._settings = settings
        patterns = {plan.key for plan in self._plans}
        for key, one in self._sockets.items():
            # What a feature's SUB takes is for the feature to say.
            one.apply(settings, change if key in patterns else Adjustment())

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Close all of them at once, and yield until their addresses are free; see `Component.close`.

        :param linger_ms: how long to go on delivering what is queued, in ms; None for each socket's own time.
        :param failed: of no concern here.
        """
        steps: list[Callable[[], None]] = [functools.partial(one.close, linger_ms) for one in self._sockets.values()]
        steps += [one.wait_closed for one in self._sockets.values()]
        errors = []
        for step in steps:
            # After an error at one of them, the next ones have their turn; after an interruption, this is called again.
            try:
                step()
            except Exception as error:
                errors.append(error)
        self._forget()
        if errors:
            raise errors[0]

    def _take_context(self) -> None:
        # With an engine of its own, a pattern may need none.
        if self._context is None:
            self._context = self._shared = contexts.take(self._settings.io_threads)

    def _forget(self) -> None:
        self._last_peers = self.peers()
        self._sockets = {}
        # It has a socket in the context too.
        self._guard.close()
        shared, self._shared = self._shared, None
        if shared is not None:
            contexts.give_back(shared)
