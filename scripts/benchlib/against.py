"""Is it slower than it was? Old against new, judged by what old against old shows in the same run.

Pure: results in, verdicts and text out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .case import Case
from .schedule import Result, Results
from .table import Spread, aligned, busy_others, spread

CLOSE = 0.01
"""A difference that needs no other excuse, as a share of the old value."""


ROUNDS = 9
"""How many it takes for a verdict."""


class Verdict(Enum):
    """What a ratio of new to old means; the first that applies."""

    CLOSE = "within 1 %"
    SPREAD = "within the spread"
    BETTER = "better"
    WORSE = "WORSE"


@dataclass(frozen=True, slots=True)
class Metric:
    """``key``: its name in a sample. ``rising``: more of it is better."""

    key: str
    name: str
    rising: bool


METRICS = (
    Metric("rate", "throughput", True),
    Metric("cpu_us", "CPU per message", False),
    Metric("p50_us", "p50", False),
    Metric("p99_us", "p99", False),
    Metric("fairness", "slowest/fastest", True),
    Metric("grown_mb", "growth", False),
    Metric("each_kb", "memory for each", False),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one case: ratios to the old one, over the rounds that both measured.

    ``new``: of the new one; ``again``: of the old one, measured a second time.
    """

    case: Case
    metric: Metric
    new: Spread
    again: Spread

    @property
    def verdict(self) -> Verdict:
        return judge(self.new.median, self.again, self.metric.rising)


def judge(ratio: float, again: Spread, rising: bool) -> Verdict:
    """``ratio`` of new to old, ``again`` what old against old was; ``rising``: more is better.

    Which of the two old ones is called the first is chance, so the spread is that of their ratio either way round.
    """
    # So that 0.99 is within 1 %, whatever binary fractions make of it.
    if abs(ratio - 1) <= CLOSE + 1e-9:
        return Verdict.CLOSE
    if min(again.low, 1 / again.high) <= ratio <= max(again.high, 1 / again.low):
        return Verdict.SPREAD
    return Verdict.BETTER if (ratio > 1) == rising else Verdict.WORSE


def ratios(of: Result, to: Result, key: str) -> Spread | None:
    """Round by round, for what slows down a round slows down both; None where no round has both."""
    found = [
        sample[key] / base[key]
        for number, sample in of.by_round.items()
        if sample.get(key) and (base := to.by_round.get(number, {})).get(key)
    ]
    return spread(found) if found else None


def compare(results: Results, new: str, old: str, again: str) -> list[Comparison]:
    """Of the contenders with these names: every metric that all three have, case by case."""
    return [
        Comparison(case, metric, ours, theirs)
        for case, found in results.items()
        if {new, old, again} <= found.keys()
        for metric in METRICS
        if (ours := ratios(found[new], found[old], metric.key))
        and (theirs := ratios(found[again], found[old], metric.key))
    ]


def report(comparisons: list[Comparison], results: Results, commit: str) -> str:
    """The table of verdicts; cases without a single round that all three measured are named below it."""
    rows = [["", "", "new/old", "min-max", "old again/old", "min-max", "verdict"]]
    for found in comparisons:
        first = not any(row[0] == found.case.key for row in rows)
        rows.append([found.case.key if first else "", found.metric.name, *_cells(found)])
    lines = [f"Against {commit}: medians of the rounds' ratios, with the least and the most"]
    lines += aligned(rows, left=2) if comparisons else []
    missing = [case.key for case in results if all(found.case != case for found in comparisons)]
    if missing:
        lines.append(f"  Not compared, because no round measured new and old: {', '.join(missing)}.")
    lines.append("  Within the spread: new/old differs from 1 no more than old again/old did, either way round.")
    return "\n".join(lines + [f"  {remark}" for remark in _remarks(results)])


def _remarks(results: Results) -> list[str]:
    """What a reader must know before trusting a verdict."""
    every = [result for found in results.values() for result in found.values()]
    fewest = min((len(result.by_round) for result in every), default=0)
    few = [f"With less than {ROUNDS} rounds (here {fewest}), a verdict is no more than a hint."] * (fewest < ROUNDS)
    samples = [sample for result in every for sample in result.samples]
    return few + busy_others([sample["others_cores"] for sample in samples if "others_cores" in sample])


def _cells(found: Comparison) -> list[str]:
    return [
        f"{found.new.median:.3f}", _range(found.new), f"{found.again.median:.3f}", _range(found.again),
        found.verdict.value,
    ]  # fmt: skip


def _range(values: Spread) -> str:
    return f"{values.low:.3f}-{values.high:.3f}"
