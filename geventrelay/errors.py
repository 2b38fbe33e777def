"""Every exception of the package, sorted by whose fault it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

_SHOWN_CHARACTERS = 400
_USER_AND_PASSWORD = re.compile(r"://[^/\s:@]*:\S*@")


class GeventRelayError(Exception):
    """Base of every exception that this package raises on purpose."""


class SettingsError(GeventRelayError, ValueError):
    """The caller's fault: an input broke a rule. Nothing was started.

    The text is ``name: expected RULE, got VALUE``. The three pieces are attributes, so that a front end can show the
    name that its user knows.

    :param name: the input, e.g. ``sndhwm`` (``--sndhwm`` when it came from the command line).
    :param rule: what is allowed, e.g. ``an integer >= 0``.
    :param value: what was given; a user and a password in an address are not shown.
    """

    def __init__(self, name: str, rule: str, value: object) -> None:
        self.name, self.rule, self.value = name, rule, value
        # No more than what can be shown: the value may be a huge one.
        shown = _USER_AND_PASSWORD.sub("://(not shown)@", repr(value)[: 10 * _SHOWN_CHARACTERS])
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[: _SHOWN_CHARACTERS - 3] + "..."
        super().__init__(f"{name}: expected {rule}, got {shown}")


class SettingsErrors(SettingsError):
    """Several inputs broke a rule each; the text has a line for each.

    :param errors: what is wrong, at least one; `name`, `rule` and `value` are the first one's.
    """

    def __init__(self, errors: Iterable[SettingsError]) -> None:
        self.errors = tuple(errors)
        super().__init__(self.errors[0].name, self.errors[0].rule, self.errors[0].value)
        self.args = ("\n".join(map(str, self.errors)),)


def raise_all(errors: Collection[SettingsError]) -> None:
    """Raise what is wrong, if anything is.

    :param errors: what to raise; one as it is.
    :raises SettingsError: the one error, or several in one.
    """
    if errors:
        raise SettingsErrors(errors) if len(errors) > 1 else next(iter(errors))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration file.

    :ivar line: the line, counted from 1; None if no line can be named.
    :ivar key: the key with its tables, e.g. ``device.prices.sndhwm``; empty for the file itself.
    :ivar text: what is wrong, e.g. ``expected an integer from 0 to 2147483647, got 'many'``.
    """

    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigurationError(SettingsError):
    """A configuration file is wrong; the text has one line for each problem, which begins with ``FILE:LINE:``.

    :param path: the file.
    :param problems: what is wrong with it, at least one problem.
    :param complete: whether this is everything; where it is not, the last line says so.
    """

    def __init__(self, path: Path, problems: Iterable[Problem], *, complete: bool = True) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        super().__init__(str(path), "a file without problems", str(self.problems[0]))
        lines = [f"{path}:{one.line}: {one}" if one.line else f"{path}: {one}" for one in self.problems]
        self.args = ("\n".join(lines if complete else [*lines, f"{path}: there are more problems than these"]),)


class StartError(GeventRelayError, RuntimeError):
    """This process could not start what it was asked to: an endpoint could not be bound, a host did not resolve.

    When this is raised, everything that had been started before the failure has been stopped again.
    """


class DeviceFailed(GeventRelayError, RuntimeError):
    """A running device ended because one of its greenlets died; ``__cause__`` is the error of that greenlet."""


class ForkedError(GeventRelayError, RuntimeError):
    """A forked child used a device of its parent. The parent's device is unharmed; the child must make its own."""


class RecordingError(GeventRelayError, ValueError):
    """A recording's fault: not a recording, an unknown version, or a message that does not fit into one."""


class GaplessError(GeventRelayError, RuntimeError):
    """A subscriber without gaps cannot go on: what is at its endpoints is no relay that numbers and keeps messages."""
