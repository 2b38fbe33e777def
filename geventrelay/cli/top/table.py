"""The table of ``top``: as many columns as the screen is wide enough for, the most important first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from ...printable import printable
from .rates import COUNTERS, DeviceRates, short
from .view import SORTINGS

STATES = {"running": "green", "paused": "yellow", "stopping": "yellow", "stopped": "dim", "failed": "bold red"}
"""The style of each state."""

# Between two columns.
_GAP = 2
# What the first column keeps at least, on a narrow screen, and before a rate gets a column that is not always there.
_NAME, _ROOMY_NAME = 11, 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column after the device's name.

    :ivar key: what `Sorting.column` calls it.
    :ivar heading: its heading.
    :ivar width: the characters that it takes at most.
    :ivar cell: what it shows of a device.
    :ivar is_figure: whether it stands at the right.
    """

    key: str
    heading: str
    width: int
    cell: Callable[[DeviceRates], Text | str]
    is_figure: bool = True

    @property
    def least(self) -> int:
        """The characters that it takes at least."""
        return self.width if self.is_figure else len("stopped")


def _rate(name: str, heading: str) -> Column:
    style = "bold red" if name == "dropped" else ""
    return Column(name, heading, max(len("999k"), len(heading)), lambda one: _number(one.per_s[name], style))


# In their order on the screen.
_STATE = Column("state", "state", len("stopping"), lambda one: _state(one), is_figure=False)
_RATES = [_rate("received", "in/s"), _rate("sent", "out/s"), _rate("dropped", "drop/s")]
_MORE_RATES = [
    _rate(name, f"{name.replace('_', ' ')}/s") for name in COUNTERS if name not in ("received", "sent", "dropped")
]
_TOTAL = Column("total", "dropped", len("dropped"), lambda one: _number(one.total("dropped"), "red"))
_HELD = Column("held", "held", len("999k"), lambda one: _number(one.held, "yellow"))
_PEERS = Column("peers", "peers", 12, lambda one: _peers(one), is_figure=False)
_ALL = [_STATE, *_RATES, *_MORE_RATES, _TOTAL, _HELD, _PEERS]
# The first of them are left out last.
_BY_IMPORTANCE = [_STATE, *_RATES, _HELD, _TOTAL, _PEERS, *_MORE_RATES]


def columns_for(width: int) -> list[Column]:
    """The columns, after the name, that a screen of a `width` in characters has room for. Does not yield."""
    room, found = width - _NAME, []
    for column in _BY_IMPORTANCE:
        if column in _MORE_RATES and room - column.width - _GAP < _ROOMY_NAME - _NAME:
            continue
        if room >= column.width + _GAP:
            found.append(column)
            room -= column.width + _GAP
    return [column for column in _ALL if column in found]


def table(devices: Iterable[DeviceRates], width: int, sorted_by: str | None = None) -> Table:
    """The table of some `devices`. Does not yield.

    :param devices: the devices, in their order.
    :param width: the width of the screen, in characters.
    :param sorted_by: the key that they are sorted by; None if they are not.
    """
    columns = columns_for(width)
    marked = None if sorted_by is None else SORTINGS[sorted_by].column
    name_width = width - sum(column.width + _GAP for column in columns)
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", expand=False)
    made.add_column(_heading("device", marked == "device"), no_wrap=True, overflow="ellipsis", max_width=name_width)
    for one in columns:
        made.add_column(
            _heading(one.heading, marked == one.key),
            justify="right" if one.is_figure else "left", no_wrap=True, overflow="ellipsis",
            min_width=one.least, max_width=one.width,
        )  # fmt: skip
    for device in devices:
        # As text: rich would read a string as markup.
        made.add_row(Text(printable(device.name)), *(column.cell(device) for column in columns))
    return made


def _heading(text: str, is_sorted: bool) -> Text:
    return Text(text, style="bold underline not dim" if is_sorted else "")


def _state(one: DeviceRates) -> Text:
    return Text(printable(one.state or "?"), style=STATES.get(one.state or "", ""))


def _peers(one: DeviceRates) -> str:
    """How many peers each socket has; ~ where that is not certain."""
    return "/".join(("~" if key in one.uncertain else "") + short(number) for key, number in one.peers.items())


def _number(value: float | None, style: str) -> Text:
    return Text(short(value), style=style if value else "dim")
