"""Arguments -> options by name, or one sentence about what is wrong with them."""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from docopt import DocoptExit, docopt

from ..engine.native.choose import burst_name
from ..errors import SettingsError
from ..settings import PATTERNS, ServerSettings
from ..settings.option import needed_options, options_of
from ..version import version
from .help import HELP, OPTIONS, usage
from .process import print_stdout

Options = Mapping[str, Any]
"""What docopt made of the arguments; None, False or an empty list for what was not given."""

PROCESS_OPTIONS = tuple(options_of(ServerSettings))
"""The options of a process, whatever runs in it."""

_WATCHING = ("--device", "--token-file", "--direction", "--topic", "--sample", "--count", "--seconds")

# The options that each command takes; a pattern is one.
_OWN = {
    **{pattern: (*options_of(cls), *PROCESS_OPTIONS) for pattern, cls in PATTERNS.items()},
    "run": PROCESS_OPTIONS,
    "check": (),
    "init": (),
    "ctl": ("--control-type", "--timeout", "--json"),
    "tap": (*_WATCHING, "--format"),
    "record": ("--from", *_WATCHING, "--append"),
    "replay": ("--to", "--type", "--speed", "--skip-parts", "--timeout", "--direction", "--topic", "--sample"),
    "top": ("--timeout", "--json", "--once"),
}


def parse(arguments: Sequence[str]) -> Options:
    """Read `arguments`; prints and exits for ``--help`` and ``--version``.

    :raises StartError: if what is to be printed cannot be.
    :raises SettingsError: if they are no command, with what is wrong with them.
    """
    # docopt prints by itself, and minds neither a full disk nor a reader that has gone.
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            parsed: dict[str, Any] = docopt(HELP, list(arguments), version=_Version())
    except DocoptExit:
        raise _usage_error(arguments) from None
    except SystemExit:
        # --help or --version.
        print_stdout(said.getvalue().rstrip("\n"))
        raise
    for option in given_options(parsed):
        _check_belongs(option, command(parsed))
    return parsed


def command(options: Options) -> str:
    """Which command `options` are for; a pattern is one, and the relay is meant where none is named."""
    return next((word for word in _OWN if options[word]), "relay")


def given_options(options: Options, known: Iterable[str] = OPTIONS) -> dict[str, Any]:
    """Those of `options` that were on the command line.

    :param known: the options to look for.
    """
    return {option: options[option] for option in known if options[option] not in (None, False, [])}


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after naming a rule that `word` broke: which of the `known` words may have been meant."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else " (see geventrelay --help)"


class _Version:
    """Looked up only when somebody asks for it: that takes a tenth of the time to start."""

    def __str__(self) -> str:
        return f"geventrelay {version()}, {burst_name()} burst"


def _usage_error(arguments: Sequence[str]) -> SettingsError:
    """What is wrong with arguments that docopt did not take; it only says that something is."""
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    for option in options:
        if not any(known.startswith(option) for known in OPTIONS):
            return SettingsError("usage", "a known option" + nearest(option, OPTIONS), option)
    words = [argument for argument in arguments if not argument.startswith("-")]
    first = words[0] if arguments and arguments[:1] == words[:1] else None
    if first is not None and first not in _OWN:
        return SettingsError("usage", "a pattern or a command" + nearest(first, _OWN), first)
    if first is not None and first not in PATTERNS:
        for option in options:
            _check_belongs(option, first)
        return SettingsError("usage", usage(first), " ".join(arguments))
    pattern = next((word for word in words if word in PATTERNS), "relay")
    for option in options:
        _check_belongs(option, pattern)
    missing = [one for one in needed_options(PATTERNS[pattern]) if not any(_may_mean(each, one) for each in options)]
    rule = (
        f"{pattern} to be given {' and '.join(missing)}" if missing else "each option with its value and nothing else"
    )
    return SettingsError("usage", f"{rule} (see geventrelay --help)", " ".join(arguments))


def _may_mean(given: str, option: str) -> bool:
    # docopt takes the beginning of an option for the option, unless it is one itself.
    return given == option or (given not in OPTIONS and len(given) > len("--") and option.startswith(given))


def _check_belongs(option: str, word: str) -> None:
    owners = [owner for owner, known in _OWN.items() if any(_may_mean(option, one) for one in known)]
    if word not in owners:
        raise SettingsError(option, f"a command that has it ({', '.join(owners)})", word)
