"""``geventrelay trace``: how long messages take to the other relays of a backbone, or where they stay."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SettingsError
from ...printable import printable
from ...settings.checks import flag, path, seconds, text
from ...settings.option import Group, option, read_group
from ...web.trace import DEFAULT_S, MOST_S
from ..api_client import DEFAULT_URL, Remote
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..http_stream import read_token
from ..output import print_stdout
from ..stored import stored_line

# A server that is busy may be late with its answer.
_ANSWER_S = 10.0
_BAR = 30

_LABELS = {
    "outbox": "outbox here",
    "nats": "NATS, both ways",
    "inbox_there": "inbox there",
    "device_there": "device there",
    "outbox_there": "outbox there",
    "inbox": "inbox here",
    "device": "device here",
}


def _limit(name: str, value: Any) -> float:
    """Read `value` as how long to wait: `name` is what to call it in an error."""
    try:
        limit_s = seconds(name, value)
    except SettingsError:
        limit_s = 0
    if not 0 < limit_s <= MOST_S:
        raise SettingsError(name, f"a number above 0 and up to {MOST_S:g}", value)
    return limit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions(Group):
    """The options of ``geventrelay trace``."""

    topic: str | None = option(
        text,
        "say for each relay whether messages that begin with TOPIC go there, and are wanted there; '' is all messages",
        default=None,
        unset="none",
        metavar="TOPIC",
    )
    seconds_s: float = option(_limit, f"how long to wait for answers, {MOST_S:g} at most", default=DEFAULT_S)
    json: bool = option(flag, "print one JSON object: see docs/http.rst", default=False)
    token_file: Path | None = option(
        path,
        "its first line is the token that the server asks for",
        default=None,
        unset="none",
        metavar="PATH",
    )


def execute(options: Options) -> int:
    """Trace the way from the device of `options` to the others; the exit code. Blocks the hub.

    :raises SettingsError: if an option or the URL is not valid.
    :raises StartError: if the server does not answer, or does not do it.
    """
    chosen = read_group(TraceOptions, given_options(options))
    remote = Remote(options["URL"] or DEFAULT_URL, chosen.seconds_s + _ANSWER_S)
    query = {"seconds": f"{chosen.seconds_s:g}"} | ({} if chosen.topic is None else {"topic": chosen.topic})
    answer = remote.trace(options["DEVICE"], query, read_token(chosen.token_file))
    print_stdout(json.dumps(answer) if chosen.json else "\n".join(_lines(options["DEVICE"], answer)))
    return 0 if answer["answered"] else 1


def _lines(device: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """What is shown of an `answer`."""
    relays = answer["relays"]
    server = answer.get("server")
    where = f"at {printable(server)}" if server else _away(answer)
    yield f"{printable(device)}: relay {_name(answer)}, {where}"
    if answer.get("waiting") or answer.get("incoming"):
        yield f"  {_messages(answer.get('waiting'))} for others wait here, {answer.get('incoming') or 0:,} from others"
    if answer.get("dropped"):
        yield f"  {_messages(answer['dropped'])} for others dropped here since its start: NATS was away or too slow"
    if answer.get("topic") is not None:
        yield f"  {_topic(answer)}"
    if answer.get("room") is not None:
        yield f"  {_room(answer)}"
    if answer.get("store") is not None:
        yield f"  {stored_line(answer['store'])}"
    for one in relays:
        yield ""
        yield from _relay(one)
    yield ""
    count = sum(one.get("outcome") == "answered" for one in relays)
    yield f"{count} of {len(relays)} relays have answered" if relays else "no other relay of this name is known"


def _topic(answer: Mapping[str, Any]) -> str:
    named = printable(answer["topic"]) or "'', all messages"
    # A streamer or a queue has only work, which has none.
    return f"{named}: {'no topics' if answer.get('wanted') is None else _interest(answer)} here"


def _away(answer: Mapping[str, Any]) -> str:
    since = f" for {_time(answer['away_s'])}" if answer.get("away_s") is not None else ""
    return f"not connected to NATS{since} ({printable(answer.get('reason') or 'no reason known')})"


def _relay(one: Mapping[str, Any]) -> Iterator[str]:
    total, hops = one.get("seconds") or 0, one.get("hops", [])
    if one.get("outcome") == "answered":
        yield f"{_name(one)}  answered in {_time(total)}"
    else:
        yield f"{_name(one)}  NO ANSWER: {printable(one.get('reason') or one.get('outcome') or '')}"
    begin = 0.0
    for hop in hops:
        spent = hop.get("seconds") or 0
        before = hop.get("messages")
        notes = [f"behind {_messages(before)}"] if before else []
        if hop.get("over") is False:
            notes.append("<-- stays here" if hop["place"] != "nats" else "<-- nothing came back")
        label = _LABELS.get(hop["place"], printable(hop["place"]))
        yield f"  {label:<16} {_time(spent):>9}  {_bar(begin, spent, total)}  {', '.join(notes)}".rstrip()
        begin += spent
    if one.get("sent") is not None:
        wanted = "" if one.get("wanted") is None else f"; it is {_interest(one)} there"
        yield f"  topic            {'goes' if one['sent'] else 'does not go'} there{wanted}"
    if one.get("room") is not None:
        credit = "" if one.get("credit") is None else f"; {one['credit']:,} may be sent there now"
        yield f"  work             {_room(one)}{credit}"
    if one.get("dropped"):
        yield f"  dropped          {_messages(one['dropped'])} there since its start: what takes them was too slow"
    if one.get("look_at"):
        there = "that relay" if one["look_at"].get("there") else "this relay"
        yield f"  look at          {', '.join(map(printable, one['look_at'].get('values', [])))} of {there}"


def _name(one: Mapping[str, Any]) -> str:
    return printable(f"{one.get('relay', '')} on {one.get('host') or 'a host without a name'}")


def _interest(one: Mapping[str, Any]) -> str:
    count = one.get("subscriptions") or 0
    return "not wanted" if not one.get("wanted") else f"wanted, by {count:,} topic{'s' * (count != 1)} of subscribers"


def _room(one: Mapping[str, Any]) -> str:
    """How much room there is: none where all workers are busy, and none where there are no workers."""
    room, workers = one["room"], one.get("workers")
    if not room and workers == 0:
        return "it has no workers"
    # Room is of this moment, and the number of another one's workers up to a second old.
    subject = f"its {workers:,} worker{'s' * (workers != 1)}" if workers else "its workers"
    return f"{subject} {'has' if workers == 1 else 'have'} room for {_messages(room)}"


def _messages(count: int | None) -> str:
    return "1 message" if count == 1 else f"{count or 0:,} messages"


def _time(spent: float) -> str:
    if spent < 1:
        return f"{spent * 1000:.2f} ms" if spent < 0.1 else f"{spent * 1000:.0f} ms"
    return f"{spent:.1f} s"


def _bar(begin: float, spent: float, total: float) -> str:
    """When something was, of a `total` time."""
    if total <= 0:
        return " " * _BAR
    first = min(_BAR - 1, int(begin / total * _BAR))
    size = max(1, min(_BAR - first, round(spent / total * _BAR)))
    return " " * first + _mark() * size + " " * (_BAR - first - size)


def _mark() -> str:
    try:
        "\u2588".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "#"
    return "\u2588"


TRACE = Command(
    "trace",
    "DEVICE [URL]",
    f"""\
Shows how long messages take from a device with --backbone to each other relay of its name, part by part, or where they
stay: see docs/scaling.rst. It sends a probe to each, which waits where messages wait, and which is answered likewise.

URL is the address of a running server with --http and --http-token-file; {DEFAULT_URL} unless it is given.

Exit codes: 0 all other relays have answered, 1 one has not, or there is none, or the server does not do it, 2 wrong
usage.""",
    execute,
    sections_of(TraceOptions),
)
