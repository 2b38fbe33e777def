"""The order of measurements: A B C A B C, each contender once in a round, so that a slow minute hits all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .case import Case
from .child import ChildError
from .contender import Contender, Relay, wrong_burst
from .generator import Generator
from .measure import Sample, Timing, measure


@dataclass(slots=True)
class Result:
    """One contender in one case: a sample for each round that worked, a sentence for each that did not."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


Results = dict[Case, dict[str, Result]]
AfterEach = Callable[[str], None]
"""Is told what was measured."""
CoresFor = Callable[[Case], str]
"""Where a case's relays run."""


def find_missing(contenders: list[Contender], case: Case, folder: Path) -> dict[str, str]:
    """The contenders that cannot be started here, each with its own words why."""
    able = [contender for contender in contenders if case.pattern in contender.patterns]
    missing = {c.name: reason for c in able if (reason := wrong_burst(c, folder))}
    started = _start([c for c in able if c.name not in missing], case, folder, "all")
    for name, relay in started.items():
        if relay is None:
            continue
        try:
            relay.endpoints()
        except ChildError as error:
            missing[name] = str(error)
        finally:
            relay.child.end()
    return missing


class Schedule:
    """Runs cases round by round; the relays of a round are fresh processes."""

    def __init__(self, generator: Generator, timing: Timing, folder: Path, cores: CoresFor) -> None:
        self._generator = generator
        self._timing = timing
        self._folder = folder
        self._cores = cores
        self.results: Results = {}

    def run(self, case: Case, contenders: list[Contender], rounds: int, after_each: AfterEach) -> None:
        able = [contender for contender in contenders if case.pattern in contender.patterns]
        found = self.results.setdefault(case, {contender.name: Result() for contender in able})
        for number in range(rounds):
            # All of a round start together, before any is measured: starting takes longer than measuring,
            # and a relay that waits for its first peer uses no CPU.
            relays = _start(able, case, self._folder, self._cores(case))
            try:
                for contender in able:
                    self._one(case, relays[contender.name], found[contender.name])
                    after_each(f"{case.name}, round {number + 1}: {contender.label}")
            finally:
                for relay in filter(None, relays.values()):
                    relay.end()

    def _one(self, case: Case, relay: Relay | None, result: Result) -> None:
        try:
            result.samples.append(measure(case, relay, self._generator, self._timing))
        except ChildError as error:
            result.failures.append(str(error))
        finally:
            if relay:
                relay.end()


def _start(contenders: list[Contender], case: Case, folder: Path, cores: str) -> dict[str, Relay | None]:
    relays = {c.name: Relay(c, case, folder, cores) if c.command else None for c in contenders}
    for relay in filter(None, relays.values()):
        _settle(relay)
    return relays


def _settle(relay: Relay) -> None:
    """Wait until it is up; whoever failed says so when its turn comes."""
    try:
        relay.endpoints()
    except ChildError:
        return
