"""Which engine the devices of a test have, where that matters."""

from __future__ import annotations

import pytest
import zmq

from geventrelay import Device
from geventrelay.components.switch import Switch
from geventrelay.devices.engines import default_engine
from geventrelay.switch.station import Station
from geventrelay.terms import Engine

ZMTP = default_engine() is Engine.ZMTP
"""Whether devices that do not choose have engine zmtp, if they can have it."""


def libzmq_only(reason: str) -> pytest.MarkDecorator:
    """Marks a test that looks into what only libzmq's engine has: `reason` says what that is."""
    return pytest.mark.skipif(ZMTP, reason=f"only with libzmq's engine: {reason}")


def station(device: Device, key: str) -> Station:
    """Of a device with engine zmtp: its socket `key`."""
    (switch,) = (one for one in device._assembly.components if isinstance(one, Switch))
    return switch._stations[key]


def is_held_back(device: Device, source: str = "frontend") -> bool:
    """Whether something that has come to the socket `source` waits for an outlet.

    It is in hand with libzmq's engine, and still in its connection with engine zmtp.
    """
    if device.engine == Engine.ZMTP.value:
        return any(link.blocked for link in station(device, source)._links.values())
    return any(one.held for one in device.snapshot().pumps if one.source == source)


def connections_of(device: Device, key: str) -> int:
    """How many connections the socket `key` has, those within their handshake among them."""
    if device.engine == Engine.ZMTP.value:
        found = station(device, key)
        return len(found._entrance._handshakes) + len(found._links)
    return len(device._assembly.sockets.peers_of(key)._table.connections)


def break_down(device: Device, key: str) -> None:
    """Have what moves the messages of the socket `key` fail, as if its descriptor had been closed by others."""
    if device.engine == Engine.ZMTP.value:
        station(device, key).driver._fail(zmq.ZMQError(zmq.ENOTSOCK))
    else:
        device._assembly.sockets[key].close()
