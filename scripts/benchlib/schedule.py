"""The order of measurements: A B C, B C A, C A B; each contender once in a round, so that a slow minute hits all."""

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
    """One contender in one case: a sample for each round that worked, a sentence for each that did not.

    ``by_round``: the samples by the number of their round, from 0 on.
    """

    label: str
    is_relay: bool = True
    by_round: dict[int, Sample] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def samples(self) -> list[Sample]:
        return list(self.by_round.values())


Results = dict[Case, dict[str, Result]]
AfterEach = Callable[[str], None]
"""Gets what was measured."""
CoresFor = Callable[[Case], str]
"""Where a case's relays run."""


def find_missing(contenders: list[Contender], case: Case, folder: Path) -> dict[str, str]:
    """The contenders that cannot be started here, each with the reason that it gave."""
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
        found = self.results.setdefault(case, {c.name: Result(c.label, c.command is not None) for c in able})
        for number in range(rounds):
            # All of a round start together, before any is measured: starting takes longer than measuring,
            # and a relay that waits for its first peer uses no CPU.
            relays = _start(able, case, self._folder, self._cores(case))
            try:
                # Another one is first in each round, in case it matters which one a relay comes after.
                for contender in rotated(able, number):
                    self._one(case, relays[contender.name], found[contender.name], number)
                    after_each(f"{case.name}, round {number + 1}: {contender.label}")
            finally:
                for relay in filter(None, relays.values()):
                    relay.end()

    def _one(self, case: Case, relay: Relay | None, result: Result, number: int) -> None:
        try:
            result.by_round[number] = measure(case, relay, self._generator, self._timing)
        except ChildError as error:
            result.failures.append(str(error))
        finally:
            if relay:
                relay.end()


def rotated(contenders: list[Contender], number: int) -> list[Contender]:
    first = number % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]


def _start(contenders: list[Contender], case: Case, folder: Path, cores: str) -> dict[str, Relay | None]:
    relays = {c.name: Relay(c, case, folder, cores) if c.command else None for c in contenders}
    for relay in filter(None, relays.values()):
        _settle(relay)
    return relays


def _settle(relay: Relay) -> None:
    """Wait until it is up; one that failed says so when its turn comes."""
    try:
        relay.endpoints()
    except ChildError:
        return
