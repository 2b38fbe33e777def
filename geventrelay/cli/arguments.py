"""Arguments -> a command and its options by flag, or one sentence about what is wrong with them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from docopt import DocoptExit, docopt

from ..version import version
from .command import DEFAULT, Command, Options, load, names
from .help import overview, shown, text
from .output import print_stdout
from .usage import GENERAL, meant, misplaced, no_command, refuse_secrets, usage_error

_HELP = (["-h"], ["--help"], ["help"])


def parse(arguments: Sequence[str]) -> tuple[Command, Options]:
    """Read `arguments`. Prints and exits for help and ``--version``, and prints help where there are none.

    :raises StartError: if what is to be printed cannot be.
    :raises SettingsError: if they are no command, with what is wrong with them.
    """
    words = list(arguments)
    if not words or words in _HELP:
        print_stdout(overview())
        raise SystemExit(0)
    command = load(_command_name(words))
    refuse_secrets(command, words)
    # docopt prints by itself, and ignores a full disk and a reader that has gone.
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return command, docopt(text(command), words, version=_Version())
    except DocoptExit:
        raise usage_error(command, words) from None
    except SystemExit:
        # --help or --version.
        told = printed.getvalue()
        print_stdout((shown(command) if told.startswith("Usage:") else told).rstrip("\n"))
        raise


def given_options(options: Options) -> dict[str, Any]:
    """Those of `options` that were on the command line."""
    return {flag: value for flag, value in options.items() if flag[:2] == "--" and value not in (None, False, [])}


class _Version:
    """Looked up only when it is asked for: that takes a tenth of the time to start."""

    def __str__(self) -> str:
        from ..devices.engines import default_engine
        from ..engine.native.choose import REMEDY, burst_name, slow_reason

        line = f"geventrelay {version()}, {burst_name()} burst, engine {default_engine().value}"
        slow = f"\nThe Python burst is 3 to 14 times slower than the native one ({slow_reason()}): {REMEDY}."
        return line + slow if slow_reason() else line


def _command_name(arguments: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one; the default where there is none."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word == "-":
            if word not in names():
                raise no_command(word)
            return word
        if word.startswith("--") and "=" not in word and _takes_value(word):
            next(words, None)
        elif not word.startswith("--") and word != "-h":
            raise misplaced(word, load(DEFAULT))
    return DEFAULT


def _takes_value(flag: str) -> bool:
    """Whether the option `flag`, of whatever command, has a value; for arguments that begin with an option."""
    if flag in GENERAL:
        return False
    # Patterns come first: their options are at hand, and other commands' modules take their time.
    for name in names():
        options = {option.flag: option for option in load(name).options}
        for found in meant(flag, options):
            return options[found].takes_value
    raise misplaced(flag, load(DEFAULT))
