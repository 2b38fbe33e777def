"""The option that says what peers may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..settings.checks import path
from ..settings.device_options import DeviceGroup
from ..settings.option import option


@dataclass(frozen=True, kw_only=True)
class RightsOptions(DeviceGroup):
    """What peers that connect to the sockets of the pattern may do. docs/rights.rst has the file."""

    __slots__ = ()

    title = "Rights"

    rights: Path | None = option(
        path,
        "a file that says what peers may publish, subscribe to, request and work for",
        default=None,
        unset="everything",
        metavar="FILE",
        rare=True,
    )
