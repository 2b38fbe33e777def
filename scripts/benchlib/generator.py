"""The load generator as the parent sees it: source and sink processes, their jobs and their boards."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .board import Board
from .case import Case
from .child import Child, ChildError

ANSWER_S = 10.0
WHOLE_LIMIT_S = 4 * 3600
Ends = list[tuple[str, str]]
"""Socket types with what they connect to; "" binds instead."""


@dataclass(slots=True)
class Role:
    """What one side of a case does: ``name`` is a function of the load, ``ends`` its sockets."""

    name: str
    ends: Ends


class Worker:
    """One load process."""

    def __init__(self, name: str, folder: Path, library: Path | None) -> None:
        self.board = Board(folder / f"board-{name}")
        self.slots = 0
        self._busy = self._lost = False
        program = [sys.executable, "-m", "benchlib.load", str(self.board.path)]
        if library:
            program.append(str(library))
        self._spawn = lambda: Child(program, WHOLE_LIMIT_S, "all", folder / f"{name}.log", talk=True)
        self.child = self._spawn()

    def start(self, role: Role, case: Case, limit_s: int) -> list[str]:
        """Begin a run; returns the endpoints of its sockets."""
        if self._lost:
            self.child.end()
            self.child, self._busy, self._lost = self._spawn(), False, False
        self.board.clear()
        self.slots = len(role.ends)
        # A stalled worker's own queue is not what is measured: keep it short.
        hwm = 1 if role.name == "stall" else case.hwm
        job = {
            "role": role.name,
            "sockets": role.ends,
            "hwm": hwm,
            "size": case.size,
            "in_flight": case.in_flight,
            "limit_s": limit_s,
        }
        self.child.pipes[0].write(json.dumps(job).encode() + b"\n")
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

    def _answer(self) -> dict[str, list[str]]:
        output = self.child.pipes[1]
        self._lost = True  # until it has answered: a late answer would be taken for the next one's
        if not select.select([output], [], [], ANSWER_S)[0]:
            raise ChildError(f"a load process did not answer within {ANSWER_S:g} s")
        line = output.readline()
        if not line:
            raise ChildError(f"a load process ended: {self.child.last_words()}")
        answer: dict[str, list[str]] = json.loads(line)
        self._lost = False
        return answer


def roles(case: Case, endpoints: dict[str, list[str]] | None) -> tuple[Role, Role]:
    """Source and sink of a case; without endpoints the source binds, and the sink is told where later."""
    devices = case.peers if case.pattern == "many" else 1
    subscribers = case.peers if case.pattern == "forwarder" else 1
    unbound = {name: [""] * devices for name in ("frontend", "backend", "sub", "pub")}
    at = endpoints or unbound
    if case.device == "queue":
        return _role("request", "DEALER", at["frontend"]), _role("reply", "REP", at["backend"])
    if case.device == "streamer":
        taking = "stall" if case.pattern == "memory" else "sink"
        return _role("source", "PUSH", at["frontend"]), _role(taking, "PULL", at["backend"])
    if case.device == "forwarder":
        taking = "subscribers" if subscribers > 1 else "sink"
        return _role("source", "PUB", at["frontend"]), _role(taking, "SUB", at["backend"] * subscribers)
    sink = _role("sink", "SUB", at["pub"])
    # Without a relay there is nobody to turn a publication into a task.
    sink.ends += [("PULL", endpoint) for endpoint in at.get("push", [])]
    return _role("source", "PUB", at["sub"]), sink


def _role(name: str, kind: str, endpoints: list[str]) -> Role:
    return Role(name, [(kind, endpoint) for endpoint in endpoints])


class Generator:
    """Source and sink workers: one of each when compiled; two in Python, where one is slower than a relay.

    ``cores_for`` tells where they run in a case; ``width``: how many cores that was in the last one.
    """

    def __init__(self, folder: Path, library: Path | None, cores_for: Callable[[Case], set[int]]) -> None:
        self.width = 0
        self._cores_for = cores_for
        number = 1 if library else 2
        self._sources = [Worker(f"source{i}", folder, library) for i in range(number)]
        self._sinks = [Worker(f"sink{i}", folder, library) for i in range(number)]
        self._used: tuple[list[Worker], list[Worker]] = ([], [])

    def start(self, case: Case, endpoints: dict[str, list[str]] | None, limit_s: int) -> None:
        """Connect both sides and let the messages run."""
        self._place(self._cores_for(case))
        source, sink = roles(case, endpoints)
        alone = endpoints is None or case.device in ("queue", "relay") or case.pattern in ("many", "memory")
        sources, sinks = (self._sources[:1], self._sinks[:1]) if alone else (self._sources, self._sinks)
        share = -(-len(sink.ends) // len(sinks)) if case.device == "forwarder" else len(sink.ends)
        self._used = ([], [])
        if endpoints is None:
            bound = self._begin(0, sources[0], source, case, limit_s)
            sink.ends = [(kind, bound[i % len(bound)]) for i, (kind, _) in enumerate(sink.ends)]
        for i, worker in enumerate(sinks):
            first = i * share if case.device == "forwarder" else 0
            if mine := sink.ends[first : first + share]:
                self._begin(1, worker, Role(sink.name, mine), case, limit_s)
        if endpoints is not None:
            for worker in sources:
                self._begin(0, worker, source, case, limit_s)

    def _place(self, cores: set[int]) -> None:
        """Threads that a worker starts from now on (it does for each run) stay on these cores, too."""
        self.width = len(cores)
        for worker in (*self._sources, *self._sinks):
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(worker.child.pid, cores)

    def _begin(self, side: int, worker: Worker, role: Role, case: Case, limit_s: int) -> list[str]:
        self._used[side].append(worker)
        return worker.start(role, case, limit_s)

    def stop(self) -> None:
        """End the run on both sides; the first failure is raised once all were told."""
        failures = []
        # Sinks first, and both before waiting for either: a source that has gone looks like a failure to its sink.
        for worker in (*self._used[1], *self._used[0]):
            worker.board.stop()
        for worker in (*self._used[0], *self._used[1]):
            try:
                worker.stop()
            except ChildError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def sent(self) -> list[int]:
        return [n for worker in self._used[0] for n in worker.counts()]

    def received(self) -> list[int]:
        return [n for worker in self._used[1] for n in worker.counts()]

    @property
    def requester(self) -> Board:
        return self._used[0][0].board

    def cpu_s(self) -> float:
        return sum(worker.child.cpu_s() for worker in (*self._sources, *self._sinks))
