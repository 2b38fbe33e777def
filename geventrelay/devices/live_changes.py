"""What a change of settings means for a running device: what it can take, or that it needs a restart.

An option says itself whether it is live. High-water marks are not, for three reasons. A listener of libzmq gives its
connections the marks that it had when it was bound (stream_listener_base_t::create_engine), and only connections that
are there already get new ones. Up to version 4.3.5, libzmq then writes to the queue of a peer that is just leaving,
after the queue has been freed (pipe_t::send_hwms_to_peer). And a full queue may never be written to again: its sender
waits until half of the queue has been read, and the half is another number then.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import zmq

from ..components.plan import Adjustment, SocketPlan
from ..errors import SettingsError
from ..settings import DeviceSettings
from ..settings.option import options_of
from .patterns import plan


def adjustment(old: DeviceSettings, new: DeviceSettings) -> Adjustment:
    """The change that gives a running device of `old` settings the `new` ones.

    :raises SettingsError: naming the first setting that would need a restart.
    """
    name = restart_needed_by(old, new)
    if name is not None:
        raise SettingsError(name, "a value that does not change while the device runs", getattr(new, name, new.pattern))
    before, after = (Counter(_subscriptions(settings)) for settings in (old, new))
    return Adjustment(tuple((after - before).elements()), tuple((before - after).elements()))


def restart_needed_by(old: DeviceSettings, new: DeviceSettings) -> str | None:
    """The first setting in which `new` differs from `old` and which needs a restart; None if no restart is needed."""
    if type(old) is not type(new):
        return "pattern"
    # The options of single sockets too: what of them needs a restart is the shape of the rules.
    live = {"socket_access"} | {option.field for option in options_of(type(old)) if option.live}
    for field in dataclasses.fields(old):
        if field.name not in live and getattr(old, field.name) != getattr(new, field.name):
            return field.name
    if _shapes(old) != _shapes(new):
        return "access"
    # With prefixes, a forwarder has other sockets than without.
    return None if _types(old) == _types(new) else "subscribe"


def _shapes(settings: DeviceSettings) -> dict[str, tuple[Any, ...]]:
    """What of the rules of its sockets is set before they are bound."""
    return {key: rules.shape for key, rules in settings.access_rules.items()}


def _types(settings: DeviceSettings) -> list[int]:
    return [socket.type for socket in plan(settings).sockets]


def _subscriptions(settings: DeviceSettings) -> list[bytes]:
    return [prefix for socket in plan(settings).sockets for prefix in subscriptions(socket)]


def subscriptions(socket: SocketPlan) -> list[bytes]:
    """The prefixes that a planned `socket` subscribes to, by the device's settings."""
    return [value for option, value in socket.options if option == zmq.SUBSCRIBE]
