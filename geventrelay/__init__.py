"""A ZeroMQ relay server on greenlets: what stands between programs so that each knows one address only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .devices.device import Device
    from .devices.snapshot import DeviceSnapshot, State
    from .dropin.functions import device, monitored_queue, proxy, proxy_steerable
    from .endpoints import Endpoint
    from .engine.counters import Drop, OutletSnapshot, PumpSnapshot
    from .engine.peeraccount import PeerAccount
    from .engine.peertable import ConnectingSnapshot, PeerSnapshot, PeersSnapshot
    from .engine.socket import RelaySocket
    from .errors import DeviceFailed, ForkedError, GeventRelayError, SettingsError, StartError
    from .settings import ControlType, Custom, Forwarder, Payload, Queue, Relay, SlowSubscriber, Streamer, WhenFull

__all__ = [
    "ConnectingSnapshot",
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
    "PeerAccount",
    "PeerSnapshot",
    "PeersSnapshot",
    "PumpSnapshot",
    "Queue",
    "Relay",
    "RelaySocket",
    "SettingsError",
    "SlowSubscriber",
    "StartError",
    "State",
    "Streamer",
    "WhenFull",
    "device",
    "monitored_queue",
    "proxy",
    "proxy_steerable",
]

# A name is loaded when it is first used: a program that needs only a part, such as the settings, does not load gevent
# and ZeroMQ for it. A test holds this table, the imports above and `__all__` to each other.
_NAMES = {
    ".devices.device": "Device",
    ".devices.snapshot": "DeviceSnapshot State",
    ".dropin.functions": "device monitored_queue proxy proxy_steerable",
    ".endpoints": "Endpoint",
    ".engine.counters": "Drop OutletSnapshot PumpSnapshot",
    ".engine.peeraccount": "PeerAccount",
    ".engine.peertable": "ConnectingSnapshot PeerSnapshot PeersSnapshot",
    ".engine.socket": "RelaySocket",
    ".errors": "DeviceFailed ForkedError GeventRelayError SettingsError StartError",
    ".settings": "ControlType Custom Forwarder Payload Queue Relay SlowSubscriber Streamer WhenFull",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

# Type checkers see the imports above instead, and so report names that do not exist.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_MODULES[name], __name__), name)
        # Python asks here only for what the module does not have: once for each name.
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
