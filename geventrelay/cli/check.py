"""``geventrelay check``: what is wrong with a configuration file, or what it would run. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..settings import ServerSettings
from .arguments import Options
from .process import say
from .run import settings


def execute(options: Options) -> int:
    """Print what the file of `options` would run; the exit code. Its problems are raised, as for ``run``."""
    say("\n".join(_summary(Path(options["FILE"]), settings(options))))
    return 0


def _summary(path: Path, settings: ServerSettings) -> Iterator[str]:
    http = "no http" if settings.http is None else f"http on {settings.http}"
    count = len(settings.devices)
    yield f"{path}: {count} device{'s' if count > 1 else ''}, {http}"
    for device in settings.devices:
        yield f"{device.name}: {device.pattern}"
        width = max(map(len, device.endpoints))
        for key, endpoints in device.endpoints.items():
            kind = device.socket_types[key]
            for endpoint in endpoints:
                verb = "binds" if endpoint.binds else "connects to"
                yield f"  {key:<{width}}  {kind:<6}  {verb} {endpoint.address}"
