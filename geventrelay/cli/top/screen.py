"""What ``geventrelay top`` draws, by rich."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...printable import printable
from .rates import COUNTERS, DeviceRates, short

_STATES = {"running": "green", "paused": "yellow", "stopping": "yellow", "stopped": "dim", "failed": "bold red"}
# The server's line, the totals, the table's head, and what follows it.
_OTHER_LINES = 7
_MOST_NOTES = 5
# The rates that are always there, and their headings. Others have a column where the screen is wide enough.
_RATES = {"received": "in/s", "sent": "out/s", "dropped": "drop/s"}
_MORE_RATES = {name: f"{name.replace('_', ' ')}/s" for name in COUNTERS if name not in _RATES}
# As wide as all columns but the first and those of other rates may become, with the space between them.
_OTHER_COLUMNS = 61
# What the first column keeps before another rate gets a column.
_NAME_COLUMN = 20


class Screen:
    """Draws readings of a server, once by `text` or again and again within a ``with`` block.

    :param url: where the server answers.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop")
        self._last: RenderableType = Text("")

    def __enter__(self) -> Screen:
        self._live.__enter__()
        self._live.update(self._last, refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def begin(self, server: Mapping[str, Any]) -> None:
        """Set what to show until there are rates: what the `server` sends about itself."""
        self._last = Group(self._head(server), Text("measuring", style="dim"))

    def text(self, server: Mapping[str, Any], devices: Mapping[str, DeviceRates]) -> str:
        """All `devices` of a `server`, to be printed."""
        with self._console.capture() as captured:
            self._console.print(self._page(server, list(devices.values()), len(devices)))
        return captured.get().rstrip("\n")

    def show(self, server: Mapping[str, Any], devices: Mapping[str, DeviceRates]) -> None:
        """Draw as many of the `devices` of a `server` as there is room for, those that need a look first."""
        room = max(1, self._console.height - _OTHER_LINES - _MOST_NOTES)
        some = list(devices.values())
        if len(some) > room:
            some.sort(key=lambda one: (not one.needs_a_look, -(one.per_s["received"] or 0)))
        self._last = self._page(server, some, room)
        self._live.update(self._last, refresh=True)

    def complain(self, sentence: str) -> None:
        """Draw the last figures, and a `sentence` that says why there are no newer ones."""
        self._live.update(
            Group(Text(printable(sentence) + "; trying again", style="bold red"), self._last), refresh=True
        )

    def _page(self, server: Mapping[str, Any], devices: list[DeviceRates], room: int) -> RenderableType:
        more = len(devices) - room
        rest = [Text(f"and {more} more", style="dim")] if more > 0 else []
        return Group(
            self._head(server),
            _totals(devices),
            Text(""),
            _table(devices[:room], self._console.width),
            *rest,
            *_notes(devices),
        )

    def _head(self, server: Mapping[str, Any]) -> Text:
        head = Text("geventrelay ", style="bold", no_wrap=True, overflow="ellipsis")
        up = time.time() - (server.get("started_at") or time.time())
        program = f"{server.get('geventrelay', '?')} ({server.get('burst', '?')})"
        facts = f"{program}, up {_duration(up)}, hub delay {_ms(server)}"
        head.append(printable(facts), style="not bold")
        head.append(f"  {self._url.removeprefix('http://')}", style="not bold dim")
        if not server.get("ready", True):
            head.append("  not ready", style="bold yellow")
        return head


def _table(devices: Iterable[DeviceRates], width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("device", no_wrap=True, overflow="ellipsis", min_width=8, max_width=_name_width(width))
    table.add_column("state", no_wrap=True, min_width=len("stopping"))
    rates = _rates_that_fit(width)
    for name in (*rates.values(), "dropped", "held"):
        table.add_column(name, justify="right", no_wrap=True, min_width=max(len("999k"), len(name)))
    table.add_column("peers", no_wrap=True, min_width=7, max_width=12)
    for one in devices:
        table.add_row(
            # As text: rich would read a string as markup.
            Text(printable(one.name)),
            _state(one),
            *(_number(one.per_s[name], "bold red" if name == "dropped" else "") for name in rates),
            _number(one.total("dropped"), "red"),
            _number(one.held, "yellow"),
            "/".join(short(number) for number in one.peers.values()),
        )
    return table


def _rates_that_fit(width: int) -> dict[str, str]:
    shown, room = dict(_RATES), width - _OTHER_COLUMNS - _NAME_COLUMN
    for name, heading in _MORE_RATES.items():
        room -= len(heading) + 2
        if room >= 0:
            shown[name] = heading
    return shown


def _name_width(width: int) -> int:
    more = sum(len(heading) + 2 for name, heading in _rates_that_fit(width).items() if name in _MORE_RATES)
    return max(8, width - _OTHER_COLUMNS - more)


def _state(one: DeviceRates) -> Text:
    return Text(printable(one.state or "?"), style=_STATES.get(one.state or "", ""))


def _number(value: float | None, style: str) -> Text:
    return Text(short(value), style=style if value else "dim")


def _totals(devices: list[DeviceRates]) -> Text:
    states = Counter(one.state or "?" for one in devices)
    received, sent, dropped = (sum(one.per_s[name] or 0 for one in devices) for name in ("received", "sent", "dropped"))
    line = Text(f"in {short(received)}/s  out {short(sent)}/s  ", no_wrap=True, overflow="ellipsis")
    line.append(f"dropping {short(dropped)}/s", style="bold red" if dropped else "dim")
    line.append(f"  {len(devices)} device{'' if len(devices) == 1 else 's'}:")
    for state, number in states.items():
        line.append(f" {number} {printable(state)}", style=_STATES.get(state, ""))
    return line


def _notes(devices: Iterable[DeviceRates]) -> list[Text]:
    """A line for each device that dropped messages or has failed, as far as there is room."""
    notes = [note for one in devices for note in (_failure(one), _drops(one)) if note is not None]
    return [Text(""), *notes[:_MOST_NOTES]] if notes else []


def _failure(one: DeviceRates) -> Text | None:
    if one.failure is None:
        return None
    again = "" if one.next_start_in_s is None else f", starts again in {_duration(one.next_start_in_s)}"
    times = f", restarted {one.restarts}x" if one.restarts else ""
    lead = "failed" if one.state == "failed" else "failed before"
    return _note(f"{one.name}: {lead}: {one.failure}{times}{again}", "red" if one.state == "failed" else "dim")


def _drops(one: DeviceRates) -> Text | None:
    dropped = one.counts["dropped"]
    if not isinstance(dropped, Mapping) or not one.total("dropped"):
        return None
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items() if number)
    return _note(f"{one.name}: dropped {reasons}", "red" if one.per_s["dropped"] else "dim")


def _note(sentence: str, style: str) -> Text:
    return Text(printable(sentence), style=style, no_wrap=True, overflow="ellipsis")


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    for step, one, smaller, other in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= step:
            return f"{whole // step} {one} {whole % step // smaller} {other}"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def _ms(server: Mapping[str, Any]) -> str:
    delay_s = server.get("hub_delay_s")
    return "unknown" if delay_s is None else f"{delay_s * 1000:.1f} ms"
