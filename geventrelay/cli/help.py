"""What help prints. The text of a command is also the grammar that docopt reads its arguments by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ..settings import PATTERNS
from ..settings.option import Option
from .command import COMMANDS, Command, load

_WIDTH = 110
_COLUMN = 28
"""Where the description of an option begins; docopt needs two spaces before it."""

_OVERVIEW = """\
geventrelay: a ZeroMQ relay server.

It stands between programs that talk ZeroMQ. Each program then needs to know only one address.

Usage:
  geventrelay COMMAND [options]
  geventrelay COMMAND --help
  geventrelay --version

Patterns: each runs one device, until it is stopped. Without a command, relay is meant.
{patterns}

Other commands:
{commands}

Examples:
  geventrelay relay --sub-port 5555 --pub-port 5556 --push-port 5557
  geventrelay queue --frontend 5555 --backend 5556 --http 8080
  geventrelay streamer --frontend 5555 --backend '>worker:5557'
  geventrelay init > relay.toml
  geventrelay run relay.toml

SIGINT and SIGTERM stop it: it reads nothing new, moves what is there, and prints a line of
accounting for each device. A second signal ends it at once.
Exit codes: 0 stopped on request, 1 could not run, 2 wrong usage or settings."""

ENDPOINTS = """\
An ENDPOINT is tcp://HOST:PORT, HOST:PORT, ipc://PATH, inproc://NAME or a bare port; port 0 takes a free one. A PORT may
be any ENDPOINT too. It is bound. With > before it, it is connected to: --backend='>worker:5557' (mind the quotes)."""
"""What an endpoint is, for the commands that run devices."""

SIGNALS = """\
SIGINT and SIGTERM stop it: it reads nothing new, moves what is there, and prints a line of accounting for each device.
A second signal ends it at once. SIGUSR1 logs the accounting. A device that fails is started again, unless --fail-fast
is given. Exit codes: 0 stopped on request, 1 could not run, 2 wrong usage or settings."""
"""How a process that runs devices behaves, whatever it runs."""


_MORE = "More options, for access and what it may cost, last values, replay, topics, backbones: geventrelay help bounds"
_BOUNDS = """\
Who may connect, what a peer or an HTTP client may cost, what is kept for subscribers that come later, or that have
missed something, which topics are counted, and which devices act as one. Every pattern has these options, but for
those that name some. docs/configuration.rst says how to let in known peers alone; docs/operating.rst says what each
bound protects, and what a peer above it sees; docs/late-joiners.rst and docs/replay.rst say what is kept,
docs/topics.rst what is counted, docs/scaling.rst how devices act as one."""


def overview() -> str:
    """What ``geventrelay --help`` prints."""
    patterns = {name: cls.summary for name, cls in PATTERNS.items()}
    return _OVERVIEW.format(patterns=_rows(patterns), commands=_rows(COMMANDS))


def text(command: Command) -> str:
    """What docopt reads: the help of a `command` with every option."""
    return _text(command, command.sections, whole=True)


def shown(command: Command) -> str:
    """What the help of a `command` prints: without the options that only `bounds` shows."""
    common = {title: [one for one in options if not one.rare] for title, options in command.sections.items()}
    return _text(command, common, whole=False)


def bounds() -> str:
    """What ``geventrelay help bounds`` prints: the options that the help of a pattern leaves out."""
    sections = {
        title: [one for one in options if one.rare]
        for name in PATTERNS
        for title, options in load(name).sections.items()
    }
    return "\n\n".join([_filled(_BOUNDS), *_sections(sections)]) + "\n"


def _sections(sections: Mapping[str, Sequence[Option]]) -> Iterator[str]:
    for title, options in sections.items():
        if options:
            yield f"{title}:\n" + "\n".join(line for option in options for line in _described(option))


def _text(command: Command, sections: Mapping[str, Sequence[Option]], *, whole: bool) -> str:
    # docopt takes an option several times only where the usage says so.
    blocks = ["\n".join(_usage(command, whole)), *map(_filled, command.about.split("\n\n")), *_sections(sections)]
    rare = any(option.rare for option in command.options)
    blocks.append("\n".join([*_entry("-h --help", "show this"), *_entry("--version", "show the version")]))
    blocks += [_filled(_MORE)] if rare else []
    blocks += [_filled(command.notes)] if command.notes else []
    return "\n\n".join(blocks) + "\n"


def synopsis(command: Command, *, rare: bool = False) -> str:
    """How a `command` is used, in one line, without the options that it does not need.

    :param rare: also with those options that can be given several times and only `bounds` shows.
    """
    word = f"[{command.name}]" if command.is_default else command.name
    needed = [
        _synopsis_of(option)
        for option in command.options
        if option.needed or (option.many and (rare or not option.rare))
    ]
    return " ".join([word, *filter(None, [command.arguments]), *needed])


def _usage(command: Command, rare: bool) -> Iterator[str]:
    yield "Usage:"
    line = f"geventrelay {synopsis(command, rare=rare)} [options]"
    yield from textwrap.wrap(line, _WIDTH, initial_indent="  ", subsequent_indent=" " * 14, break_on_hyphens=False)


def _synopsis_of(option: Option) -> str:
    pair = f"{option.flag}={option.metavar}"
    if option.needed:
        return pair + "..." * option.many
    return f"[{pair}]" + "..." * option.many


def _described(option: Option) -> Iterator[str]:
    flag = f"{option.flag}={option.metavar}" if option.takes_value else option.flag
    yield from _entry(flag, described(option) + default_of(option))
    width = max(map(len, option.values), default=0)
    for value, meaning in option.values.items():
        yield from _entry("", f"{value:<{width}}  {meaning}", hanging=width + 2)


def described(option: Option) -> str:
    """What an `option` does, without its default and its values."""
    return option.help + ("; can be given several times" if option.many else "")


def default_of(option: Option) -> str:
    """The default of an `option` in brackets, behind what it does; empty if it has none to speak of."""
    if option.needed:
        return " (needed)"
    if not option.takes_value:
        return ""
    return f" (default: {option.default_text})"


def _entry(flag: str, description: str, hanging: int = 0) -> Iterator[str]:
    first, *others = _wrapped(description, _WIDTH - _COLUMN - hanging)
    if len(flag) > _COLUMN - 4:
        yield f"  {flag}"
        flag = ""
    yield f"  {flag}".ljust(_COLUMN) + first
    yield from (" " * (_COLUMN + hanging) + line for line in others)


def _filled(paragraph: str) -> str:
    return "\n".join(_wrapped(paragraph, _WIDTH))


def _wrapped(text: str, width: int) -> list[str]:
    # docopt takes a line that begins with a dash for an option, so no other line may begin with one.
    lines = textwrap.wrap(text.replace(" -", "\0-"), width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _rows(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in rows.items())
