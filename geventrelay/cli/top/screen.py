"""What ``geventrelay top`` draws, by rich."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ...printable import printable
from ..stored import stored_line
from .mesh import RelayRates
from .more_tables import kept_rows, kept_table, mesh_table, subscribers_table, topics_table
from .rates import DeviceRates, short
from .since import Always, Since
from .subscribers import SubscriberLosses, by_loss
from .table import STATES, table
from .topics import TopicRates, by_rate
from .view import KEYS, SORTINGS, Shows, View, state_rank

# From this height on there are empty lines, and more notes.
_ROOMY_LINES = 24
# The server's line, the totals, the table's head, and the line that says what is shown.
_OTHER_LINES = 4

_COUNT_NONE = "no topics: devices with --topics N count them (engine zmtp)"
_LOST_NONE = "no subscriber has lost anything, of those that are counted (engine zmtp)"
_MESH_NONE = "no device has a backbone: with --backbone, its relays are here"
_KEEP_NONE = "nothing is kept: devices with --last-value or --replay do so (engine zmtp)"


class Screen:
    """Draws readings of a server, once by `text` or again and again within a ``with`` block.

    :param url: where the server answers.
    :ivar takes_keys: whether keys are pressed, so that it says which.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop")
        self._view = View()
        self._since = Since()
        self._server: Mapping[str, Any] = {}
        self._devices: list[DeviceRates] | None = None
        self._topics: Sequence[TopicRates] | None = None
        self._subscribers: Sequence[SubscriberLosses] | None = None
        self._mesh: Sequence[RelayRates] | None = None
        self._complaint: str | None = None
        self.takes_keys = False

    def __enter__(self) -> Screen:
        self._live.__enter__()
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def begin(self, server: Mapping[str, Any]) -> None:
        """Set what to show until there are rates: what the `server` sends about itself."""
        self._server = server

    @property
    def shows(self) -> Shows:
        """What is looked at."""
        return self._view.shows

    def turn_to(self, what: Shows) -> None:
        """Set `what` is looked at first."""
        self._view = View(shows=what)

    def text(
        self,
        server: Mapping[str, Any],
        devices: Mapping[str, DeviceRates],
        topics: Sequence[TopicRates] | None = None,
        subscribers: Sequence[SubscriberLosses] | None = None,
        mesh: Sequence[RelayRates] | None = None,
    ) -> str:
        """All `devices` of a `server`, to be printed, and their `topics`, `subscribers` and `mesh` where asked for."""
        some = list(devices.values())
        notes = [*_notes(some, Always()), *_kept(some)]
        page = Group(
            self._head(server),
            _totals(some),
            Text(""),
            table(some, self._console.width),
            *([Text(""), *notes] if notes else []),
            *([] if topics is None else [Text(""), self._topics_table(by_rate(topics))]),
            *([] if subscribers is None else [Text(""), self._subscribers_table(by_loss(subscribers))]),
            *([] if mesh is None else [Text(""), self._mesh_table(mesh), *_stores(mesh)]),
        )
        with self._console.capture() as captured:
            self._console.print(page)
        return captured.get().rstrip("\n")

    def show(
        self,
        server: Mapping[str, Any],
        devices: Mapping[str, DeviceRates],
        topics: Sequence[TopicRates] | None = None,
        subscribers: Sequence[SubscriberLosses] | None = None,
        mesh: Sequence[RelayRates] | None = None,
    ) -> None:
        """Draw as many as there is room for: `devices` of a `server`, `topics`, `subscribers`, or those of a `mesh`."""
        self._server, self._devices, self._complaint = server, list(devices.values()), None
        self._topics = None if topics is None else by_rate(topics)
        self._subscribers = None if subscribers is None else by_loss(subscribers)
        self._mesh = mesh
        self._since.see(self._devices)
        self._draw()

    def press(self, key: str) -> None:
        """Do what a `key` asks for, and draw the figures that there are."""
        devices = self._devices or []
        rows, room = len(devices), self._room(devices)
        if self._view.shows is not Shows.DEVICES:
            rows, room = len(self._rows(devices)), self._other_room
        self._view = self._view.pressed(key, rows, room)
        self._draw()

    def complain(self, sentence: str) -> None:
        """Draw the last figures, and a `sentence` that says why there are no newer ones."""
        self._complaint = f"{printable(sentence)}; trying again"
        self._draw()

    def _draw(self) -> None:
        self._live.update(self._page(), refresh=True)

    def _page(self) -> RenderableType:
        if self._view.helps:
            return _help()
        head: Text = self._head(self._server)
        if self._complaint is not None:
            head = Text(self._complaint, style="bold red", no_wrap=True, overflow="ellipsis")
        if self._devices is None:
            return Group(head, Text("measuring", style="dim"))
        if self._view.shows is not Shows.DEVICES:
            return self._other_page(head, self._devices)
        gap = [Text("")] if self._is_roomy else []
        room = self._room(self._devices)
        first, shown = self._view.shown(self._devices, room)
        notes = self._notes(self._devices)
        return Group(
            head,
            _totals(self._devices),
            *gap,
            table(shown, self._console.width, sorted_by=self._view.key),
            *(gap if notes else []),
            *notes,
            *gap,
            self._foot(first, len(shown), len(self._devices)),
        )

    def _rows(self, devices: Sequence[DeviceRates]) -> Sequence[Any]:
        """All rows of what is shown in place of the `devices`."""
        match self._view.shows:
            case Shows.KEPT:
                return kept_rows(devices)
            case Shows.SUBSCRIBERS:
                return self._subscribers or ()
            case Shows.MESH:
                return self._mesh or ()
            case _:
                return self._topics or ()

    def _other_page(self, head: Text, devices: Sequence[DeviceRates]) -> RenderableType:
        """What is shown in place of the `devices`, below a `head`: topics, subscribers, what they keep, or the mesh."""
        gap = [Text("")] if self._is_roomy else []
        rows = self._rows(devices)
        first, shown = self._view.window(rows, self._other_room)
        found: RenderableType = Text("measuring", style="dim")
        if self._view.shows is Shows.KEPT:
            found = kept_table(shown, self._console.width) if rows else _line(_KEEP_NONE, "dim")
        elif self._view.shows is Shows.SUBSCRIBERS and self._subscribers is not None:
            found = self._subscribers_table(shown)
        elif self._view.shows is Shows.TOPICS and self._topics is not None:
            found = self._topics_table(shown)
        elif self._view.shows is Shows.MESH and self._mesh is not None:
            found = Group(self._mesh_table(shown), *self._stores)
        return Group(head, _totals(devices), *gap, found, *gap, self._foot(first, len(shown), len(rows)))

    def _topics_table(self, topics: Sequence[TopicRates]) -> RenderableType:
        return topics_table(topics, self._console.width) if topics else _line(_COUNT_NONE, "dim")

    def _subscribers_table(self, subscribers: Sequence[SubscriberLosses]) -> RenderableType:
        return subscribers_table(subscribers, self._console.width) if subscribers else _line(_LOST_NONE, "dim")

    def _mesh_table(self, mesh: Sequence[RelayRates]) -> RenderableType:
        return mesh_table(mesh, self._console.width) if mesh else _line(_MESH_NONE, "dim")

    @property
    def _stores(self) -> list[Text]:
        """A line for each device whose work NATS keeps, below the mesh, if there is room."""
        return _stores(self._mesh or ())[: 5 if self._is_roomy else 1]

    @property
    def _is_roomy(self) -> bool:
        return self._console.height >= _ROOMY_LINES

    def _room(self, devices: Sequence[DeviceRates]) -> int:
        """How many devices fit on the screen."""
        notes = len(self._notes(devices))
        gaps = (3 if notes else 2) if self._is_roomy else 0
        return max(1, self._console.height - _OTHER_LINES - notes - gaps)

    @property
    def _other_room(self) -> int:
        """How many rows fit on the screen of what is shown in place of the devices."""
        below = len(self._stores) if self._view.shows is Shows.MESH else 0
        return max(1, self._room([]) - below)

    def _notes(self, devices: Sequence[DeviceRates]) -> list[Text]:
        """A line for each device with news, if there is room: those that are down, then those that lose most."""
        first = sorted(devices, key=lambda one: (one.state != "failed", -one.missing_per_s))
        return _notes(first, self._since)[: 5 if self._is_roomy else 2]

    def _foot(self, first: int, shown: int, rows: int) -> Text:
        parts = [] if shown == rows else [f"{first + 1} to {first + shown} of {rows}"]
        if self._view.shows is Shows.TOPICS:
            parts.append("by messages a second (of the last 10 s or so)")
        elif self._view.shows is Shows.SUBSCRIBERS:
            parts.append("by messages lost in all")
        elif self._view.shows is Shows.DEVICES and self._view.key is not None:
            parts.append(f"by {SORTINGS[self._view.key].name}" + (", turned round" if self._view.turned else ""))
        if self.takes_keys:
            parts.append(f"v {self._view.shows.next.value}  ? keys  q end")
        return Text("   ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")

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


