"""A ZeroMQ relay server on greenlets: what stands between programs so that each knows one address only."""

from .devices.device import Device, DeviceSnapshot, State
from .endpoints import Endpoint
from .engine.counters import Drop, OutletSnapshot, PumpSnapshot
from .engine.socket import RelaySocket
from .errors import DeviceFailed, GeventRelayError, SettingsError, StartError
from .settings import Custom, Forwarder, PushPayload, Queue, Relay, Streamer, WhenFull

__all__ = [
    "Custom",
    "Device",
    "DeviceFailed",
    "DeviceSnapshot",
    "Drop",
    "Endpoint",
    "Forwarder",
    "GeventRelayError",
    "OutletSnapshot",
    "PumpSnapshot",
    "PushPayload",
    "Queue",
    "Relay",
    "RelaySocket",
    "SettingsError",
    "StartError",
    "State",
    "Streamer",
    "WhenFull",
]
