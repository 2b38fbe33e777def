"""The other tables of ``top``: the busiest topics, what subscribers lost, and what devices keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from ...printable import printable
from .rates import DeviceRates, short
from .subscribers import SubscriberLosses
from .topics import TopicRates

# Between two columns.
_GAP = 2
# What the first column keeps at least.
_NAME = 12

# The heading and the width of each, the most important first. The last ones are left out where there is no room.
_OF_TOPICS = (("msg/s", 6), ("lost", 6), ("bytes/s", 7), ("messages", 8), ("subs", 5), ("device", 16))
_OF_SUBSCRIBERS = (("lost", 6), ("why", 10), ("most of", 16), ("got", 6), ("waiting", 7), ("device", 16))
_OF_KEPT = (("keeps", 11), ("number", 7), ("bytes", 6), ("forgotten", 9))
_LEFT = ("device", "keeps", "why", "most of")


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


def _table(first: str, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str]], width: int) -> Table:
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
        made.add_row(*(Text(cell) for cell in row[: there + 1]))
    return made
