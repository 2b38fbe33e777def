"""The tables on standard output."""

from __future__ import annotations

from dataclasses import dataclass

from .case import Case
from .contender import BY_NAME
from .schedule import Result
from .spread import Spread, ratio, spreads

NOISY = 0.25
BUSY_OTHERS = 0.1
LOAD_FULL = 0.97
SETTLED = 0.25
"""A queue fills and empties by halves: a window must see several of them."""


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


def columns(case: Case) -> list[Column]:
    if case.pattern == "memory":
        return list(MEMORY)
    if case.pattern == "many":
        return [RATE, Column("fairness", "slowest/fastest", "{:.2f}"), CPU, *CORES]
    if case.pattern == "beside":
        return [*TIMES, RATE]
    if case.in_flight == 1:
        return [RATE, *TIMES, CPU, *CORES]
    if case.device in ("forwarder", "relay"):
        return [RATE, *LOSSES, CPU, *CORES]
    return [RATE, CPU, *CORES]


def table(case: Case, found: dict[str, Result]) -> str:
    """One case: a row for each contender; failed rounds are named below, in the contender's own words."""
    measured = {name: spreads(result.samples) for name, result in found.items()}
    rows = [_headings(case, found)]
    for name, values in measured.items():
        if values:
            rows.append([BY_NAME[name].label, *_cells(case, values, measured)])
    lines = [case.name, *_aligned(rows)]
    for name, result in found.items():
        if result.failures:
            failed = f"{len(result.failures)} round(s) failed: {result.failures[-1]}"
            lines.append(f"  {BY_NAME[name].label}: {failed}")
    return "\n".join(lines + [f"  {remark}" for remark in remarks(measured, columns(case))])


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


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[0] = row[0].ljust(widths[0])
        lines.append("  " + "  ".join(padded))
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return lines


def _full(values: dict[str, Spread]) -> bool:
    return "load_share" in values and values["load_share"].median > LOAD_FULL


def _unsettled(values: dict[str, Spread]) -> bool:
    return "windows_to_fill" in values and values["windows_to_fill"].median > SETTLED


def remarks(measured: dict[str, dict[str, Spread]], shown: list[Column]) -> list[str]:
    """What a reader must know before trusting the rows above."""
    found = []
    wide = [name for name, values in measured.items() if "rate" in values and values["rate"].width > NOISY]
    if wide:
        found.append(f"Wide spread (over {NOISY:.0%} of the median): {', '.join(wide)}.")
    relays = {name: values for name, values in measured.items() if BY_NAME[name].command}
    limited = [name for name, values in relays.items() if _full(values)]
    if limited:
        found.append(f"The clients' cores were full, the relay might do more: {', '.join(limited)}.")
    unsettled = [name for name, values in relays.items() if _unsettled(values)]
    if unsettled and any(column.metric == "source_rate" for column in shown):
        found.append(
            "The queues hold more than a window's messages, so source/s and delivered may be those of queues "
            f"that fill: {', '.join(unsettled)}."
        )
    others = [values["others_cores"].high for values in measured.values() if "others_cores" in values]
    if others and max(others) > BUSY_OTHERS:
        found.append(f"Other programs took up to {max(others):.2f} of a core in a measured window.")
    return found
