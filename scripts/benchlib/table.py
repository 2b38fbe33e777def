"""The tables on standard output: medians over the rounds with their spread, and ratios of medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from .case import BESIDE, Case
from .measure import Sample
from .schedule import Result

NOISY = 0.25
BUSY_OTHERS = 0.1
LOAD_FULL = 0.97
SETTLED = 0.25
"""A queue fills and empties by halves: a window must see several of them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Over the rounds of one run: the median, the least and the most."""

    median: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """From the least to the most, as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


def spreads(samples: list[Sample]) -> dict[str, Spread]:
    """One :class:`Spread` for each metric."""
    names: dict[str, None] = {name: None for sample in samples for name in sample}
    return {name: spread(sample[name] for sample in samples if name in sample) for name in names}


def ratio(of: Spread | None, to: Spread | None) -> float | None:
    """Ratio of medians; None where one of them is missing or nothing was measured."""
    return of.median / to.median if of and to and to.median else None


@dataclass(frozen=True, slots=True)
class Column:
    """``metric`` with its heading and format; ``versus`` adds columns with the ratio to those contenders."""

    metric: str
    heading: str
    form: str
    spread: bool = True
    versus: tuple[str, ...] = ()


RATE = Column("rate", "messages/s", "{:,.0f}", versus=("proxy", "poll"))
CPU = Column("cpu_us", "relay CPU µs/msg", "{:.3g}", versus=("proxy",))
CORES = (
    Column("relay_cores", "relay cores", "{:.2f}", False),
    Column("load_cores", "client cores", "{:.2f}", False),
)
TIMES = (
    Column("p50_us", "p50 µs", "{:,.1f}", versus=("proxy",)),
    Column("p99_us", "p99 µs", "{:,.1f}", versus=("proxy",)),
)
LOSSES = (
    Column("source_rate", "source/s", "{:,.0f}", False),
    Column("delivered", "delivered", "{:.1%}", False),
)
MEMORY = (
    Column("grown_mb", "growth MB", "{:,.1f}"),
    Column("allowed_mb", "2 x HWM x size", "{:,.1f} MB", False),
    Column("of_allowed", "of that", "{:.2f}", False),
)
IDLE = (
    Column("each_kb", "kB for each", "{:,.1f}"),
    Column("idle_cores", "relay cores", "{:.4f}"),
)
BROKER_RATE = Column("rate", "messages/s", "{:,.0f}", versus=("proxy", "nats", "redis"))
BROKER_CPU = Column("cpu_us", "relay CPU µs/msg", "{:.3g}", versus=("proxy", "nats", "redis"))


def columns(case: Case) -> list[Column]:
    if case.pattern == "memory":
        return list(MEMORY)
    if case.pattern == "many":
        return [RATE, Column("fairness", "slowest/fastest", "{:.2f}"), CPU, *CORES]
    if case.pattern == "idle":
        return list(IDLE)
    if case.pattern == "leave":
        return [TIMES[1], Column("longest_us", "longest µs", "{:,.0f}")]
    if case.pattern in BESIDE:
        return [*TIMES, RATE]
    if case.pattern == "broker":
        return [BROKER_RATE, *LOSSES, BROKER_CPU, *CORES]
    if case.attack:
        return [RATE, *TIMES, Column("longest_us", "longest µs", "{:,.0f}")]
    if case.in_flight == 1:
        return [RATE, *TIMES, CPU, *CORES]
    if case.device in ("forwarder", "relay"):
        return [RATE, *LOSSES, CPU, *CORES]
    return [RATE, CPU, *CORES]


def table(case: Case, found: dict[str, Result]) -> str:
    """One case: a row for each contender; failed rounds are named below, with the contender's reason."""
    measured = {name: spreads(result.samples) for name, result in found.items()}
    rows = [_headings(case, found)]
    for name, values in measured.items():
        if values:
            rows.append([found[name].label, *_cells(case, values, measured)])
    lines = [case.name, *aligned(rows)]
    for result in found.values():
        if result.failures:
            failed = f"{len(result.failures)} round(s) failed: {result.failures[-1]}"
            lines.append(f"  {result.label}: {failed}")
    relays = [name for name, result in found.items() if result.is_relay]
    return "\n".join(lines + [f"  {remark}" for remark in remarks(measured, relays, columns(case))])


def _headings(case: Case, found: dict[str, Result]) -> list[str]:
    row = [""]
    for column in columns(case):
        row.append(column.heading)
        row += ["min-max"] if column.spread else []
        row += [f"x {other}" for other in column.versus if other in found]
    return row


def _cells(case: Case, values: dict[str, Spread], measured: dict[str, dict[str, Spread]]) -> list[str]:
    row = []
    for column in columns(case):
        value = values.get(column.metric)
        row.append(column.form.format(value.median) if value else "-")
        if column.spread:
            row.append(f"{_short(value.low)}-{_short(value.high)}" if value else "-")
        for other in column.versus:
            if other in measured:
                times = ratio(value, measured[other].get(column.metric))
                row.append(f"{times:.2f}" if times is not None else "-")
    return row


def _short(value: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def aligned(rows: list[list[str]], left: int = 1) -> list[str]:
    """Rows as lines, with a rule below the first; the first ``left`` columns are text, the others numbers."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[:left] = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        lines.append("  " + "  ".join(padded))
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return lines


def _full(values: dict[str, Spread]) -> bool:
    return "load_share" in values and values["load_share"].median > LOAD_FULL


def _unsettled(values: dict[str, Spread]) -> bool:
    return "windows_to_fill" in values and values["windows_to_fill"].median > SETTLED


def remarks(measured: dict[str, dict[str, Spread]], relays: list[str], shown: list[Column]) -> list[str]:
    """What a reader must know before trusting the rows above; ``relays``: the contenders that are one."""
    found = []
    wide = [name for name, values in measured.items() if "rate" in values and values["rate"].width > NOISY]
    if wide:
        found.append(f"Wide spread (over {NOISY:.0%} of the median): {', '.join(wide)}.")
    limited = [name for name in relays if _full(measured[name])]
    if limited:
        found.append(f"The clients' cores were full, the relay might do more: {', '.join(limited)}.")
    unsettled = [name for name in relays if _unsettled(measured[name])]
    if unsettled and any(column.metric == "source_rate" for column in shown):
        found.append(
            "The queues hold more than a window's messages, so source/s and delivered may be those of queues "
            f"that fill: {', '.join(unsettled)}."
        )
    others = [values["others_cores"].high for values in measured.values() if "others_cores" in values]
    return found + busy_others(others)


def busy_others(cores: list[float]) -> list[str]:
    """The remark that other programs were busy, if they were; ``cores``: how many of them they took in each window."""
    if max(cores, default=0) <= BUSY_OTHERS:
        return []
    return [f"Other programs took up to {max(cores):.2f} of a core in a measured window."]
