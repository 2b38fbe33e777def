"""What is wrong with arguments that docopt did not take: it only says that something is."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from ..errors import SettingsError, SettingsErrors
from ..settings import PATTERNS
from ..settings.concealed import Unshown, is_secret
from ..settings.hints import hinted, pattern_called
from ..settings.option import Option
from ..settings.places import place_of
from .command import Command, load, names
from .help import synopsis

GENERAL = ("--help", "--version")
"""The options of every command."""
_NOT_SHOWN = "(not shown)"
# Of 1: below that, words are like each other by chance.
_NEAR = 0.65
FOR_LIST = "give the option once for each"
"""What to do on the command line where several values are wanted."""


def nearest(word: str, known: Iterable[str], more: str = "geventrelay --help") -> str:
    """What to say after naming a rule that `word` broke.

    :param word: what stood there.
    :param known: the words one of which may have been meant.
    :param more: what to look at where none of them is near.
    """
    near = difflib.get_close_matches(word, list(known), 1, _NEAR)
    return f" (did you mean {near[0]}?)" if near else f" (see {more})"


def no_command(word: str) -> SettingsError:
    """What is wrong with a `word` that stands where a pattern or a command should. Looks for a file of that name."""
    called = pattern_called(word, PATTERNS)
    # Not the directory: ./relay of a checkout is none that could be run.
    if word.endswith(".toml") or ("\0" not in word and os.path.isfile(word)):
        hint = f" (did you mean run {word}?)"
    elif called is not None or f"--{word}" in GENERAL:
        hint = f" (did you mean {called or f'--{word}'}?)"
    else:
        hint = nearest(word, names())
    return SettingsError("usage", "a pattern or a command" + hint, word)


def misplaced(flag: str, command: Command) -> SettingsError:
    """What is wrong with a `flag` that `command` does not have: where it belongs, or which one was meant."""
    if not flag.startswith("--"):
        return SettingsError("usage", f"an option in full, as --help (see geventrelay {command.name} --help)", flag)
    own = _flags(command)
    if spelt(flag) != flag and meant(spelt(flag), own):
        return SettingsError("usage", f"a known option (did you mean {meant(spelt(flag), own)[0]}?)", flag)
    owners = [name for name in names() if meant(flag, _flags(load(name)))]
    place = place_of(flag)
    if not owners:
        hint = (
            f" ({place} of a configuration file)" if place else nearest(flag, own, f"geventrelay {command.name} --help")
        )
        return SettingsError("usage", "a known option" + hint, flag)
    if command.name in (*PATTERNS, "run", "check"):
        # It is for a device, so other commands with an option of this name do not help: top has --topics too.
        owners = [name for name in owners if name in PATTERNS] or owners
    file = f"; in a configuration file, {place}" if place and command.name in ("run", "check") else ""
    return SettingsError(flag, f"a command that has it ({', '.join(owners)}{file})", command.name)


def spelt(flag: str) -> str:
    """A `flag` as options are spelt, with dashes and in lower case."""
    return flag.replace("_", "-").lower()


def meant(given: str, known: Collection[str]) -> list[str]:
    """Which of the `known` options `given` can be: docopt takes the beginning of an option for the option."""
    if given in known:
        return [given]
    return [flag for flag in known if len(given) > len("--") and flag.startswith(given)]


def usage_error(command: Command, arguments: Sequence[str]) -> SettingsError:
    """All that is wrong with `arguments` that docopt did not take for `command`.

    :param command: the one that is named, or the default.
    :param arguments: what stands behind the program's name.
    """
    reader = _Reader(command)
    errors = list(reader.read(arguments))
    help_ = f"(see geventrelay {command.name} --help)"
    missing = [option.flag for option in command.options if option.needed and option.flag not in reader.seen]
    if missing and command.name in PATTERNS:
        rule = f"{command.name} to be given {' and '.join(missing)} {help_}"
        errors.append(SettingsError("usage", rule, " ".join(_without_secrets(arguments, command))))
    if errors:
        return errors[0] if len(errors) == 1 else SettingsErrors(errors)
    if command.name in PATTERNS:
        rule = f"each option with its value and nothing else {help_}"
    elif command.name == "init":
        rule = "init alone (it prints a file: geventrelay init > relay.toml)"
    else:
        rule = synopsis(command)
    shown = list(_without_secrets(arguments, command))
    if is_secret(command.name):
        # One word too many may be the secret itself.
        shown = [_NOT_SHOWN if word != command.name else word for word in shown]
    return SettingsError("usage", rule, " ".join(shown))


def refuse_secrets(command: Command, arguments: Sequence[str]) -> None:
    """Refuse a secret where docopt would take it for the file that holds one: ``--http-token SECRET``.

    An error about that file would show it, and so do the lists of processes.

    :param command: the one that is named, or the default.
    :param arguments: what stands behind the program's name.
    :raises SettingsError: naming the option for the file.
    """
    own = _flags(command)
    for flag in (argument.partition("=")[0] for argument in arguments if argument.startswith("--")):
        files = [one for one in meant(flag, own) if one.endswith("-file") and is_secret(flag)]
        if files and flag not in own and not flag.startswith(f"{files[0].removesuffix('-file')}-"):
            raise SettingsError(flag, f"{files[0]} with the path of a file that has the secret in it", Unshown())


def _without_secrets(arguments: Sequence[str], command: Command) -> Iterator[str]:
    """The `arguments`, and something else in the place of what may be secret.

    That is all that follows an option with a secret, as far as the next option: a space may be one too many.
    """
    hidden = False
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        if flag.startswith("--"):
            hidden = _has_secret(flag, command)
            yield f"{flag}={_NOT_SHOWN}" if equals and hidden else argument
        else:
            yield _NOT_SHOWN if hidden else argument


def _has_secret(flag: str, command: Command) -> bool:
    return any(map(is_secret, (flag, *meant(flag, _flags(command))))) or "key" in flag


class _Reader:
    """Reads arguments as docopt would, and goes on after what is wrong.

    :ivar seen: the flags that were there, right or wrong.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._options = {option.flag: option for option in command.options}
        self._help = f"(see geventrelay {command.name} --help)"
        self._hidden = False
        self.seen: set[str] = set()

    def read(self, arguments: Sequence[str]) -> Iterator[SettingsError]:
        """What is wrong with `arguments`, one by one."""
        words, named = list(arguments), False
        while words:
            word = words.pop(0)
            if word.startswith("--"):
                self._hidden = _has_secret(word.partition("=")[0], self._command)
                yield from self._flag(word, words)
            elif word == self._command.name and not named:
                named = True
            elif word.startswith("-") and word not in ("-", "-h"):
                yield misplaced(word, self._command)
            elif self._command.name in PATTERNS:
                yield SettingsError("usage", f"an option or its value {self._help}", self._shown(word))

    def _flag(self, word: str, words: list[str]) -> Iterator[SettingsError]:
        flag, equals, value = word.partition("=")
        found = meant(flag, _flags(self._command))
        has_next = bool(words) and not words[0].startswith("--")
        if not found:
            yield misplaced(flag, self._command)
            self.seen.update(meant(spelt(flag), self._options))
            # What follows may be its value.
            if has_next and not equals and words[0] != self._command.name:
                words.pop(0)
        elif len(found) > 1:
            yield SettingsError("usage", f"one option ({', '.join(found)})", flag)
        elif found[0] in self._options:
            yield from self._option(self._options[found[0]], value if equals else None, words, has_next)

    def _option(self, option: Option, value: str | None, words: list[str], has_next: bool) -> Iterator[SettingsError]:
        again = option.flag in self.seen and not option.many
        self.seen.add(option.flag)
        # The help of a command does not show its rare options.
        help_ = "(see geventrelay help bounds)" if option.rare else self._help
        if not option.takes_value:
            following = words.pop(0) if value is None and has_next and words[0].lower() in _TRUTHS else value
            if following is not None:
                yield SettingsError(option.flag, f"no value; left away, it is off {help_}", following)
            return
        if value is None and not has_next:
            yield SettingsError(option.flag, f"a value {help_}", Unshown("nothing"))
            return
        given = words.pop(0) if value is None else value
        if again:
            yield SettingsError(option.flag, f"to stand there once {help_}", self._shown(given))
        try:
            option.read(option.flag, given)
        except SettingsError as error:
            yield hinted(error, FOR_LIST)

    def _shown(self, word: str) -> object:
        return Unshown() if self._hidden else word


_TRUTHS = ("true", "false", "yes", "no", "on", "off", "1", "0")


def _flags(command: Command) -> list[str]:
    return [*(option.flag for option in command.options), *GENERAL]
