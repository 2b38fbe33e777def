"""``geventrelay run``: the devices of a configuration file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ..errors import SettingsError
from ..settings import ServerSettings
from ..settings.fields import by_option, under_option
from ..settings.toml import load
from . import process
from .arguments import Options, given


def execute(options: Options) -> int:
    """Run what the file of `options` asks for until told to stop; the exit code. Yields all the while."""
    return process.serve(settings(options), load=lambda: settings(options))


def settings(options: Options) -> ServerSettings:
    """What the file asks for, with the process options of the command line in place of the file's.

    :param options: name the file.
    :raises ConfigurationError: with every problem of the file. :raises SettingsError: naming the option that is wrong.
    """
    configured = load(Path(options["FILE"]), os.environ)
    try:
        return dataclasses.replace(configured, **by_option(ServerSettings, given(options)))
    except SettingsError as error:
        raise under_option(ServerSettings, error) from None
