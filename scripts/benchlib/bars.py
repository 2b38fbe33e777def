"""The bars: what this server is held to, beside what one run measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .case import HWMS, LEAVING, UNDER_ATTACK, Case, cases, fitting
from .schedule import Results
from .strangers import ATTACKS
from .table import Spread, ratio, spreads

Value = Callable[["Measured"], "float | None"]


class Measured:
    """Medians of a run by contender, metric and case."""

    def __init__(self, results: Results) -> None:
        self._found = {
            (case, name): spreads(result.samples) for case, found in results.items() for name, result in found.items()
        }

    def spread(self, name: str, metric: str, case: Case) -> Spread | None:
        return self._found.get((case, name), {}).get(metric)

    def value(self, name: str, metric: str, case: Case) -> float | None:
        found = self.spread(name, metric, case)
        return found.median if found else None

    def versus(self, other: str, metric: str, case: Case, subject: str = "native") -> float | None:
        """``subject``, which is the native burst unless given, against ``other``."""
        return ratio(self.spread(subject, metric, case), self.spread(other, metric, case))


@dataclass(frozen=True, slots=True)
class Bar:
    what: str
    at_least: bool
    limit: float
    unit: str
    cases: tuple[Case, ...]
    value: Value

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


STREAMER = Case("streamer", 100, 1000)
FORWARDER = Case("forwarder", 100, 1000)
RELAY = Case("relay", 100, 1000)
ALONE, TOGETHER = Case("many", 100, 1000, peers=1), Case("many", 100, 1000, peers=64)
BESIDE = Case("beside", 100, 1000)
MEMORY = Case("memory", 65536, 1000)
ATTACKED = [(UNDER_ATTACK[case.pattern], case) for case in cases(UNDER_ATTACK, [], [])]


def _against(what: str, other: str, metric: str, at_least: bool, limit: float, case: Case) -> Bar:
    name = f"{case.name}: {what} x {other}"
    return Bar(name, at_least, limit, "x", (case,), lambda m: m.versus(other, metric, case))


def _of(what: str, metric: str, at_least: bool, limit: float, unit: str, case: Case, subject: str = "native") -> Bar:
    name = f"{case.name}: {what}"
    return Bar(name, at_least, limit, unit, (case,), lambda m: m.value(subject, metric, case))


# Of the engine zmtp, beside zmq.proxy: the most CPU time a message, the least throughput; p50 and p99 of one request.
SWITCH = {
    **dict.fromkeys(cases(["streamer"], [100], HWMS), (0.35, 1.2)),
    Case("forwarder", 100, 1000): (0.5, 1.0),
    Case("forwarder", 100, 1000, peers=10): (0.3, 1.4),
    Case("forwarder", 100, 1000, peers=100): (0.3, 2.0),
    Case("forwarder", 10_000, 1000, peers=10): (0.35, 2.0),
    Case("forwarder", 65536, 1000, peers=10): (1.1, 0.9),
    Case("streamer", 10_000, 1000): (0.45, 1.1),
    Case("queue", 100, 1000, in_flight=64): (0.5, 1.1),
    Case("topics", 100, 1000, peers=200): (0.4, 1.2),
}
SWITCH_STEPS = Case("queue", 100, 1000, in_flight=1)
VALUES, LOG = Case("values", 100, 1000), Case("log", 100, 1000)
COUNTED = (Case("counted", 100, 1000), Case("counted-one", 100, 1000))
BROKER = Case("broker", 100, 1000, peers=10)
# Of the engine zmtp alone: the longest p99 of a greenlet's wake-up delay, in µs, by how many subscribers there are.
HUB = {Case("hub", 100, 1000, peers=10): 3000, Case("hub", 100, 1000, peers=100): 6000}
IDLE, LEAVE = Case("idle", 100, 1000, peers=2000), Case("leave", 100, 1000, peers=LEAVING)


def _of_switch(what: str, metric: str, at_least: bool, limit: float, case: Case, other: str = "proxy") -> Bar:
    name = f"{case.name}: engine zmtp, {what} x {other}"
    return Bar(name, at_least, limit, "x", (case,), lambda m: m.versus(other, metric, case, "zmtp"))


def _relay_bar(what: str, metric: str, at_least: bool, limit: float) -> Bar:
    # zmq.proxy has no relay: a forwarder of it is what people have instead.
    name, both = f"{RELAY.name}: engine zmtp, {what} x proxy's forwarder", (RELAY, FORWARDER)

    def value(m: Measured) -> float | None:
        return _share(m.value("zmtp", metric, RELAY), m.value("proxy", metric, FORWARDER))

    return Bar(name, at_least, limit, "x", both, value)


def _switch_bars() -> list[Bar]:
    bars = []
    for case, (cpu, rate) in SWITCH.items():
        bars.append(_of_switch("CPU time per message", "cpu_us", False, cpu, case))
        bars.append(_of_switch("throughput", "rate", True, rate, case))
    bars.append(_relay_bar("CPU time per message", "cpu_us", False, 0.4))
    bars.append(_relay_bar("throughput", "rate", True, 1.0))
    bars.append(_of_switch("p50", "p50_us", False, 0.8, SWITCH_STEPS))
    bars.append(_of_switch("p99", "p99_us", False, 1.0, SWITCH_STEPS))
    bars.append(_of_switch("CPU time per message", "cpu_us", False, 0.25, BROKER))
    bars.append(_of_switch("CPU time per message", "cpu_us", False, 0.15, BROKER, "nats"))
    bars.append(_of_switch("throughput", "rate", True, 3.0, BROKER))
    bars.append(_of_kept("last values", VALUES, "last-values"))
    bars.append(_of_kept("the log", LOG, "log"))
    bars.extend(_of_counted(case) for case in COUNTED)
    return bars + _hub_bars()


def _of_kept(what: str, case: Case, subject: str) -> Bar:
    name = f"{case.name}: throughput with {what} x without"
    return Bar(name, True, 0.8, "x", (case,), lambda m: m.versus("zmtp", "rate", case, subject))


def _of_counted(case: Case) -> Bar:
    name = f"{case.name}: CPU time per message with 1,000 topics counted x without"
    return Bar(name, False, 1.2, "x", (case,), lambda m: m.versus("zmtp", "cpu_us", case, "counted"))


def _hub_bars() -> list[Bar]:
    bars = [_of("p99 wake-up delay", "p99_us", False, most, "µs", case, "zmtp") for case, most in HUB.items()]
    bars.append(_of("memory for each", "each_kb", False, 15, "kB", IDLE, "zmtp"))
    bars.append(_of("CPU", "idle_cores", False, 0.005, "cores", IDLE, "zmtp"))
    bars.append(_of("longest wake-up delay", "longest_us", False, 5000, "µs", LEAVE, "zmtp"))
    return bars


def _watched(case: Case) -> Bar:
    name = f"{case.name}: throughput watched x unwatched"
    return Bar(
        name,
        True,
        0.97,
        "x",
        (case,),
        lambda m: _share(m.value("watched", "rate", case), m.value("native", "rate", case)),
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _bars() -> list[Bar]:
    bars = []
    for pattern in ("streamer", "forwarder"):
        for hwm, limit in ((1000, 1.3), (100000, 1.0)):
            case = Case(pattern, 100, hwm)
            bars.append(_against("throughput", "proxy", "rate", True, limit, case))
            bars.append(_against("CPU time per message", "proxy", "cpu_us", False, 1.0, case))
    one, many = Case("queue", 100, 1000, in_flight=1), Case("queue", 100, 1000, in_flight=64)
    bars.append(_against("p50", "proxy", "p50_us", False, 1.05, one))
    bars.append(_against("p99", "proxy", "p99_us", False, 1.05, one))
    bars.append(_against("throughput", "proxy", "rate", True, 1.0, many))
    for size in (65536, 1048576):
        case = Case("streamer", size, fitting(1000, size))
        bars.append(_against("throughput", "proxy", "rate", True, 1.0, case))
    bars.append(_against("throughput", "poll", "rate", True, 8.0, STREAMER))
    bars.append(_against("throughput", "green-device", "rate", True, 20.0, STREAMER))
    source = "source_rate"
    bars.append(
        Bar(
            f"{RELAY.name}: source rate x the forwarder's",
            True,
            0.7,
            "x",
            (RELAY, FORWARDER),
            lambda m: _share(m.value("native", source, RELAY), m.value("native", source, FORWARDER)),
        )
    )
    bars.append(_of("slowest to fastest", "fairness", True, 0.7, "", TOGETHER))
    bars.append(
        Bar(
            f"{TOGETHER.name}: their sum x one alone",
            True,
            0.85,
            "x",
            (TOGETHER, ALONE),
            lambda m: _share(m.value("native", "rate", TOGETHER), m.value("native", "rate", ALONE)),
        )
    )
    for case in (STREAMER, many):
        bars.append(_watched(case))
    bars.append(_of("p99 wake-up delay", "p99_us", False, 5000, "µs", BESIDE))
    bars.append(_of("growth to 2 x HWM x size", "of_allowed", False, 1.1, "", MEMORY))
    return bars + [_of("p99", "p99_us", False, ATTACKS[name].goal_ms * 1000, "µs", case) for name, case in ATTACKED]


BARS = [*_bars(), *_switch_bars()]


def bar_cases() -> list[Case]:
    return list(dict.fromkeys(case for bar in BARS for case in bar.cases))


def verdict(results: Results) -> str:
    """One line for each bar that this run measured."""
    measured = Measured(results)
    lines = []
    for bar in BARS:
        value = bar.value(measured)
        if value is None:
            continue
        shown = f"{value:.2f} {bar.unit}".rstrip()
        mark = "met" if bar.met(value) else "MISSED"
        sign = "≥" if bar.at_least else "≤"
        lines.append(f"  {bar.what:<74} {sign} {bar.limit:<6g} {shown:>14}  {mark}")
    return "\n".join(["The bars", *lines]) if lines else ""
