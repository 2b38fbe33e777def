"""What a user may set: frozen dataclasses, validated when they are made.

What breaks a rule raises `SettingsError`; nothing here opens a socket. The command line, the configuration file and
the API share these classes, so that all of them know the same names and the same rules.
"""

from ..terms import Payload, WhenFull
from .device import DeviceSettings, SocketOptions
from .device_options import ControlType, Endpoints
from .patterns import (
    PATTERNS,
    SOCKET_TYPES,
    Custom,
    Forwarder,
    Prefixes,
    Queue,
    Relay,
    Streamer,
)
from .server import HttpAddress, LogFormat, ServerSettings

__all__ = [
    "PATTERNS",
    "SOCKET_TYPES",
    "ControlType",
    "Custom",
    "DeviceSettings",
    "Endpoints",
    "Forwarder",
    "HttpAddress",
    "LogFormat",
    "Payload",
    "Prefixes",
    "Queue",
    "Relay",
    "ServerSettings",
    "SocketOptions",
    "Streamer",
    "WhenFull",
]
