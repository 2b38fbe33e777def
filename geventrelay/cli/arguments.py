"""Arguments -> a command and its options by flag, or one sentence about what is wrong with them."""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from docopt import DocoptExit, docopt

from ..errors import SettingsError
from ..settings import PATTERNS
from ..settings.places import place_of
from ..version import version
from .command import DEFAULT, Command, Options, load, names
from .help import overview, shown, synopsis, text
from .output import print_stdout

_GENERAL = ("--help", "--version")
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
    # docopt prints by itself, and ignores a full disk and a reader that has gone.
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return command, docopt(text(command), words, version=_Version())
    except DocoptExit:
        raise _usage_error(command, words) from None
    except SystemExit:
        # --help or --version.
        told = printed.getvalue()
        print_stdout((shown(command) if told.startswith("Usage:") else told).rstrip("\n"))
        raise


def given_options(options: Options) -> dict[str, Any]:
    """Those of `options` that were on the command line."""
    return {flag: value for flag, value in options.items() if flag[:2] == "--" and value not in (None, False, [])}


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after naming a rule that `word` broke: which of the `known` words may have been meant."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else " (see geventrelay --help)"


class _Version:
    """Looked up only when it is asked for: that takes a tenth of the time to start."""

    def __str__(self) -> str:
        from ..engine.native.choose import REMEDY, burst_name, slow_reason

        slow = f"\nThe Python burst is 3 to 14 times slower than the native one ({slow_reason()}): {REMEDY}."
        return f"geventrelay {version()}, {burst_name()} burst{slow if slow_reason() else ''}"


def _command_name(arguments: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one; the default where there is none."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word == "-":
            if word not in names():
                raise SettingsError("usage", "a pattern or a command" + nearest(word, names()), word)
            return word
        if word.startswith("--") and "=" not in word and _takes_value(word):
            next(words, None)
    return DEFAULT


def _takes_value(flag: str) -> bool:
    """Whether the option `flag`, of whatever command, has a value; for arguments that begin with an option."""
    if flag in _GENERAL:
        return False
    # Patterns come first: their options are at hand, and other commands' modules take their time.
    for name in names():
        options = {option.flag: option for option in load(name).options}
        for meant in _meant(flag, options):
            return options[meant].takes_value
    raise _misplaced(flag, load(DEFAULT))


def _usage_error(command: Command, arguments: Sequence[str]) -> SettingsError:
    """What is wrong with arguments that docopt did not take; it only says that something is."""
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    own = _flags(command)
    for flag in given:
        if not _meant(flag, own):
            return _misplaced(flag, command)
    meant = {one for flag in given for one in _meant(flag, own)}
    missing = [option.flag for option in command.options if option.needed and option.flag not in meant]
    if command.name not in PATTERNS:
        rule = synopsis(command)
    elif missing:
        rule = f"{command.name} to be given {' and '.join(missing)} (see geventrelay {command.name} --help)"
    else:
        rule = f"each option with its value and nothing else (see geventrelay {command.name} --help)"
    return SettingsError("usage", rule, " ".join(arguments))


def _misplaced(flag: str, command: Command) -> SettingsError:
    """What is wrong with an option that `command` does not have: where it belongs, or which one was meant."""
    owners = [name for name in names() if _meant(flag, _flags(load(name)))]
    place = place_of(flag)
    if not owners:
        hint = f" ({place} of a configuration file)" if place else nearest(flag, _flags(command))
        return SettingsError("usage", "a known option" + hint, flag)
    file = f"; in a configuration file, {place}" if place and command.name in ("run", "check") else ""
    return SettingsError(flag, f"a command that has it ({', '.join(owners)}{file})", command.name)


def _flags(command: Command) -> list[str]:
    return [*(option.flag for option in command.options), *_GENERAL]


def _meant(given: str, known: Collection[str]) -> list[str]:
    """Which of the `known` options `given` can be: docopt takes the beginning of an option for the option."""
    if given in known:
        return [given]
    return [flag for flag in known if len(given) > len("--") and flag.startswith(given)]
