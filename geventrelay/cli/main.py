"""Runs the command that was asked for, and gives each error its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..engine import descriptors
from ..errors import DeviceFailed, RecordingError, SettingsError, StartError
from ..printable import printable_lines
from . import threads
from .arguments import parse
from .output import flush_stderr, open_standard_streams, print_stderr

# Without these, not even everything can be imported, and libzmq and libev would abort the process.
_NEEDED = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param argv: the arguments without the program's name; None takes them from ``sys.argv``.
    """
    open_standard_streams()
    try:
        _check_descriptors()
        _check_threads()
        command, options = parse(sys.argv[1:] if argv is None else argv)
        return command.execute(options)
    except SettingsError as error:
        return _complain(error, 2)
    except (StartError, DeviceFailed, RecordingError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        print_stderr("interrupted")
        return 130
    finally:
        flush_stderr()


def _check_descriptors() -> None:
    free = descriptors.free()
    if free < _NEEDED:
        raise StartError(f"cannot start: expected at least {_NEEDED} free file descriptors, got {free:g} (ulimit -n)")


def _check_threads() -> None:
    if not threads.can_start():
        limits = "ulimit -u, or the limit of a container or a unit"
        raise StartError(f"cannot start: expected to be able to start {threads.NEEDED} threads ({limits})")


def _complain(error: Exception, code: int) -> int:
    # It may quote what a server or a file says.
    print_stderr(printable_lines(str(error)))
    return code
