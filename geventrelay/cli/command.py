"""The commands of ``geventrelay``: which there are, and how one is described."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..settings import PATTERNS
from ..settings.option import Group, Option, groups_of

Options = Mapping[str, Any]
"""What docopt made of the arguments; None, False or an empty list for what was not given."""

Sections = dict[str, tuple[Option, ...]]
"""Headings of help, each with the options below it."""

DEFAULT = "relay"
"""The command that is meant where none is named."""

COMMANDS: dict[str, str] = {
    "run": "run every device of a configuration file",
    "check": "say what is wrong with a configuration file, or what it would run",
    "init": "print a configuration file to begin with",
    "keygen": "make a pair of keys for CURVE",
    "passwd": "set a user's password in a file",
    "ctl": "pause, resume, end or ask a running device through its control endpoint",
    "tap": "show the messages that pass through a running device",
    "last": "show the last value of each topic of a device or a publisher",
    "record": "keep in a file what a tap shows",
    "replay": "send what such a file holds",
    "top": "show what the devices of a server with --http do",
    "trace": "show how long messages take to the other relays of a backbone, or where they stay",
    "help": "show how a command is used",
}
"""Every command that is no pattern, with what it does. Each is described in its module, under its name in capitals."""

# Those that are not in `commands`, in the module of their name.
_MODULES = {"top": "top.command"}


@dataclass(frozen=True, slots=True)
class Command:
    """How a command is used.

    :ivar arguments: what stands behind its name, as docopt reads it, e.g. ``FILE``.
    :ivar about: what it does, in a few sentences.
    :ivar execute: runs it with its options, and returns the exit code.
    :ivar sections: its options.
    :ivar notes: what stands below its options.
    :ivar is_default: whether it is meant where no command is named.
    """

    name: str
    arguments: str
    about: str
    execute: Callable[[Options], int]
    sections: Sections
    notes: str = ""
    is_default: bool = False

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options, without ``--help`` and ``--version``."""
        return tuple(option for options in self.sections.values() for option in options)


def sections_of(*groups: type[Group]) -> Sections:
    """The options of `groups` under their groups' titles; what several groups have in common comes once."""
    return {part.title: options for group in groups for part, options in groups_of(group).items()}


def names() -> list[str]:
    """Every command, patterns first."""
    return [*PATTERNS, *COMMANDS]


def load(name: str) -> Command:
    """The command `name`. Imports the one module that it needs: all of them would take as long again to start.

    :param name: one of `names`.
    """
    if name in PATTERNS:
        from .commands.pattern import command_of

        return command_of(PATTERNS[name])
    module = importlib.import_module(f".{_MODULES.get(name, f'commands.{name}')}", __package__)
    command: Command = getattr(module, name.upper())
    return command
