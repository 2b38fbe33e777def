"""The other tables of ``top``: the busiest topics, what subscribers lost, what devices keep, and the mesh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from ...printable import printable
from .mesh import RelayRates
from .rates import DeviceRates, short
from .subscribers import SubscriberLosses
from .topics import TopicRates

_Value = TypeVar("_Value")

# Between two columns.
_GAP = 2
# What the first column keeps at least.
_NAME = 12

# The heading and the width of each, the most important first. The last ones are left out where there is no room.
_OF_TOPICS = (("msg/s", 6), ("lost", 6), ("bytes/s", 7), ("messages", 8), ("subs", 5), ("device", 16))
_OF_SUBSCRIBERS = (("lost", 6), ("why", 10), ("most of", 16), ("got", 6), ("waiting", 7), ("device", 16))
_OF_KEPT = (("keeps", 11), ("number", 7), ("bytes", 6), ("forgotten", 9))
_OF_MESH = (
    ("to/s", 6), ("from/s", 6), ("silent", 7), ("away", 7), ("waits", 5), ("peers", 5), ("in/s", 6), ("out/s", 6),
    ("lost", 6), ("credit", 6), ("promised", 8), ("device", 16), ("nats", 22), ("version", 10),
)  # fmt: skip
# A relay says every second that it is there, and is gone when it was silent for 5.
_LATE_S = 2.5
_LEFT = ("nats", "version", "device", "keeps", "why", "most of")


def topics_table(topics: Iterable[TopicRates], width: int) -> Table:
    """The table of some `topics`, in their order, for a screen of a `width` in characters. Does not yield."""
    rows = (
        (
            printable(one.topic),
            short(one.messages_per_s),
            short(one.lost),
            short(one.bytes_per_s),
            ("~" if one.error else "") + short(one.messages),
            short(one.subscribers),
            printable(one.device),
        )
        for one in topics
    )
    return _table("topic", _OF_TOPICS, rows, width)


def subscribers_table(subscribers: Iterable[SubscriberLosses], width: int) -> Table:
    """The table of some `subscribers`, in their order, for a screen of a `width` in characters. Does not yield."""
    rows = (
        (
            ("left: " if one.left_at is not None else "") + printable("@".join(filter(None, (one.user, one.address)))),
            short(one.total),
            printable(max(one.lost, key=lambda reason: one.lost[reason])) + ("+" if len(one.lost) > 1 else ""),
            printable(one.lost_topics[0]["topic"]) if one.lost_topics else "?",
            short(one.delivered),
            short(one.waiting),
            printable(one.device),
        )
        for one in subscribers
    )
    return _table("subscriber", _OF_SUBSCRIBERS, rows, width)


def kept_table(kept: Iterable[Sequence[str]], width: int) -> Table:
    """The table of what is `kept`, as `kept_rows` has it, for a screen of a `width` in characters. Does not yield."""
    return _table("device", _OF_KEPT, kept, width)


def kept_rows(devices: Iterable[DeviceRates]) -> list[Sequence[str]]:
    """A row for each thing that one of the `devices` keeps: last values, messages for replay. Does not yield."""
    rows: list[Sequence[str]] = []
    for one in devices:
        name = printable(one.name)
        if (values := one.last_values) is not None:
            forgotten = values.get("forgotten")
            gone = sum(forgotten.values()) if isinstance(forgotten, dict) else None
            rows.append((name, "last values", short(values.get("kept")), short(values.get("bytes")), short(gone)))
        if (log := one.log) is not None:
            gone = log.get("forgotten_for_memory")
            rows.append((name, "for replay", short(log.get("messages")), short(log.get("bytes")), short(gone)))
    return rows


def mesh_table(relays: Sequence[RelayRates], width: int) -> Table:
    """The table of some `relays`, in their order, for a screen of a `width` in characters. Does not yield."""
    # What no relay says takes no room.
    asked = [any(_of_mesh(one)[place] is not None for one in relays) for place in range(len(_OF_MESH))]
    columns = [column for column, is_there in zip(_OF_MESH, asked, strict=True) if is_there]
    hosts = Counter(one.host for one in relays)
    rows = []
    for one in relays:
        cells = [cell for cell, is_there in zip(_of_mesh(one), asked, strict=True) if is_there]
        style = "bold red" if one.is_apart else "yellow" if (one.silent_s or 0) >= _LATE_S else ""
        host = ("here: " if one.is_own else "") + printable(one.host or one.relay or "?")
        if one.host and one.relay and hosts[one.host] > 1:
            # On one machine, all have the name of one host.
            host += f" {printable(one.relay[:8])}"
        # What the device itself gets and sends stands in the table of devices.
        unknown = "-" if one.is_own else "?"
        rows.append([Text(unknown if cell is None else cell, style) for cell in (host, *cells)])
    return _table("relay", columns, rows, width)


def _of_mesh(one: RelayRates) -> Sequence[str | None]:
    """The cells of `_OF_MESH`; None where nothing is known."""
    silent = "no NATS" if one.is_apart else "-" if one.is_own else _unless_none(one.silent_s, lambda s: f"{s:.1f} s")
    return (
        _unless_none(one.sent_per_s, short),
        _unless_none(one.received_per_s, short),
        silent,
        _way(one),
        _unless_none(one.waits, short),
        _unless_none(one.peers, short),
        _unless_none(one.in_per_s, short),
        _unless_none(one.out_per_s, short),
        _unless_none(one.lost, short),
        _unless_none(one.credit, short),
        _unless_none(one.promised, short),
        printable(one.device),
        _unless_none(one.nats, printable),
        _unless_none(one.version, printable),
    )


def _way(one: RelayRates) -> str | None:
    """How far away it is. Without NATS, what was measured before is old, as older servers still tell it."""
    if one.is_apart or one.round_trip_s is None:
        return "?" if one.is_own else None
    return f"{one.round_trip_s * 1000:.1f} ms" if one.round_trip_s < 1 else f"{one.round_trip_s:.1f} s"


def _unless_none(value: _Value | None, text: Callable[[_Value], str]) -> str | None:
    return None if value is None else text(value)


def _table(first: str, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str | Text]], width: int) -> Table:
    room, there = width - _NAME, 0
    for _, least in columns:
        if room < least + _GAP:
            break
        room -= least + _GAP
        there += 1
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", expand=False)
    made.add_column(first, no_wrap=True, overflow="ellipsis", max_width=max(_NAME, room + _NAME))
    for heading, least in columns[:there]:
        side = "left" if heading in _LEFT else "right"
        made.add_column(heading, justify=side, no_wrap=True, overflow="ellipsis", min_width=least, max_width=least)  # type: ignore[arg-type]
    for row in rows:
        # As text: rich would read a string as markup.
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row[: there + 1]))
    return made
