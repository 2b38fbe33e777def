"""``geventrelay queue`` and the like: one device, with everything about it on the command line."""

from __future__ import annotations

from ...errors import SettingsError
from ...settings import PATTERNS, ServerSettings
from ...settings.option import by_option, named_by_option
from .. import process
from ..arguments import Options, command, given_options


def execute(options: Options) -> int:
    """Run the device of `options` until it is told to stop; the exit code. Yields all the while."""
    return process.serve(settings(options))


def settings(options: Options) -> ServerSettings:
    """What `options` ask for.

    :raises SettingsError: naming the option that is wrong.
    """
    cls = PATTERNS[command(options)]
    words = given_options(options)
    try:
        device = cls(**by_option(cls, words))
    except SettingsError as error:
        raise named_by_option(cls, error) from None
    try:
        return ServerSettings(devices=(device,), **by_option(ServerSettings, words))
    except SettingsError as error:
        raise named_by_option(ServerSettings, error) from None
