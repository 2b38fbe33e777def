"""One measurement: one case through one relay, for one window of time.

A window between two readings of counters, not a number of messages: start and end of a run (connecting,
filling and emptying the queues) stay out of it, and a slow contender takes no longer than a fast one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .board import Board
from .case import BESIDE, LEAVING_TOPICS, PREFIXES, TOPICS, UNDER_ATTACK, Case
from .child import ChildError
from .contender import Relay
from .generator import Generator
from .limited import allow_most_files
from .wire import connect, skip, subscribe, subscriptions

FIRST_S = 8.0
STALLED_S = 0.5
STALL_LIMIT_S = 20.0
Sample = dict[str, float]
"""Values by metric: ``rate`` in messages/s, ``cpu_us`` for each of them, and so on."""
Endpoints = dict[str, list[str]] | None
"""The relay's, by socket; None without a relay."""


@dataclass(frozen=True, slots=True)
class Timing:
    """``warm_up_s`` runs from the first message at every sink, ``window_s`` is measured."""

    warm_up_s: float
    window_s: float

    @property
    def limit_s(self) -> int:
        return int(FIRST_S + STALL_LIMIT_S + self.warm_up_s + self.window_s) + 5


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    relay_cpu_s: float
    load_cpu_s: float
    machine_cpu_s: float
    sent: list[int]
    received: list[int]


def measure(case: Case, relay: Relay | None, generator: Generator, timing: Timing) -> Sample:
    """Raises :class:`ChildError` when no message came through or a process failed; every wait has a limit."""
    endpoints = relay.endpoints() if relay else None
    if endpoints is not None and not any(endpoints.values()):
        endpoints = None
    try:
        return WAYS.get(case.pattern, _window)(case, relay, endpoints, generator, timing)
    finally:
        generator.stop()


def _window(case: Case, relay: Relay | None, endpoints: Endpoints, generator: Generator, timing: Timing) -> Sample:
    """Let messages run, and compare the counters at both ends of the window."""
    generator.start(case, endpoints, timing.limit_s)
    if relay:
        relay.watch()
    _await_first(generator)
    time.sleep(timing.warm_up_s)
    times = _times_of(case, relay, generator)
    mark = int(times.layout.times) if times else 0
    before = _read(relay, generator)
    time.sleep(timing.window_s)
    after = _read(relay, generator)
    noted = times.times_since(mark) if times else []
    if times and not noted:
        # The greenlet slept through the whole window: the delay is at least that.
        noted = [int(timing.window_s * 1e9)]
    return _rates(case, before, after, generator.width) | percentiles(noted)


def _await_first(generator: Generator) -> None:
    end = time.monotonic() + FIRST_S
    while not all(generator.received()):
        if time.monotonic() > end:
            raise ChildError(f"no message came through within {FIRST_S:g} s")
        time.sleep(0.01)


def _times_of(case: Case, relay: Relay | None, generator: Generator) -> Board | None:
    """Where this case's times are noted: round trips by the client, wake-up delays by the relay process."""
    if case.pattern in BESIDE:
        assert relay
        return Board(relay.board)
    # With several in flight a round trip shows the length of the queue, not the cost of the relay.
    return generator.requester if case.in_flight == 1 else None


def _read(relay: Relay | None, generator: Generator) -> _Reading:
    return _Reading(
        time.monotonic(),
        relay.child.cpu_s() if relay else 0.0,
        generator.cpu_s(),
        machine_cpu_s(),
        generator.sent(),
        generator.received(),
    )


