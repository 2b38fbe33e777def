"""A ZeroMQ relay server on greenlets: what stands between programs so that each knows one address only."""

from .devices.device import Device
from .devices.snapshot import DeviceSnapshot, State
from .dropin.functions import device, monitored_queue, proxy, proxy_steerable
from .endpoints import Endpoint
from .engine.counters import Drop, OutletSnapshot, PumpSnapshot
from .engine.peertable import PeerSnapshot, PeersSnapshot
from .engine.socket import RelaySocket
from .errors import DeviceFailed, ForkedError, GeventRelayError, SettingsError, StartError
from .settings import ControlType, Custom, Forwarder, Payload, Queue, Relay, Streamer, WhenFull

__all__ = [
    "ControlType",
    "Custom",
    "Device",
    "DeviceFailed",
    "DeviceSnapshot",
    "Drop",
    "Endpoint",
    "ForkedError",
    "Forwarder",
    "GeventRelayError",
    "OutletSnapshot",
    "Payload",
    "PeerSnapshot",
    "PeersSnapshot",
    "PumpSnapshot",
    "Queue",
    "Relay",
    "RelaySocket",
    "SettingsError",
    "StartError",
    "State",
    "Streamer",
    "WhenFull",
    "device",
    "monitored_queue",
    "proxy",
    "proxy_steerable",
]
