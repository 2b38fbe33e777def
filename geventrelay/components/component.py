"""What a device is built from: components, all with the same nine steps in their lives.

::

    open --> run ... pause, resume, apply ... --> stop_reading --> drained? --> close --> snapshot

A device opens its components in order, gives each that `runs` a greenlet for `run`, and closes them in reverse order.
It knows none of them by name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..engine.counters import PumpSnapshot
from ..settings import DeviceSettings
from .plan import Adjustment, SocketPlan
from .work import Work

if TYPE_CHECKING:
    from ..backbone.trace.hops import Trace
    from ..backbone.values import BackboneSnapshot
    from ..engine.outlet import Outlet
    from .sockets import Sockets


class DrainStep(enum.Enum):
    """How far a device is in its drain: the time in which it moves what has come in, before it closes."""

    BEGUN = "begun"
    """It has just begun: take in nothing new, but go on with what is there."""
    HALF_OVER = "half over"
    """Half of its time is over: the rest is for replies, so read no new requests."""


class Component(Protocol):
    """One thing that a device opens, runs and closes. Here is the contract; a component writes only what differs.

    Its constructor does no I/O. Everything is called in the thread of the device's hub. An instance is opened once.

    :ivar key: what the log calls it: the key of the socket that it reads.
    :ivar runs: whether `run` is to have a greenlet.
    :ivar outlives_sockets: whether it is opened before the sockets and closed after them, since it reads what they
        still write by then.
    """

    key: str
    runs: bool = True
    outlives_sockets: bool = False

    def open(self) -> None:
        """Take everything that it needs until its end, above all every descriptor that `close` will need.

        May yield. Components before it in the list are open. After an error or an interruption, `close` is called.

        :raises StartError: naming the input that stands in the way.
        """
        return

    def run(self) -> None:
        """Do its work until its greenlet is killed. Yields; returns only in a process forked meanwhile.

        :raises Exception: any one fails the device, and so does the end of the greenlet by others than the device.
        """
        return

    def pause(self) -> None:
        """Read nothing more until `resume`; what is in hand stays so. Does not yield."""
        return

    def resume(self) -> None:
        """Go on after `pause`; nothing happens without one. Does not yield."""
        return

    def stop_reading(self, step: DrainStep) -> None:
        """Take in less, now that a drain has come to `step`. Does not yield.

        :param step: BEGUN comes once in a drain, HALF_OVER not at all or several times after that.
        """
        return

    @property
    def drained(self) -> bool:
        """Whether it has moved all that has come in. Does not yield."""
        return True

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Give back all that `open` has taken; its greenlet has ended by then. May yield.

        It may have been opened in part or not at all, and it may be closed twice. If it is interrupted
        (`gevent.Timeout`, `GreenletExit`), it is called again and goes on where it was.

        :param linger_ms: how long to go on delivering what is queued, in ms; None for each socket's own time.
        :param failed: whether the device has failed, so that its sockets may be in any condition.
        """
        return

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Go on with other settings, without a restart. Does not yield.

        :param settings: the device's settings from now on.
        :param change: how its subscriptions differ from those before.
        """
        return

    def snapshot(self) -> PumpSnapshot | None:
        """What it has counted since it was opened, also after `close`; None if it counts no messages.

        Does not yield.
        """
        return None

    def joined(self) -> BackboneSnapshot | None:
        """How it joins this device with others of its name, also after `close`; None if it does not. Does not yield."""
        return None

    def trace(self, topic: bytes | None, limit_s: float) -> Trace | None:
        """Find out how long messages take to others of this device's name; None if it does not join it with any.

        Yields until all have answered, or the time is over.

        :param topic: what messages begin with that are asked about; None for none.
        :param limit_s: how long to wait for answers, in seconds.
        :raises StartError: if it is not up, or is at it already.
        """
        return None


class Controllable(Protocol):
    """What a component may do to the device that it belongs to."""

    def pause(self) -> None:
        """Read nothing more. Does not yield."""

    def resume(self) -> None:
        """Go on after `pause`. Does not yield."""

    def terminate(self) -> None:
        """End, soon and without waiting for it. Does not yield."""

    def disconnect(self, peer: int) -> bool:
        """End the connection of one `peer`, by its number; whether it was there. Does not yield.

        :raises SettingsError: if its engine has no numbers for peers.
        """

    def statistics(self) -> tuple[int, ...]:
        """Eight counts; see `geventrelay.components.control.statistics`. Does not yield."""


class Tapped(Protocol):
    """What moves messages one way, and copies them for watchers."""

    def set_tap(self, outlet: Outlet | None) -> None:
        """Copy each message to `outlet` too; None ends that. Does not yield."""

    def snapshot(self) -> PumpSnapshot | None:
        """What it has counted; None if it was never open. Does not yield."""


class Direction(Component, Protocol):
    """One direction of a device's traffic, whichever engine moves it."""

    @property
    def pump(self) -> Tapped:
        """What moves the messages; there is one from `open` on."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone through the sockets of a device that are for programs, since it was started.

    :ivar received: how many messages came from these.
    :ivar sent: how many were sent to them.
    :ivar peers: how many are connected to each socket, by the socket's key; without those that are not followed.
    """

    received: int = 0
    sent: int = 0
    peers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """What a device gives the components of its features.

    :ivar settings: the device's.
    :ivar sockets: makes and closes sockets; has those of the pattern.
    :ivar pumps: the pattern's, in the order of its plan.
    :ivar bound: the addresses that each socket is bound to now, by its key; private ones too.
    :ivar traffic: what has gone through its sockets up to now; does not yield.
    :ivar device: the device itself.
    :ivar reload: reads the configuration again, raising `GeventRelayError` where it cannot; None where there is none.
    :ivar work: how a backbone is told of messages that have no room here, and of room for others'; None where no outlet
        has another place for its messages, and before the pumps are open.
    """

    settings: DeviceSettings
    sockets: Sockets
    pumps: Sequence[Direction]
    bound: Callable[[], Mapping[str, Sequence[str]]]
    traffic: Callable[[], Traffic]
    device: Controllable
    reload: Callable[[], object] | None
    work: Callable[[], Work | None]


@dataclass(frozen=True, slots=True)
class Feature:
    """What adds components to a device whose settings ask for it, whatever its pattern.

    :ivar sockets: the sockets that it adds, of given settings; empty where they do not ask for the feature.
    :ivar components: the components that it adds in a given environment; empty where its settings do not ask for it.
    """

    sockets: Callable[[DeviceSettings], tuple[SocketPlan, ...]]
    components: Callable[[Environment], tuple[Component, ...]]
