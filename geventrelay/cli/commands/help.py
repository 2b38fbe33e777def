"""``geventrelay help``: how a command is used."""

from __future__ import annotations

from ...errors import SettingsError
from ..command import Command, Options, load, names
from ..help import bounds, shown
from ..output import print_stdout
from ..usage import nearest


def execute(options: Options) -> int:
    """Print the help of the command that `options` name; the exit code.

    :raises SettingsError: if there is no such command.
    """
    name = options["COMMAND"]
    if name == "bounds":
        print_stdout(bounds().rstrip("\n"))
        return 0
    if name not in names():
        raise SettingsError("COMMAND", "a pattern or a command" + nearest(name, names()), name)
    print_stdout(shown(load(name)).rstrip("\n"))
    return 0


HELP = Command(
    "help",
    "COMMAND",
    "Shows how a command is used, as COMMAND --help does. COMMAND can also be bounds: the options that bound what "
    "peers and HTTP clients may cost.",
    execute,
    {},
)
