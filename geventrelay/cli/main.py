"""Which command is meant, and the exit code that an error has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ..errors import DeviceFailed, RecordingError, SettingsError, StartError
from ..settings import PATTERNS
from .arguments import command, parse

_MODULES = {"check": ("commands.run", "check"), "top": ("top.command", "execute")}
"""Where the commands are that are no module of their own in `commands`, by name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param argv: the arguments without the program's name; None takes them from ``sys.argv``.
    """
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        word = command(options)
        # The one module that is needed, each of which has an `execute`: all of them would take as long again to start.
        name, function = _MODULES.get(word, ("commands.pattern" if word in PATTERNS else f"commands.{word}", "execute"))
        return int(getattr(importlib.import_module(f".{name}", __package__), function)(options))
    except SettingsError as error:
        return _complain(error, 2)
    except (StartError, DeviceFailed, RecordingError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _complain(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code
