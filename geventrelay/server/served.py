"""What the rest of the world sees of a server: as much as HTTP needs, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..devices.device import Device
from ..devices.snapshot import DeviceSnapshot, State
from ..engine.peertable import PeersSnapshot
from ..settings import DeviceSettings


class SupervisedDevice(Protocol):
    """A device that is started again when it fails.

    :ivar restarts: how often it was. :ivar last_failure: why it failed last; None if it never did.
    :ivar next_start_s: in how many seconds it is started again; None while it does not wait for that.
    :ivar started_at: when it started last, as Unix time; None while it is not up.
    """

    restarts: int
    last_failure: str | None

    @property
    def name(self) -> str:
        """What the device is called."""

    @property
    def device(self) -> Device:
        """The device of the last start."""

    @property
    def settings(self) -> DeviceSettings:
        """The settings of the current, or the next, start."""

    @property
    def state(self) -> State:
        """Where the device is in its life."""

    @property
    def next_start_s(self) -> float | None:
        """See the class."""

    @property
    def started_at(self) -> float | None:
        """See the class."""

    def snapshot(self) -> DeviceSnapshot:
        """What has been counted over every start."""

    def peers(self) -> dict[str, PeersSnapshot]:
        """Who is connected, by socket, and what has been counted over every start."""

    def stop(self, timeout: float | None = None) -> None:
        """Stop the device for good, or its waiting for the next start; see `Device.stop` for `timeout`. Yields."""


class ReloadResult(Protocol):
    """What became of each device in a reload, by its name."""

    @property
    def unchanged(self) -> tuple[str, ...]:
        """They went on untouched."""

    @property
    def added(self) -> tuple[str, ...]:
        """They are new."""

    @property
    def removed(self) -> tuple[str, ...]:
        """They were stopped for good."""

    @property
    def changed(self) -> tuple[str, ...]:
        """They were stopped, and started with other settings."""

    @property
    def adjusted(self) -> tuple[str, ...]:
        """They went on with other settings."""


class Served(Protocol):
    """A server with its devices.

    :ivar started_at: when it started, as Unix time.
    """

    @property
    def devices(self) -> Mapping[str, SupervisedDevice]:
        """The devices by name, in the order of the configuration."""

    @property
    def ready(self) -> bool:
        """Whether every device is up."""

    @property
    def started_at(self) -> float | None:
        """See the class."""

    def reload(self) -> ReloadResult:
        """Read the configuration again and go by it; raises `SettingsError` when it has an error."""
