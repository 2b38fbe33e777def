"""``geventrelay run``: the devices of a configuration file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ...errors import SettingsError, raise_all
from ...settings import ServerSettings
from ...settings.file.load import load
from ...settings.http import check_http_used
from ...settings.option import given_fields, named_by_flag, read_given
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..help import SIGNALS


def execute(options: Options) -> int:
    """Run what the file of `options` asks for until it is stopped; the exit code. Yields meanwhile."""
    # Here, for `check` runs nothing.
    from .. import process

    return process.serve(settings(options), load=lambda: settings(options))


def settings(options: Options) -> ServerSettings:
    """What the file asks for, with the process options of the command line in place of the file's.

    :param options: name the file.
    :raises ConfigurationError: with every problem of the file.
    :raises SettingsError: naming the option that is wrong.
    """
    given = given_options(options)
    _, errors = read_given(ServerSettings, given)
    try:
        configured = load(Path(options["FILE"]), os.environ)
    except SettingsError as error:
        errors.append(error)
    raise_all(errors)
    try:
        chosen = dataclasses.replace(configured, **given_fields(ServerSettings, given))
        check_http_used(chosen)
    except SettingsError as error:
        raise named_by_flag(ServerSettings, error) from None
    return chosen


RUN = Command(
    "run",
    "FILE",
    """\
Runs every device of a configuration file: see docs/configuration.rst. An option given here wins over the file's.

SIGHUP reads the file again: devices whose settings have not changed go on untouched.""",
    execute,
    sections_of(ServerSettings),
    notes=SIGNALS,
)
