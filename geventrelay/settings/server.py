"""What a user may set of a server: one process and the devices in it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError
from .devices import DeviceSettings


class LogFormat(enum.Enum):
    """How a line of the log is written."""

    TEXT = "text"
    """Time, level, event, then key=value."""
    JSON = "json"
    """One object per line."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the server answers HTTP: a host, ``127.0.0.1`` unless told, and a port, of which 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one process runs. All are keywords.

    :param devices: the devices, each with a name of its own.
    :param http: where to answer HTTP; None for nowhere.
    :param http_token_file: a file whose first line is what a bearer must know to change anything over HTTP; None lets
        nobody change anything.
    :param fail_fast: whether a device that fails ends the process, instead of being started again.
    :param ready_file: where to write the bound endpoints once they are all there; None for nowhere.
    :param log_level: ``debug``, ``info``, ``warning`` or ``error``. :param log_format: how the log is written.
    """

    devices: tuple[DeviceSettings, ...]
    http: HttpAddress | None = None
    http_token_file: Path | None = None
    fail_fast: bool = False
    ready_file: Path | None = None
    log_level: str = "info"
    log_format: LogFormat = LogFormat.TEXT

    def __post_init__(self) -> None:
        names = [device.name for device in self.devices]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError("devices", "names that differ", name)
