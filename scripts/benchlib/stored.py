"""A run as JSON: what ``--json`` writes, and ``--from`` reads to show it again."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .against import Comparison
from .case import Case
from .contender import BY_NAME
from .schedule import Result, Results


class NotStored(Exception):
    """The text is one line that names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run that was measured before: its results, and ``about``, what it was measured on."""

    results: Results
    about: dict[str, str]

    def only(self, cases: Collection[Case] | None, contenders: Collection[str] | None) -> Stored:
        """The same with no other cases and contenders than these; None keeps all."""
        results = {
            case: {name: result for name, result in found.items() if contenders is None or name in contenders}
            for case, found in self.results.items()
            if cases is None or case in cases
        }
        return Stored({case: found for case, found in results.items() if found}, self.about)


def as_json(results: Results, about: dict[str, str], comparisons: list[Comparison]) -> str:
    found = [
        {
            "case": {"name": case.name, "key": case.key, **asdict(case)},
            "contenders": {
                name: {"label": result.label, "samples": result.samples, "failures": result.failures}
                for name, result in by_name.items()
            },
        }
        for case, by_name in results.items()
    ]
    verdicts = [
        {
            "case": each.case.key,
            "metric": each.metric.key,
            "new": asdict(each.new),
            "again": asdict(each.again),
            "verdict": each.verdict.value,
        }
        for each in comparisons
    ]
    return json.dumps({"about": about, "results": found, "against": verdicts}, indent=1) + "\n"


def read(file: Path) -> Stored:
    """What :func:`as_json` has written to ``file``; raises :class:`NotStored`.

    Which round a sample is of is not kept, so that rounds cannot be compared again.
    """
    try:
        told = json.loads(file.read_text())
        results = {_case(one["case"]): _results(one["contenders"]) for one in told["results"]}
        return Stored(results, dict(told["about"]))
    except OSError as error:
        raise NotStored(f"--from: cannot read {file} ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotStored(f"--from: expected a file that --json has written, got {file}") from None


def _case(told: dict[str, Any]) -> Case:
    return Case(**{one.name: told[one.name] for one in fields(Case)})


def _results(told: dict[str, Any]) -> dict[str, Result]:
    return {
        name: Result(one["label"], _is_relay(name), dict(enumerate(one["samples"])), one["failures"])
        for name, one in told.items()
    }


def _is_relay(name: str) -> bool:
    return name not in BY_NAME or BY_NAME[name].command is not None
