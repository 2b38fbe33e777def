"""What a user may set of a server: one process and the devices in it."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..endpoints import Endpoint, Taken
from ..errors import SettingsError
from .checks import flag, level, one_of, path
from .device import DeviceSettings
from .option import setting


class LogFormat(enum.Enum):
    """How a line of the log is written."""

    TEXT = "text"
    """Time, level, event, then key=value."""
    JSON = "json"
    """One object per line."""


_HTTP = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the server answers HTTP: a host, ``127.0.0.1`` unless told, and a port, of which 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, name: str, value: Any) -> HttpAddress:
        """Read an address.

        :param name: what to call the input in an error.
        :param value: ``HOST:PORT``, ``[HOST]:PORT`` or a bare port, as text or int; the host ``*`` is every one.
        :raises SettingsError: for anything else.
        """
        if isinstance(value, HttpAddress):
            return value
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        match = _HTTP.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise SettingsError(name, "HOST:PORT or a port, which is from 0 to 65535", value)
        host = (match["host"] or "127.0.0.1").strip("[]")
        return cls("0.0.0.0" if host == "*" else host, int(match["port"]))

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
    http: HttpAddress | None = setting("--http", HttpAddress.parse, default=None)
    http_token_file: Path | None = setting("--http-token-file", path, default=None)
    fail_fast: bool = setting("--fail-fast", flag, default=False)
    ready_file: Path | None = setting("--ready-file", path, default=None)
    log_level: str = setting("--log-level", level, default="info")
    log_format: LogFormat = setting("--log-format", one_of(LogFormat), default=LogFormat.TEXT)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata and not (value is None and field.default is None):
                object.__setattr__(self, field.name, field.metadata["check"](field.name, value))
        names = Counter(device.name for device in self.devices)
        for name, count in names.items():
            if count > 1:
                raise SettingsError("devices", "names that differ", name)


def clashes(
    http: HttpAddress | None, devices: Mapping[str, Mapping[str, Sequence[Endpoint]]]
) -> Iterator[tuple[tuple[str, str], SettingsError]]:
    """What would be bound twice: each time a device's name and a socket's key, with what is wrong there.

    :param http: where HTTP is answered. :param devices: the endpoints of each device's sockets, by name and by key.
    """
    taken = Taken()
    if http is not None:
        taken.add(Endpoint(f"tcp://{http}"), "http")
    for name, sockets in devices.items():
        own = [(key, endpoint) for key, endpoints in sockets.items() for endpoint in endpoints]
        for key, endpoint in own:
            # What a device binds twice by itself is told where the device is checked.
            owner = taken.owner(endpoint)
            if owner is not None:
                yield (name, key), SettingsError(name, f"an address that {owner} does not bind", str(endpoint))
        for key, endpoint in own:
            taken.add(endpoint, f"device.{name}.{key}")
