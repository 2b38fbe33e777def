"""What of a device's settings can change while it runs, and what a change comes to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import zmq

from ..errors import SettingsError
from ..settings import DeviceSettings
from .patterns import SocketPlan, plan

# The last two are read when the device stops, and not at all once the endpoints are complete: one that changes with
# the interface is a difference of its own.
_ADJUSTABLE = frozenset({"subscribe", "sndhwm", "rcvhwm", "linger_ms", "drain_s", "interface"})
_ADJUSTABLE_OPTIONS = frozenset({zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER})


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What the running SUB of a device is to be told; limits are simply set again.

    :ivar subscribe: the prefixes that a SUB takes from now on. :ivar unsubscribe: those that it takes no more.
    """

    subscribe: tuple[bytes, ...] = ()
    unsubscribe: tuple[bytes, ...] = ()


def adjustment(old: DeviceSettings, new: DeviceSettings) -> Adjustment:
    """What makes a running device of `old` settings one of `new` settings.

    :raises SettingsError: naming the first setting that would need a restart.
    """
    name = restart_needed_by(old, new)
    if name is not None:
        raise SettingsError(name, "a value that does not change while the device runs", getattr(new, name, new.pattern))
    before, after = (Counter(_subscriptions(settings)) for settings in (old, new))
    return Adjustment(tuple((after - before).elements()), tuple((before - after).elements()))


def restart_needed_by(old: DeviceSettings, new: DeviceSettings) -> str | None:
    """The first setting in which `new` differs from `old` such that only a restart makes it so; None for none."""
    if type(old) is not type(new):
        return "pattern"
    for field in dataclasses.fields(old):
        if field.name not in _ADJUSTABLE and _fixed(old, field.name) != _fixed(new, field.name):
            return field.name
    # With and without prefixes a forwarder has other sockets.
    return None if _types(old) == _types(new) else "subscribe"


def _fixed(settings: DeviceSettings, name: str) -> object:
    """What of a setting cannot change."""
    if name != "socket_options":
        return getattr(settings, name)
    every = (
        (key, number, value) for key, chosen in settings.socket_options.items() for number, value in chosen.items()
    )
    return sorted((key, number, value) for key, number, value in every if number not in _ADJUSTABLE_OPTIONS)


def _types(settings: DeviceSettings) -> list[int]:
    return [socket.type for socket in plan(settings).sockets]


def _subscriptions(settings: DeviceSettings) -> list[bytes]:
    return [prefix for socket in plan(settings).sockets for prefix in subscriptions(socket)]


def subscriptions(socket: SocketPlan) -> list[bytes]:
    """The prefixes that a planned `socket` takes; a control socket's are none of the settings'."""
    return [value for option, value in socket.options if option == zmq.SUBSCRIBE]
