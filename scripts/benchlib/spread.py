"""Medians with their spread, and ratios of medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from .measure import Sample


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


def spreads(samples: list[Sample]) -> dict[str, Spread]:
    """One :class:`Spread` for each metric."""
    names: dict[str, None] = {name: None for sample in samples for name in sample}
    return {name: _spread(sample[name] for sample in samples if name in sample) for name in names}


def _spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


def ratio(of: Spread | None, to: Spread | None) -> float | None:
    """Ratio of medians; None where one of them is missing or nothing was measured."""
    return of.median / to.median if of and to and to.median else None
