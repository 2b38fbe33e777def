"""What a user may set of a server: one process and the devices in it."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..endpoints import Endpoint, Taken
from ..errors import SettingsError
from .checks import flag, level, one_of, path, whole
from .device import DeviceSettings
from .http import HttpAddress, HttpOptions
from .loops import RULE, loops
from .option import Scope, option, options_of

SMALLEST_BUDGET_BYTES = 1024 * 1024
"""Below it, one large message would be all."""


class LogFormat(enum.Enum):
    """How a line of the log is written."""

    TEXT = "text"
    """Time, level, event, then key=value."""
    JSON = "json"
    """One object per line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(HttpOptions):
    """What one process runs. All are keywords.

    The options are described where they are declared; docs/configuration.rst lists them.

    :param devices: the devices, each with a name of its own.
    """

    title = "Process"
    scope = Scope.PROCESS

    devices: tuple[DeviceSettings, ...]
    fail_fast: bool = option(flag, "end when a device fails, instead of starting it again", default=False, live=True)
    require_auth: bool = option(
        flag,
        "refuse to start with a socket beyond loopback that lets every peer in",
        default=False,
        live=True,
        rare=True,
    )
    memory_budget_bytes: int = option(
        whole(SMALLEST_BUDGET_BYTES, 2**63 - 1, besides=0),
        "what all devices with engine zmtp may keep for peers together; 1 MiB or more, or 0 for no limit",
        default=1024 * 1024 * 1024,
        live=True,
        bound=True,
        rare=True,
    )
    ready_file: Path | None = option(
        path,
        "write the bound endpoints there as JSON; removed at exit",
        default=None,
        unset="none",
        metavar="PATH",
    )
    log_level: str = option(level, "debug, info, warning or error", default="info", metavar="LEVEL", live=True)
    log_format: LogFormat = option(
        one_of(LogFormat), "text or json; one line for each event", default=LogFormat.TEXT, metavar="FORMAT", live=True
    )

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            object.__setattr__(self, one.field, one.read(one.field, getattr(self, one.field)))
        names = Counter(device.name for device in self.devices)
        for name, count in names.items():
            if count > 1:
                raise SettingsError("devices", "names that differ", name)
        for _, error in apart(self.devices):
            raise error
        for _, error in open_to_all(self.devices) if self.require_auth else ():
            raise error
        for _, error in loops_between(self.devices):
            raise error


def clashes(
    http: HttpAddress | None, devices: Mapping[str, Mapping[str, Sequence[Endpoint]]]
) -> Iterator[tuple[tuple[str, str], SettingsError]]:
    """Each address that would be bound twice: a device's name and a socket's key, with what is wrong there.

    :param http: where HTTP is answered.
    :param devices: the endpoints of each device's sockets, by name and by key.
    """
    taken = Taken()
    if http is not None:
        taken.add(Endpoint(f"tcp://{http}"), "http")
    for name, sockets in devices.items():
        own = [(key, endpoint) for key, endpoints in sockets.items() for endpoint in endpoints]
        for key, endpoint in own:
            # An address that one device binds twice has its error where the device is checked.
            owner = taken.owner(endpoint)
            if owner is not None:
                yield (name, key), SettingsError(name, f"an address that {owner} does not bind", str(endpoint))
        for key, endpoint in own:
            taken.add(endpoint, f"device.{name}.{key}")


def loops_between(devices: Sequence[DeviceSettings]) -> Iterator[tuple[tuple[str, str], SettingsError]]:
    """Each loop through `devices`, at most a few: a device's name and the key of its socket that connects, and the way.

    A loop of one device has its error where that device is checked.
    """
    sockets = {
        device.name: {key: (device.socket_types[key], several) for key, several in device.endpoints.items()}
        for device in devices
    }
    for (name, key), way in loops(sockets):
        yield (name, key), SettingsError(f"{name}.{key}", RULE, way)


def open_to_all(devices: Sequence[DeviceSettings]) -> Iterator[tuple[tuple[str, str], SettingsError]]:
    """Each socket beyond loopback that lets every peer in: a device's name and the key, with what is wrong.

    :param devices: all of a server that is not to have any.
    """
    for device in devices:
        for key in device.open_to_all:
            rule = "curve-clients with a folder, plain-passwords or allow for each socket beyond loopback"
            endpoints = ", ".join(map(str, device.endpoints[key]))
            yield (device.name, key), SettingsError("require_auth", rule, f"{device.name} {key} at {endpoints}")


def apart(devices: Sequence[DeviceSettings]) -> Iterator[tuple[str, SettingsError]]:
    """Each device that could never reach the one that binds its inproc address, by name, with what is wrong.

    Devices share a context, which inproc needs (zmq_inproc(7)), where they have the same number of I/O threads.

    :param devices: all of a server.
    """
    binders: dict[str, list[DeviceSettings]] = {}
    connects: list[tuple[DeviceSettings, str]] = []
    for device in devices:
        for endpoint in (one for several in device.endpoints.values() for one in several):
            if endpoint.transport != "inproc":
                continue
            if endpoint.binds:
                binders.setdefault(endpoint.address, []).append(device)
            else:
                connects.append((device, endpoint.address))
    for device, address in connects:
        others = binders.get(address, [])
        if others and all(other.io_threads != device.io_threads for other in others):
            other = others[0]
            same = f"{other.io_threads}, which {other.name} has, since this connects to its {address}"
            yield device.name, SettingsError("io_threads", same, device.io_threads)
