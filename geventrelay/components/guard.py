"""What a device's sockets ask of the feature that protects them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..engine.peertable import PeersSnapshot
from ..engine.socket import RelaySocket
from ..engine.stages.contract import Stage
from ..settings import DeviceSettings
from .door import Door
from .plan import SocketPlan


class Guard(Protocol):
    """Keeps peers off a device's sockets that must not connect. There is one for each start of a device.

    :ivar on_change: is called once peers of libzmq's sockets have other rights; it must not yield.
    """

    on_change: Callable[[], None]

    def protect(self, socket: RelaySocket, plan: SocketPlan) -> None:
        """Let no peer in at a `socket` but those that its rules allow. Yields while a thread reads files.

        It is called with all options set, before the socket is bound or connected.

        :param plan: what the socket was made of.
        :raises StartError: if it cannot be protected, e.g. since a file cannot be read.
        """

    def stages(self, plan: SocketPlan) -> tuple[Stage, ...]:
        """What each message has to pass that is read from a socket of libzmq after `protect`. Does not yield.

        :param plan: what the socket was made of.
        """

    def door(self, plan: SocketPlan, door: Door) -> Door:
        """How peers come in at a socket of engine zmtp. Yields while a thread reads files.

        :param plan: what the socket is made of.
        :param door: how they do by ZeroMQ's own options: the answer where there are no rules.
        :raises StartError: as `protect`.
        """

    def prepare(self, settings: DeviceSettings) -> Callable[[], None]:
        """Read all that decides who may connect anew. Yields while a thread reads files.

        :param settings: the device's from now on; they need no restart.
        :returns: what has it count for new connections.
        :raises SettingsError: if it cannot be read; what has been read before goes on to count.
        """

    def complete(self, key: str, peers: PeersSnapshot) -> PeersSnapshot:
        """What is known of a socket's `peers`, with who they are and with what was refused. Does not yield.

        :param key: the socket's; one without rules has nothing to add.
        """

    def is_revoked(self, key: str, address: str) -> bool:
        """Whether a connection may be one that would not be let in now, or would have other rights. Does not yield.

        For libzmq's sockets: with engine zmtp, `Entry.still` says it exactly.

        :param key: the socket's.
        :param address: where the connection comes from, as `PeersSnapshot` has it.
        """

    def forget_revoked(self, key: str) -> None:
        """Know nothing more of those of which `is_revoked` tells: they have been ended. Does not yield.

        :param key: the socket's.
        """

    def close(self) -> None:
        """Give back all that `protect` has taken; the sockets are closed by then. May yield; may be called twice."""


NewGuard = Callable[[DeviceSettings], Guard]
"""Makes the guard for a device of these settings. Does no I/O."""
