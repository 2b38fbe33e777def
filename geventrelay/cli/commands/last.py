"""``geventrelay last``: shows the last value of each topic, a line for each."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from ...errors import SettingsError
from ...recording import RecordFilter
from ...settings.checks import flag, one_of, seconds, text, whole
from ...settings.option import option, read_group
from ..arguments import given_options
from ..client_keys import ClientKeys
from ..command import Command, Options, sections_of
from ..endpoint import read_endpoint
from ..http_stream import open_http
from ..interrupt import until_signal
from ..latest_stream import LatestStream, TopicRule
from ..message_options import ServerOptions
from ..message_source import MessageSource
from ..output import print_stderr, write_stdout
from .tap import SHOW, Format


@dataclass(frozen=True, slots=True, kw_only=True)
class LastOptions(ClientKeys, ServerOptions):
    """The options of ``geventrelay last``."""

    title = "Output"

    format: Format = option(
        one_of(Format),
        "how a message is shown, in one line: see geventrelay tap",
        default=Format.TEXT,
        metavar="FORMAT",
    )
    count: int | None = option(whole(1), "end after N messages", default=None, unset="no limit", unit="messages")
    wait_s: float = option(
        seconds, "at an endpoint, end when no new topic has come for that time", default=1.0, unit="seconds"
    )
    topic_until: str = option(
        text,
        "at an endpoint, the topic is what stands in the first part before BYTES; the same as that of the device",
        default="",
        unset="the first part; of a message of one part, what stands before its first space",
        metavar="BYTES",
    )
    stamp: bool = option(
        flag,
        "at an endpoint, the last part of a message is its number; needed where the device has --stamp",
        default=False,
    )


def execute(options: Options) -> int:
    """Show the last values that `options` ask for; the exit code. Yields meanwhile."""
    chosen = read_group(LastOptions, given_options(options))
    prefix = options["PREFIX"] or ""
    show, shown = SHOW[chosen.format], 0
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is the interpreter's own
    ended = False
    with until_signal(), _open(options["ENDPOINT"], prefix, chosen) as messages:
        messages.begin()
        for records in messages:
            if not write_stdout("".join(show(record) + "\n" for record in records)):
                return 0
            shown += len(records)
        ended = True
    if ended and not shown:
        print_stderr(_nothing(options["ENDPOINT"], prefix, chosen))
    return 0


def _nothing(where: str, prefix: str, chosen: LastOptions) -> str:
    """What to say where no message was shown."""
    said = "no last value" + (f" that begins with {prefix!r}" if prefix else "") + f" at {where}"
    if _is_server(where):
        return said
    # A device that keeps none looks the same there. A server says so itself.
    return f"{said} within {chosen.wait_s:g} s (does the device have --last-value?)"


def _is_server(where: str) -> bool:
    return where.startswith(("http://", "https://"))


def _open(where: str, prefix: str, chosen: LastOptions) -> MessageSource:
    if _is_server(where):
        for name, given in (*chosen.given(), *_of_endpoints(chosen)):
            raise SettingsError(name, "an endpoint of ZeroMQ to go with it", given)
        query = {"prefix": prefix, "limit": chosen.count}
        http = open_http("ENDPOINT", where, "last", query, device=chosen.device, token_file=chosen.token_file)
        return MessageSource(where, http, RecordFilter(), chosen.count, None)
    for name, value in (("--device", chosen.device), ("--token-file", chosen.token_file)):
        if value is not None:
            raise SettingsError(name, "an http:// address to go with it", where)
    if chosen.wait_s == 0:
        raise SettingsError("--wait", "a number above 0 (seconds)", 0)
    endpoint, keys = read_endpoint("ENDPOINT", where), chosen.socket_options()
    of_topics = TopicRule(os.fsencode(chosen.topic_until), chosen.stamp)
    stream = LatestStream(endpoint, os.fsencode(prefix), of_topics, chosen.wait_s, keys)
    return MessageSource(where, stream, RecordFilter(), chosen.count, None)


def _of_endpoints(chosen: LastOptions) -> list[tuple[str, object]]:
    """What only an endpoint can be asked, where it is other than usual."""
    usual = LastOptions()
    pairs = (
        ("--wait", chosen.wait_s, usual.wait_s),
        ("--topic-until", chosen.topic_until, usual.topic_until),
        ("--stamp", chosen.stamp, usual.stamp),
    )
    return [(name, value) for name, value, default in pairs if value != default]


LAST = Command(
    "last",
    "ENDPOINT [PREFIX]",
    """\
Shows the last value of each topic, a line for each, and ends: see docs/late-joiners.rst. With a PREFIX, it shows only
messages that begin with PREFIX.

The ENDPOINT is where a device with --last-value publishes. It is connected to, or bound with @ before it; a bare port
is one of this host. A publisher that keeps no last values works too: the first message of each topic that comes
meanwhile is shown.
http://HOST:PORT is the address of a server with --http; it needs --device and --token-file.""",
    execute,
    sections_of(LastOptions),
)
