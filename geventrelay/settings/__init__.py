"""What a user may set: frozen dataclasses, validated when they are made.

What breaks a rule raises `SettingsError`; nothing here opens a socket. The command line, the configuration file and
the API share these classes, so that all of them know the same names and the same rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..terms import Payload, SlowSubscriber, WhenFull
    from .device import DeviceSettings, SocketOptions
    from .device_options import ControlType, Endpoints
    from .http import HttpAddress, HttpOptions
    from .patterns import PATTERNS, SOCKET_TYPES, Custom, Forwarder, Prefixes, Queue, Relay, Streamer
    from .server import LogFormat, ServerSettings

__all__ = [
    "PATTERNS",
    "SOCKET_TYPES",
    "ControlType",
    "Custom",
    "DeviceSettings",
    "Endpoints",
    "Forwarder",
    "HttpAddress",
    "HttpOptions",
    "LogFormat",
    "Payload",
    "Prefixes",
    "Queue",
    "Relay",
    "ServerSettings",
    "SlowSubscriber",
    "SocketOptions",
    "Streamer",
    "WhenFull",
]

# A name is loaded when it is first used: the options of a feature import `settings.option`, and `settings.device`
# imports them, which would be a circle if all of it were loaded here. A test holds this table, the imports above and
# `__all__` to each other.
_NAMES = {
    "..terms": "Payload SlowSubscriber WhenFull",
    ".device": "DeviceSettings SocketOptions",
    ".device_options": "ControlType Endpoints",
    ".patterns": "PATTERNS SOCKET_TYPES Custom Forwarder Prefixes Queue Relay Streamer",
    ".http": "HttpAddress HttpOptions",
    ".server": "LogFormat ServerSettings",
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
