"""What a new configuration changes about a running server."""

from __future__ import annotations

from dataclasses import dataclass

from ..devices.live_changes import restart_needed_by
from ..settings import ServerSettings
from ..settings.option import options_of


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What happens to each device, by name, in the order of the file.

    :ivar unchanged: goes on untouched.
    :ivar added: starts.
    :ivar removed: drains and ends.
    :ivar changed: drains and starts again with other settings.
    :ivar adjusted: goes on and takes other settings.
    """

    unchanged: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()


def difference(old: ServerSettings, new: ServerSettings) -> ReloadResult:
    """What makes a server of `old` settings one of `new` settings."""
    before = {device.name: device for device in old.devices}
    kinds: dict[str, list[str]] = {"unchanged": [], "added": [], "changed": [], "adjusted": []}
    for device in new.devices:
        if device.name not in before:
            kind = "added"
        elif device == before[device.name]:
            kind = "unchanged"
        else:
            kind = "adjusted" if restart_needed_by(before[device.name], device) is None else "changed"
        kinds[kind].append(device.name)
    names = {device.name for device in new.devices}
    removed = tuple(name for name in before if name not in names)
    return ReloadResult(removed=removed, **{kind: tuple(found) for kind, found in kinds.items()})


def needs_restart(old: ServerSettings, new: ServerSettings) -> tuple[str, ...]:
    """Which of the process's own options differ between `old` and `new`, and wait for the next start of the process."""
    fields = [option.field for option in options_of(ServerSettings) if not option.live]
    return tuple(name for name in fields if getattr(old, name) != getattr(new, name))
