"""``geventrelay queue`` and the like: one device, with everything about it on the command line."""

from __future__ import annotations

import functools

from ...errors import SettingsError
from ...settings import DeviceSettings, ServerSettings
from ...settings.http import check_http_used
from ...settings.option import given_fields, groups_of, named_by_flag
from ..arguments import given_options
from ..command import DEFAULT, Command, Options, sections_of
from ..help import ENDPOINTS, SIGNALS


def command_of(cls: type[DeviceSettings]) -> Command:
    """The command that runs a device of the pattern whose settings are `cls`."""
    # What makes the pattern comes first, then what every device has.
    own = {group: options for group, options in groups_of(cls).items() if group not in groups_of(DeviceSettings)}
    sections = {group.title: options for group, options in own.items()} | sections_of(DeviceSettings, ServerSettings)
    return Command(
        cls.pattern,
        "",
        f"{cls.about}\n\n{ENDPOINTS}",
        functools.partial(execute, cls),
        sections,
        notes=SIGNALS,
        is_default=cls.pattern == DEFAULT,
    )


def execute(cls: type[DeviceSettings], options: Options) -> int:
    """Run a device of the pattern of `cls` with its `options` until it is stopped; the exit code. Yields meanwhile."""
    from .. import process

    return process.serve(settings(cls, options))


def settings(cls: type[DeviceSettings], options: Options) -> ServerSettings:
    """The settings that a command line asks for.

    :param cls: the settings class of the pattern.
    :param options: the options by flag.
    :raises SettingsError: naming the option that is wrong.
    """
    given = given_options(options)
    try:
        device = cls(**given_fields(cls, given))
    except SettingsError as error:
        raise named_by_flag(cls, error) from None
    try:
        chosen = ServerSettings(devices=(device,), **given_fields(ServerSettings, given))
        check_http_used(chosen)
    except SettingsError as error:
        raise named_by_flag(ServerSettings, error) from None
    return chosen
