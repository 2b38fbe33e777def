"""``geventrelay run`` and ``geventrelay check``: the devices of a configuration file, run or only looked at."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import SettingsError, raise_all
from ...settings import ServerSettings
from ...settings.file.load import load
from ...settings.http import check_http_used
from ...settings.option import given_fields, named_by_flag, read_given
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..help import SIGNALS
from ..output import print_stdout


def execute(options: Options) -> int:
    """Run what the file of `options` asks for until it is stopped; the exit code. Yields meanwhile."""
    # Here, for `check` starts nothing.
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


def check(options: Options) -> int:
    """Print what the file of `options` would run; the exit code. Its problems are raised, as for ``run``."""
    print_stdout("\n".join(_summary(Path(options["FILE"]), settings(options))))
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
CHECK = Command(
    "check",
    "FILE",
    """\
Prints everything that is wrong with a configuration file, one problem in a line, or the devices that it would run. It
opens nothing. Exit codes: 0 the file is right, 2 it is not.""",
    check,
    {},
)