def _help() -> RenderableType:
    width = max(len(key) for key, _ in KEYS)
    return Group(*(Text(f"{key:<{width}}  {what}", no_wrap=True, overflow="ellipsis") for key, what in KEYS))


def _totals(devices: Sequence[DeviceRates]) -> Text:
    states = Counter(one.state or "?" for one in devices)
    received, sent, dropped, lost, denied = (
        sum(one.per_s.get(name) or 0 for one in devices) for name in ("received", "sent", "dropped", "lost", "denied")
    )
    line = Text(f"in {short(received)}/s  out {short(sent)}/s  ", no_wrap=True, overflow="ellipsis")
    line.append(f"dropping {short(dropped)}/s", style="bold red" if dropped else "dim")
    if lost:
        line.append(f"  losing {short(lost)}/s", style="bold red")
    if denied:
        line.append(f"  denying {short(denied)}/s", style="bold red")
    line.append(f"  {len(devices)} device{'' if len(devices) == 1 else 's'}:")
    # The end of the line may not fit: "running" is last.
    for state, number in sorted(states.items(), key=lambda one: state_rank(one[0])):
        line.append(f" {number} {printable(state)}", style=STATES.get(state, ""))
    return line


def _notes(devices: Sequence[DeviceRates], since: Since) -> list[Text]:
    counted = ("dropped", "lost", "denied")
    notes = (
        (_failure(one, since), _apart(one), _unkept(one), *(_missing(one, since, name) for name in counted))
        for one in devices
    )
    return [note for some in notes for note in some if note is not None]


