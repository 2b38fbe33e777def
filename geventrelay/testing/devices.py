"""The devices of one test: started on free ports, stopped together, with their accounting checked."""

from __future__ import annotations

import dataclasses
from typing import Any

import zmq

from ..devices.device import Device
from ..devices.snapshot import State
from ..errors import SettingsError
from ..settings import PATTERNS, DeviceSettings
from .peer import LOCAL
from .waiting import Closing, eventually


class Devices(Closing):
    """Starts devices, and stops them at the end; a context manager."""

    def __init__(self) -> None:
        self._made: list[Device] = []

    def __call__(
        self, pattern: str | type[DeviceSettings] | DeviceSettings, *, context: zmq.Context[Any] | None = None,
        **settings: Any,
    ) -> Device:  # fmt: skip
        """Start a device, on free ports of 127.0.0.1 where `settings` have no endpoint. Yields.

        `Device.endpoints` has the ports: ``device.endpoints["frontend"][0]``.

        :param pattern: a pattern's name, e.g. ``"streamer"``, or its settings class, or complete settings.
        :param context: as for `Device`.
        :param settings: settings of the pattern, e.g. ``sndhwm=1``.
        :raises SettingsError: if a setting breaks a rule.
        :raises StartError: if it cannot start.
        """
        device = Device(_settings(pattern, settings), context=context)
        self._made.append(device)
        device.start()
        return device

    def close(self) -> None:
        """Stop every device at once. Yields.

        :raises AssertionError: if a device does not end, or has not accounted for every message that it read.
        """
        made, self._made = self._made, []
        for device in made:
            device.stop(0)
        for device in made:
            eventually(lambda one=device: one.state in (State.STOPPED, State.FAILED), f"{device} to end")  # type: ignore[misc]
        for device in made:
            for pump in device.snapshot().pumps:
                assert pump.balanced, f"{device} has lost count: {device.snapshot().accounting()}"


def _settings(pattern: str | type[DeviceSettings] | DeviceSettings, settings: dict[str, Any]) -> DeviceSettings:
    if isinstance(pattern, DeviceSettings):
        return dataclasses.replace(pattern, **settings) if settings else pattern
    if isinstance(pattern, str) and pattern not in PATTERNS:
        raise SettingsError("pattern", "one of " + ", ".join(PATTERNS), pattern)
    cls = PATTERNS[pattern] if isinstance(pattern, str) else pattern
    given = {"interface": "127.0.0.1", **settings}
    needed = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    for key in cls.socket_keys():
        if key in needed:
            given.setdefault(key, LOCAL)
    if cls is PATTERNS["relay"] and not {"pub", "push"} & given.keys():
        given.update(pub=LOCAL, push=LOCAL)
    return cls(**given)
