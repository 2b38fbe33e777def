"""What was asked for: the command line of ``scripts/bench`` as a plan, or one line that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from . import against
from .bars import bar_cases
from .case import EXTRAS, GROUPS, HWMS, KINDS, PATTERNS, SIZES, Case, cases, closest, every_case
from .contender import BY_NAME, CONTENDERS, Contender
from .machine import PINS
from .measure import Timing

QUICK = [
    Case("streamer", 100, 1000),
    Case("forwarder", 100, 1000),
    Case("queue", 100, 1000, in_flight=1),
    Case("queue", 100, 1000, in_flight=64),
]
QUICK_ROUNDS, QUICK_TIMING, QUICK_WITHOUT = 3, Timing(0.15, 0.3), ("green-pair",)
ROUNDS = 5
SELECTING = ("--pattern", "--size", "--hwm", "--subscribers", "--in-flight")
OLD, OLD_AGAIN = "old", "old again"
T = TypeVar("T")


class UsageError(Exception):
    """The text is one line that names the option, the value and the rule."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures."""

    cases: list[Case]
    contenders: list[Contender]
    rounds: int
    timing: Timing
    pin: str


def read_plan(args: Mapping[str, Any]) -> Plan:
    """``args`` as docopt gives them; raises :class:`UsageError`."""
    if args["--pin"] not in PINS:
        raise UsageError(f"--pin: expected {', '.join(PINS)}, got {args['--pin']!r}")
    contenders = select_contenders(args)
    if args["--against"] is not None and not any(contender.ours for contender in contenders):
        raise UsageError(
            f"--against: expected --contender with one of {', '.join(c.name for c in CONTENDERS if c.ours)}, "
            f"got {args['--contender']!r}"
        )
    timing = QUICK_TIMING if args["--quick"] else Timing(_seconds(args, "--warm-up"), _seconds(args, "--seconds"))
    return Plan(select_cases(args), contenders, _rounds(args), timing, args["--pin"])


def select_cases(args: Mapping[str, Any]) -> list[Case]:
    """The default is a middle way: the sizes and peers that show most, in about ten minutes."""
    picked = [option for option in SELECTING if args[option] is not None]
    if args["--case"] is not None:
        if picked or args["--bars"] or args["--full"]:
            other = next(iter(picked), "--bars" if args["--bars"] else "--full")
            raise UsageError(f"--case: expected no {other} beside it, for it names whole cases")
        return named_cases(args["--case"])
    patterns = _chosen(args, "--pattern", {name: name for name in KINDS})
    sizes, hwms = _chosen(args, "--size", SIZES), _integers(args, "--hwm")
    peers = _integers(args, "--subscribers", most=200)
    in_flight = _integers(args, "--in-flight", most=4000)
    if args["--bars"]:
        return [case for case in bar_cases() if not patterns or case.pattern in patterns]
    if (args["--quick"] or args["--against"] is not None) and not picked and not args["--full"]:
        return QUICK
    full = args["--full"]
    numbers = {"forwarder": peers or (None if full else [1, 10]), "queue": in_flight}
    return cases(
        patterns or ((*PATTERNS, *EXTRAS) if full else PATTERNS),
        sizes or (list(SIZES.values()) if full else [100, 65536]),
        hwms or HWMS,
        {kind: found for kind, found in numbers.items() if found},
    )


def read_selection(args: Mapping[str, Any]) -> tuple[list[Case] | None, list[str] | None]:
    """The cases and contenders to show of a run that was measured before, None for all; raises :class:`UsageError`."""
    measuring = (*SELECTING, "--quick", "--full", "--bars", "--against", "--rounds", "--json")
    if wrong := next((option for option in measuring if args[option]), None):
        raise UsageError(f"--from: expected no {wrong} beside it, for it measures nothing")
    picked = _chosen(args, "--contender", BY_NAME)
    names = None if picked is None else [contender.name for contender in picked]
    return None if args["--case"] is None else named_cases(args["--case"]), names


def named_cases(text: str) -> list[Case]:
    """Those with these keys, each once, in the order given."""
    known = every_case()
    found: dict[Case, None] = {}
    for key in (part.strip() for part in text.split(",")):
        if key in GROUPS:
            found.update(dict.fromkeys(GROUPS[key]))
            continue
        if key not in known:
            meant = closest(key)
            hint = f" (did you mean {meant}?)" if meant else ""
            raise UsageError(f"--case: expected names that --list shows, got {key!r}{hint}")
        found.setdefault(known[key])
    return list(found)


def select_contenders(args: Mapping[str, Any]) -> list[Contender]:
    """With ``--against`` the native one, unless others are asked for; what is older than it comes later."""
    picked = _chosen(args, "--contender", BY_NAME)
    if picked:
        return [contender for contender in CONTENDERS if contender in picked]
    if args["--against"] is not None:
        return [BY_NAME["native"]]
    return [contender for contender in CONTENDERS if not args["--quick"] or contender.name not in QUICK_WITHOUT]


def with_old(contenders: list[Contender], new: Any, old: Any, commit: str) -> list[Contender]:
    """Each geventrelay among them on the interpreter ``new``; and the first of them twice more, on ``old``.

    Twice, because only old against old shows what a difference between two runs of the same means.
    """
    renewed = [replace(contender, python=new) if contender.ours else contender for contender in contenders]
    subject = next(contender for contender in renewed if contender.ours)
    olds = [
        replace(subject, name=OLD, label=f"old, {commit}", python=old),
        replace(subject, name=OLD_AGAIN, label="old again", python=old),
    ]
    return [subject, *olds, *(contender for contender in renewed if contender is not subject)]


def _rounds(args: Mapping[str, Any]) -> int:
    found = _integers(args, "--rounds", most=1000)
    if found and len(found) > 1:
        raise UsageError(f"--rounds: expected one integer, got {args['--rounds']!r}")
    if found:
        return found[0]
    if args["--against"] is not None:
        return against.ROUNDS
    return QUICK_ROUNDS if args["--quick"] else ROUNDS


def _chosen(args: Mapping[str, Any], option: str, known: Mapping[str, T]) -> list[T] | None:
    text = args[option]
    if text is None:
        return None
    for name in (names := [name.strip() for name in text.split(",")]):
        if name not in known:
            raise UsageError(f"{option}: expected {', '.join(known)}, got {name!r}")
    return [known[name] for name in names]


def _integers(args: Mapping[str, Any], option: str, least: int = 1, most: int = 10**6) -> list[int] | None:
    text = args[option]
    if text is None:
        return None
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(least <= number <= most for number in found):
        raise UsageError(f"{option}: expected integers from {least} to {most}, got {text!r}")
    return found


def _seconds(args: Mapping[str, Any], option: str) -> float:
    text = args[option]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 60:
        raise UsageError(f"{option}: expected seconds from 0.05 to 60, got {text!r}")
    return value