def _failure(one: DeviceRates, since: Since) -> Text | None:
    if not since.has_failed(one):
        return None
    again = "" if one.next_start_in_s is None else f", starts again in {_duration(one.next_start_in_s)}"
    times = f", restarted {one.restarts}x" if one.restarts else ""
    lead = "failed" if one.state == "failed" else "failed before"
    return _line(f"{one.name}: {lead}: {one.failure}{times}{again}", "red" if one.state == "failed" else "dim")


def _apart(one: DeviceRates) -> Text | None:
    own = next((relay for relay in one.mesh if relay.is_own), None)
    if own is None or not own.is_apart or one.state != "running":
        return None
    return _line(f"{one.name}: no connection to NATS" + (f": {own.reason}" if own.reason else ""), "red")


def _unkept(one: DeviceRates) -> Text | None:
    store = next((relay.store for relay in one.mesh if relay.store is not None), None)
    if store is None or store.get("state") != "refused" or one.state != "running":
        return None
    return _line(f"{one.name}: {stored_line(store)}", "red")


def _stores(mesh: Sequence[RelayRates]) -> list[Text]:
    """A line for each device of a `mesh` whose work NATS keeps."""
    return [
        _line(f"{one.device}: {stored_line(one.store)}", "dim" if one.store.get("state") == "storing" else "red")
        for one in mesh
        if one.store is not None
    ]


def _missing(one: DeviceRates, since: Since, name: str) -> Text | None:
    counts = since.reasons(one, name)
    if not counts:
        return None
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts.items())
    return _line(f"{one.name}: {name} {reasons}", "red" if one.per_s.get(name) else "dim")


def _kept(devices: Sequence[DeviceRates]) -> list[Text]:
    """A line for each thing that a device keeps."""
    found = []
    for one in devices:
        if one.last_values is not None:
            found.append(_line(f"{one.name}: keeps {_amount(one.last_values, 'kept', 'last value')}", "dim"))
        if one.log is not None:
            found.append(_line(f"{one.name}: keeps {_amount(one.log, 'messages', 'message')} for replay", "dim"))
    return found


def _amount(kept: Mapping[str, Any], key: str, noun: str) -> str:
    number, nbytes = kept.get(key) or 0, kept["bytes"]
    return f"{number:,} {noun}{'' if number == 1 else 's'} ({nbytes:,} bytes)"


def _line(sentence: str, style: str) -> Text:
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
