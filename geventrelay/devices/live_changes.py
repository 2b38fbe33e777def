"""What of a device's settings can change while it runs, and what a change comes to.

High-water marks cannot. libzmq has a listener's connections keep the marks that there were when it was bound
(stream_listener_base_t::create_engine), gives new ones to those that are there already, and in doing so up to version
4.3.5 writes to the queue of a peer that is just leaving after it has been freed (pipe_t::send_hwms_to_peer). A queue
that is full at the time may also never be told that there is room again: that is told each time half of a queue has
been read, and the half is another one then.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import zmq

from ..components.plan import Adjustment, SocketPlan
from ..errors import SettingsError
from ..settings import DeviceSettings
from ..settings.option import options_of
from .patterns import plan


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
    live = {option.field for option in options_of(type(old)) if option.live}
    for field in dataclasses.fields(old):
        if field.name not in live and getattr(old, field.name) != getattr(new, field.name):
            return field.name
    # With and without prefixes a forwarder has other sockets.
    return None if _types(old) == _types(new) else "subscribe"


def _types(settings: DeviceSettings) -> list[int]:
    return [socket.type for socket in plan(settings).sockets]


def _subscriptions(settings: DeviceSettings) -> list[bytes]:
    return [prefix for socket in plan(settings).sockets for prefix in subscriptions(socket)]


def subscriptions(socket: SocketPlan) -> list[bytes]:
    """The prefixes that a planned `socket` takes; a control socket's are none of the settings'."""
    return [value for option, value in socket.options if option == zmq.SUBSCRIBE]
