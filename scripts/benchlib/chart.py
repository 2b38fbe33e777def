"""The chart: one group of bars for each case, relative to zmq.proxy, as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from .case import Case
from .schedule import Result, Results
from .table import Spread, spreads

WIDTH, NAME_WIDTH, PANEL, GAP, EDGE = 960, 196, 300, 84, 24
BAR, BAR_STEP, CASE_HEAD, CASE_GAP, TOP = 13, 18, 24, 14, 92
LIMIT = 3.0
"""Bars are cut here, their value beside them: some are above 10, and 1.0 is what a reader looks for."""
REFERENCE = "proxy"
FILLS = {
    "native": "#0f9d8a",
    "python": "#5b8def",
    "zmtp": "#c2453d",
    "proxy": "#8a8f98",
    "poll": "#d99a2b",
    "green-pair": "#c86b98",
    "green-device": "#9b6fd1",
    "direct": "#b9bdc4",
}
# The card brings its own background, so that the text is readable on any page, whatever its theme.
STYLE = """
  .card { fill: #ffffff; stroke: #d5d9df } .ink { fill: #1f2328 } .dim { fill: #626a75 }
  .rule { stroke: #e3e6ea }
  .one { stroke: #626a75; stroke-dasharray: 3 3 } .whisker { stroke: #1f2328 }
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px }
  .title { font-size: 17px; font-weight: 600 } .case { font-size: 13px; font-weight: 600 }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22; stroke: #343b45 } .ink { fill: #e6edf3 } .dim { fill: #9aa4b0 }
    .rule { stroke: #2b323b }
    .value { stroke: #161b22 } .one { stroke: #9aa4b0 } .whisker { stroke: #e6edf3 }
  }
"""


@dataclass(frozen=True, slots=True)
class _Panel:
    metric: str
    title: str
    left: int

    def x(self, times: float) -> float:
        return self.left + PANEL * min(times, LIMIT) / LIMIT


PANELS = (
    _Panel("rate", "Throughput (longer is better)", EDGE + NAME_WIDTH),
    _Panel("cpu_us", "CPU time per message (shorter is better)", EDGE + NAME_WIDTH + PANEL + GAP),
)


def chart(results: Results, footnote: str) -> str:
    """The whole SVG document; cases in which zmq.proxy was not measured are left out."""
    shown = [(case, rows) for case, found in results.items() if (rows := _rows(found))]
    height = TOP + sum(_height(rows) for _, rows in shown) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        'aria-label="Throughput and CPU time of each relay, relative to zmq.proxy">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(EDGE, 34, "Relative to zmq.proxy = 1.0", "ink title"),
        *(_axis(panel, height) for panel in PANELS),
    ]
    y = TOP
    for case, rows in shown:
        parts.append(_group(case, rows, y, {name: result.label for name, result in results[case].items()}))
        y += _height(rows)
    parts.append(_text(EDGE, height - 16, footnote, "dim"))
    return "\n".join([*parts, "</svg>", ""])


def _rows(found: dict[str, Result]) -> dict[str, dict[str, Spread]]:
    measured = {name: spreads(result.samples) for name, result in found.items() if result.samples}
    if "rate" not in measured.get(REFERENCE, {}):
        return {}
    return {name: values for name, values in measured.items() if name in FILLS}


def _height(rows: dict[str, dict[str, Spread]]) -> int:
    return CASE_HEAD + len(rows) * BAR_STEP + CASE_GAP


def _axis(panel: _Panel, height: int) -> str:
    parts = [_text(panel.left, 60, panel.title, "ink case")]
    for step in range(int(LIMIT * 2) + 1):
        x = panel.x(step / 2)
        kind = "one" if step == 2 else "rule"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 36}"/>')
        parts.append(_text(x, TOP - 11, f"{step / 2:g}", "dim", "middle"))
    return "\n".join(parts)


def _group(case: Case, rows: dict[str, dict[str, Spread]], top: int, labels: dict[str, str]) -> str:
    # On the card's colour, so that the case's name is not crossed by the lines of the axis.
    parts = [
        f'<rect class="card" style="stroke:none" x="{EDGE}" y="{top - 2}" width="{WIDTH - 2 * EDGE}" height="20"/>',
        _text(EDGE, top + 13, case.name, "ink case"),
    ]
    for i, (name, values) in enumerate(rows.items()):
        y = top + CASE_HEAD + i * BAR_STEP
        parts.append(_text(EDGE + NAME_WIDTH - 10, y + BAR - 2.5, labels[name], "ink", "end"))
        parts += [_bar(panel, name, values, rows[REFERENCE], y) for panel in PANELS]
    return "\n".join(parts)


def _bar(panel: _Panel, name: str, values: dict[str, Spread], reference: dict[str, Spread], y: int) -> str:
    value, one = values.get(panel.metric), reference.get(panel.metric)
    if not value or not one or not one.median or not value.median:
        return ""
    times = value.median / one.median
    low, high = value.low / one.median, value.high / one.median
    middle = y + BAR / 2
    parts = [
        f'<rect x="{panel.left}" y="{y}" width="{panel.x(times) - panel.left:.1f}" '
        f'height="{BAR}" rx="2" fill="{FILLS[name]}"/>'
    ]
    if low < LIMIT:
        parts.append(
            f'<line class="whisker" x1="{panel.x(low):.1f}" x2="{panel.x(high):.1f}" y1="{middle}" y2="{middle}"/>'
        )
    after = max(panel.x(times), panel.x(high) if low < LIMIT else 0) + 6
    cut = " ▸" if times > LIMIT else ""
    return "\n".join([*parts, _text(after, y + BAR - 2.5, f"{_number(times)}{cut}", "ink value")])


def _number(times: float) -> str:
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
