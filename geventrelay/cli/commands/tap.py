"""``geventrelay tap``: shows what passes through a device, a line for each message."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ...errors import StartError
from ...printable import printable
from ...recording import Record, to_line
from ...settings.checks import one_of
from ...settings.option import option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..interrupt import until_signal
from ..message_options import WatchOptions
from ..message_source import watch
from ..output import print_stderr, write_stdout

# How much of a part is shown. Of a longer one, the length is shown too.
_SHOWN_BYTES = 200


class Format(enum.Enum):
    """How a message is shown."""

    TEXT = "text"
    HEX = "hex"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TapOptions(WatchOptions):
    """The options of ``geventrelay tap``."""

    title = "Output"

    format: Format = option(
        one_of(Format),
        "how a message is shown, in one line",
        default=Format.TEXT,
        metavar="FORMAT",
        values={
            "text": "what is not printable is escaped; of a part above 200 bytes, the beginning and the length",
            "hex": "the same in hexadecimal",
            "json": "one object for each message, complete: see docs/tap.rst",
        },
    )


def execute(options: Options) -> int:
    """Show the messages that `options` ask for; the exit code. Yields meanwhile."""
    chosen = read_group(TapOptions, given_options(options))
    show = SHOW[chosen.format]
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is the interpreter's own
    seen = None
    with until_signal(), watch("ENDPOINT", options["ENDPOINT"], chosen) as batches:
        seen = batches.begin()
        if seen is not None:
            print_stderr(f"watching {seen}")
            for records in batches:
                if not write_stdout("".join(show(record) + "\n" for record in records)):
                    break
    if seen is None:
        raise StartError(f"nothing watched: no tap or publisher at {options['ENDPOINT']}")
    return 0


def as_text(record: Record) -> str:
    """A `record` as text that does nothing to a terminal: what is not printable is escaped."""
    return _line(record, lambda part: printable(part.decode(errors="backslashreplace")))


def as_hex(record: Record) -> str:
    """A `record` in hexadecimal."""
    return _line(record, bytes.hex)


SHOW: dict[object, Callable[[Record], str]] = {Format.TEXT: as_text, Format.HEX: as_hex, Format.JSON: to_line}
"""The function that makes a line of a record, by format."""


def _line(record: Record, show: Callable[[bytes], str]) -> str:
    when = datetime.fromtimestamp(record.time_ns // 1000 / 1_000_000).isoformat(" ", "microseconds")
    return f"{when} {printable(record.source)}  {' | '.join(_short(part, show) for part in record.parts)}"


def _short(part: bytes, show: Callable[[bytes], str]) -> str:
    if len(part) <= _SHOWN_BYTES:
        return show(part)
    return f"{show(part[:_SHOWN_BYTES])}... ({len(part)} bytes)"


TAP = Command(
    "tap",
    "ENDPOINT",
    """\
Shows the messages that pass through a running device, at its tap endpoint (--tap) or over HTTP: see docs/tap.rst.

The ENDPOINT is connected to, or bound with @ before it; a bare port is one of this host. http://HOST:PORT is the
address of a server with --http; it needs --device and --token-file.""",
    execute,
    sections_of(TapOptions),
)