def machine_cpu_s() -> float:
    """What all programs of this machine together used so far; 0 where the kernel does not say."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _rates(case: Case, before: _Reading, after: _Reading, width: int) -> Sample:
    """Messages a second at each sink (summed over devices for ``many``), as the sinks counted them.

    ``width``: how many cores the clients have.
    """
    took_s = after.at_s - before.at_s
    got = [b - a for a, b in zip(before.received, after.received, strict=True)]
    sent = sum(after.sent) - sum(before.sent)
    through = _through(case, sent, got)
    if not through:
        raise ChildError("no message came through in the window")
    relay_cpu_s = after.relay_cpu_s - before.relay_cpu_s
    load_cpu_s = after.load_cpu_s - before.load_cpu_s
    ours = relay_cpu_s + load_cpu_s
    others = after.machine_cpu_s - before.machine_cpu_s - ours
    sample = {
        "rate": through / took_s,
        "source_rate": sent / took_s,
        "windows_to_fill": case.hwm / through,
        "delivered": min(1.0, through / sent) if sent else 1.0,
        "cpu_us": relay_cpu_s / through * 1e6,
        "relay_cores": relay_cpu_s / took_s,
        "load_cores": load_cpu_s / took_s,
        "load_share": load_cpu_s / took_s / width,
        "others_cores": max(0.0, others / took_s),
    }
    if case.pattern == "many":
        sample["fairness"] = min(got) / max(got)
    return sample


def _through(case: Case, sent: int, got: list[int]) -> float:
    if case.device == "queue":
        return sent  # counted at the client: a round trip is one
    if case.pattern == "topics":
        return sum(got) / (case.peers * PREFIXES / TOPICS)
    return sum(got) / len(got) if case.device in ("forwarder", "relay") else sum(got)


def percentiles(times_ns: list[int]) -> Sample:
    if not times_ns:
        return {}
    ordered = sorted(times_ns)
    last = len(ordered) - 1
    return {"p50_us": ordered[round(0.5 * last)] / 1e3, "p99_us": ordered[round(0.99 * last)] / 1e3}


def _memory(case: Case, relay: Relay | None, endpoints: Endpoints, generator: Generator, timing: Timing) -> Sample:
    """Flood a relay whose worker takes nothing until the source is held up; how much did the relay grow?"""
    assert relay
    empty = relay.child.rss()
    generator.start(case, endpoints, timing.limit_s)
    end, still_since, last = time.monotonic() + STALL_LIMIT_S, time.monotonic(), [-1]
    while time.monotonic() - still_since < STALLED_S:
        if time.monotonic() > end:
            raise ChildError(f"the source was not held up within {STALL_LIMIT_S:g} s: memory is not bounded")
        now = generator.sent()
        if now != last:
            last, still_since = now, time.monotonic()
        time.sleep(0.02)
    grown = relay.child.rss() - empty
    both_hwms = 2 * case.hwm * case.size
    return {"grown_mb": grown / 2**20, "allowed_mb": both_hwms / 2**20, "of_allowed": grown / both_hwms}


def _attacked(case: Case, relay: Relay | None, endpoints: Endpoints, generator: Generator, timing: Timing) -> Sample:
    """How long requests wait while strangers attack the other devices of the process."""
    assert relay and case.attack
    generator.start(case, endpoints, timing.limit_s)
    _await_first(generator)
    strangers = relay.attack(case.attack, timing.warm_up_s + timing.window_s)
    time.sleep(timing.warm_up_s)
    mark = int(generator.requester.layout.times)
    before = _read(relay, generator)
    time.sleep(timing.window_s)
    after = _read(relay, generator)
    noted = generator.requester.times_since(mark) or [int(timing.window_s * 1e9)]
    told = strangers.pipes[1].readline()
    if not told or not all(json.loads(told).values()):
        raise ChildError(f"the attack did nothing: {strangers.last_words()}")
    return _rates(case, before, after, generator.width) | percentiles(noted) | {"longest_us": max(noted) / 1e3}


def _idle(case: Case, relay: Relay | None, endpoints: Endpoints, generator: Generator, timing: Timing) -> Sample:
    """What subscribers cost that get nothing."""
    assert relay and endpoints
    allow_most_files()
    empty = relay.child.rss()
    with ExitStack() as stack:
        for _ in range(case.peers):
            stack.enter_context(subscribe(endpoints["backend"][0]))
        time.sleep(timing.warm_up_s)
        grown = relay.child.rss() - empty
        cpu_s = relay.child.cpu_s()
        time.sleep(timing.window_s)
        cpu_s = relay.child.cpu_s() - cpu_s
    return {"each_kb": grown / 1e3 / case.peers, "idle_cores": cpu_s / timing.window_s}


def _leave(case: Case, relay: Relay | None, endpoints: Endpoints, generator: Generator, timing: Timing) -> Sample:
    """How long a greenlet of the relay's process waits while subscribers to many topics leave."""
    assert relay and endpoints
    board, told = Board(relay.board), 0
    with connect(endpoints["frontend"][0], b"PUB") as publisher:
        publisher.settimeout(STALL_LIMIT_S)
        with ExitStack() as stack:
            for number in range(case.peers):
                connection = stack.enter_context(connect(endpoints["backend"][0], b"SUB"))
                news = subscriptions(b"%d." % number, LEAVING_TOPICS)
                told += len(news)
                connection.sendall(news)
            # The publisher is told of each topic, and of its end in as many bytes.
            skip(publisher, told)
            mark = int(board.layout.times)
        skip(publisher, told)
        noted = board.times_since(mark) or [int(STALL_LIMIT_S * 1e9)]
    return percentiles(noted) | {"longest_us": max(noted) / 1e3}


WAYS: dict[str, Callable[[Case, Relay | None, Endpoints, Generator, Timing], Sample]] = {
    "memory": _memory,
    "idle": _idle,
    "leave": _leave,
    **dict.fromkeys(UNDER_ATTACK, _attacked),
}
"""The kinds of cases that are measured another way than by :func:`_window`."""
