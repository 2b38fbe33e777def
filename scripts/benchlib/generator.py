"""The load generator as the parent sees it: a source and a sink process, their jobs and their boards."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .board import Board
from .case import CURVE, Case
from .child import Child, ChildError

ANSWER_S = 10.0
WHOLE_LIMIT_S = 4 * 3600
Ends = list[tuple[str, str]]
"""Socket types with what they connect to; "" binds instead."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one side of a case does: ``name`` is a function of the load, ``ends`` its sockets."""

    name: str
    ends: Ends


class Worker:
    """One load process."""

    def __init__(self, name: str, folder: Path, library: Path) -> None:
        self.board = Board(folder / f"board-{name}")
        self.slots = 0
        self._busy = self._lost = False
        self._program = [sys.executable, "-m", "benchlib.load", str(self.board.path), str(library)]
        self._log = folder / f"{name}.log"
        self.child = self._spawn()

    def _spawn(self) -> Child:
        return Child(self._program, WHOLE_LIMIT_S, "all", self._log, talk=True)

    def start(self, role: Role, case: Case, limit_s: int) -> list[str]:
        """Begin a run; returns the endpoints of its sockets."""
        if self._lost:
            self.child.end()
            self.child, self._busy, self._lost = self._spawn(), False, False
        self.board.clear()
        self.slots = len(role.ends)
        self.child.pipes[0].write(json.dumps(_job(role, case, limit_s)).encode() + b"\n")
        self._busy = True
        endpoints: list[str] = self._answer()["endpoints"]
        return endpoints

    def stop(self) -> None:
        """End the run; raises :class:`ChildError` if it had failed."""
        if self._busy:
            self.board.stop()
            self._busy = False
            error = self._answer()["error"]
            if error:
                raise ChildError(f"load: {error}")

    def counts(self) -> list[int]:
        return self.board.counts(self.slots)

    def _answer(self) -> dict[str, Any]:
        output = self.child.pipes[1]
        self._lost = True  # until it has answered: a late answer would be taken for the next one's
        if not select.select([output], [], [], ANSWER_S)[0]:
            raise ChildError(f"a load process did not answer within {ANSWER_S:g} s")
        line = output.readline()
        if not line:
            raise ChildError(f"a load process ended: {self.child.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        self._lost = False
        return answer


def _job(role: Role, case: Case, limit_s: int) -> dict[str, Any]:
    return {
        "role": role.name,
        "sockets": role.ends,
        # A stalled worker's own queue is not what is measured: keep it short.
        "hwm": 1 if role.name == "stall" else case.hwm,
        "size": case.size,
        "in_flight": case.in_flight,
        "by_topic": case.pattern == "topics",
        "curve": case.pattern in CURVE,
        "limit_s": limit_s,
    }


def roles(case: Case, endpoints: dict[str, list[str]] | None) -> tuple[Role, Role]:
    """Source and sink of a case; without endpoints the source binds, and the sink gets its endpoints later."""
    devices = case.peers if case.pattern == "many" else 1
    subscribers = case.peers if case.device == "forwarder" else 1
    unbound = {name: [""] * devices for name in ("frontend", "backend", "sub", "pub")}
    at = endpoints or unbound
    if case.device == "queue":
        return _role("request", "DEALER", at["frontend"]), _role("reply", "REP", at["backend"])
    if case.device == "streamer":
        taking = "stall" if case.pattern == "memory" else "sink"
        return _role("source", "PUSH", at["frontend"]), _role(taking, "PULL", at["backend"])
    if case.pattern == "broker":
        return _role("raw_source", "PUB", at["frontend"]), _role("raw_sink", "SUB", at["backend"] * subscribers)
    if case.pattern == "topics":
        return _role("topics", "PUB", at["frontend"]), _role("subscribers", "SUB", at["backend"] * subscribers)
    if case.device == "forwarder":
        sending = "values" if case.pattern in ("values", "counted") else "source"
        taking = "subscribers" if subscribers > 1 and case.pattern not in CURVE else "sink"
        return _role(sending, "PUB", at["frontend"]), _role(taking, "SUB", at["backend"] * subscribers)
    sink = _role("sink", "SUB", at["pub"])
    # Without a relay, nothing turns a publication into a task.
    sink.ends.extend(("PULL", endpoint) for endpoint in at.get("push", []))
    return _role("source", "PUB", at["sub"]), sink


def _role(name: str, kind: str, endpoints: list[str]) -> Role:
    return Role(name, [(kind, endpoint) for endpoint in endpoints])


class Generator:
    """A source and a sink process.

    ``cores_for`` returns where they run in a case; ``width``: how many cores that was in the last one.
    """

    def __init__(self, folder: Path, library: Path, cores_for: Callable[[Case], set[int]]) -> None:
        self.width = 0
        self._cores_for = cores_for
        self._source = Worker("source", folder, library)
        self._sink = Worker("sink", folder, library)

    def start(self, case: Case, endpoints: dict[str, list[str]] | None, limit_s: int) -> None:
        """Connect both sides and let the messages run."""
        self._place(self._cores_for(case))
        source, sink = roles(case, endpoints)
        if endpoints is None:
            bound = self._source.start(source, case, limit_s)
            ends = [(kind, bound[i % len(bound)]) for i, (kind, _) in enumerate(sink.ends)]
            self._sink.start(Role(sink.name, ends), case, limit_s)
        else:
            self._sink.start(sink, case, limit_s)
            self._source.start(source, case, limit_s)

    def _place(self, cores: set[int]) -> None:
        """Threads that a worker starts from now on (it does for each run) stay on these cores, too."""
        self.width = len(cores)
        if hasattr(os, "sched_setaffinity"):
            for worker in (self._source, self._sink):
                os.sched_setaffinity(worker.child.pid, cores)

    def stop(self) -> None:
        """End the run on both sides; the first failure is raised once both have stopped."""
        failures = []
        # The sink first, and both before waiting for either: a source that has gone looks like a failure to its sink.
        for worker in (self._sink, self._source):
            worker.board.stop()
        for worker in (self._source, self._sink):
            try:
                worker.stop()
            except ChildError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def sent(self) -> list[int]:
        return self._source.counts()

    def received(self) -> list[int]:
        return self._sink.counts()

    @property
    def requester(self) -> Board:
        return self._source.board

    def cpu_s(self) -> float:
        return self._source.child.cpu_s() + self._sink.child.cpu_s()
