"""``geventrelay queue`` and the like: one device, with everything about it on the command line."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ...errors import SettingsError, raise_all
from ...settings import DeviceSettings, ServerSettings
from ...settings.hints import hinted
from ...settings.http import check_http_used
from ...settings.option import given_fields, groups_of, named_by_flag, read_given
from ..arguments import given_options
from ..command import DEFAULT, Command, Options, sections_of
from ..help import ENDPOINTS, SIGNALS
from ..usage import FOR_LIST


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


def _mistakes(cls: type[DeviceSettings], given: Mapping[str, Any]) -> list[SettingsError]:
    """All that is wrong with the options that a command line gives, which are values by flag."""
    _, errors = cls.check(given_fields(cls, given))
    named = [named_by_flag(cls, error) for error in errors]
    return [hinted(error, FOR_LIST) for error in (*named, *read_given(ServerSettings, given)[1])]


def settings(cls: type[DeviceSettings], options: Options) -> ServerSettings:
    """The settings that a command line asks for.

    :param cls: the settings class of the pattern.
    :param options: the options by flag.
    :raises SettingsError: naming each option that is wrong.
    """
    given = given_options(options)
    raise_all(_mistakes(cls, given))
    device = cls(**given_fields(cls, given))
    try:
        chosen = ServerSettings(devices=(device,), **given_fields(ServerSettings, given))
        check_http_used(chosen)
    except SettingsError as error:
        raise named_by_flag(ServerSettings, error) from None
    return chosen
