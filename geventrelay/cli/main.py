"""Which command is meant, and the exit code that an error has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from ..errors import DeviceFailed, RecordingError, SettingsError, StartError
from . import check, ctl, init, pattern, record, replay, run, tap, top
from .arguments import Options, command, parse

_COMMANDS: dict[str, Callable[[Options], int]] = {
    "check": check.execute,
    "ctl": ctl.execute,
    "init": init.execute,
    "record": record.execute,
    "replay": replay.execute,
    "run": run.execute,
    "tap": tap.execute,
    "top": top.execute,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param argv: the arguments without the program's name; None takes them from ``sys.argv``.
    """
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        return _COMMANDS.get(command(options), pattern.execute)(options)
    except SettingsError as error:
        return _complain(error, 2)
    except (StartError, DeviceFailed, RecordingError) as error:
        return _complain(error, 1)


def _complain(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code
