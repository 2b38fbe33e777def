"""The contenders: how each one's relay process is started for a case."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import hosted
from .case import BESIDE, CURVE, EXTRAS, PATTERNS, Case
from .child import HERE, Child
from .keys import CURVE_SUFFIX

READY_S = 10.0
VERSION_S = 10
RELAY_LIMIT_S = 240
"""A relay is started with the others of its round and waits for its turn: this covers the whole round."""
Command = Callable[[Case, Path, Path], list[str]]
ANY_PORT = "tcp://127.0.0.1:0"
STRANGERS = HERE / "strangers.toml"
RIGHTS = HERE / "rights.toml"


@dataclass(frozen=True, slots=True)
class Contender:
    """``label`` names it in tables; ``patterns`` are what it can do; no ``command`` means no relay.

    ``watched``: whether it is scraped, with its page open, while it is measured.
    ``ours``: whether it is a geventrelay, of which there can be an older one.
    ``python``: the interpreter that runs it; None is the one that runs the bench.
    """

    name: str
    label: str
    patterns: frozenset[str]
    command: Command | None
    watched: bool = False
    ours: bool = False
    python: Path | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> str:
        """The path of what runs it."""
        return str(self.python or sys.executable)

    @property
    def environment(self) -> dict[str, str]:
        """An interpreter of its own finds its own geventrelay, and ours must not stand before that."""
        return self.env | ({"PYTHONPATH": str(HERE.parent)} if self.python else {})


def wrong_burst(contender: Contender, folder: Path) -> str:
    """Why this server would not run the burst that the contender is named for; "" if it would.

    Asked of the server itself: figures of one burst under the name of the other would be worse than none.
    """
    forced = contender.env.get("GEVENTRELAY_BURST")
    if forced is None:
        return ""
    log = folder / f"{contender.name}.log"
    command = [contender.interpreter, "-m", "geventrelay", "--version"]
    asked = Child(command, VERSION_S, "all", log, contender.environment, talk=True)
    try:
        # Its end closes the pipe; an alarm ends it after VERSION_S.
        answer = asked.pipes[1].read().decode(errors="replace").strip()
        asked.process.wait(VERSION_S)
        if asked.process.returncode:
            return asked.last_words()
    finally:
        asked.end()
    if ("native" in answer.lower()) != (forced == "native"):
        return f"--version says {answer!r} with GEVENTRELAY_BURST={forced}"
    return ""


class Relay:
    """One running relay process."""

    def __init__(self, contender: Contender, case: Case, folder: Path, cores: str) -> None:
        assert contender.command
        self._ready = folder / f"ready-{contender.name}.json"
        self._ready.unlink(missing_ok=True)
        self.board = folder / f"beside-{contender.name}"
        self.board.unlink(missing_ok=True)
        self._watcher: Child | None = None
        self._watch = [sys.executable, "-m", "benchlib.watcher", str(self._ready)] if contender.watched else None
        self._watch_log = folder / f"{contender.name}-watcher.log"
        command = [contender.interpreter, "-m", *contender.command(case, self._ready, self.board)]
        self.child = Child(command, RELAY_LIMIT_S, cores, folder / f"{contender.name}.log", contender.environment)

    def endpoints(self) -> dict[str, list[str]]:
        """Wait for its ready-file; raises :class:`ChildError` with its last words when there is none."""
        self.child.wait_for(self._ready.exists, READY_S, "ready-file")
        said = json.loads(self._ready.read_text())
        found: dict[str, list[str]] = said["endpoints"] if "endpoints" in said else said["devices"]["good"]
        return found

    def attack(self, name: str, seconds: float) -> Child:
        """Let strangers loose on it, for so long."""
        command = [sys.executable, "-m", "benchlib.strangers", name, str(self._ready), str(seconds)]
        log = self._watch_log.with_name("strangers.log")
        self._watcher = Child(command, RELAY_LIMIT_S, "all", log, talk=True)
        return self._watcher

    def watch(self) -> None:
        """Have it watched from now on, if it is to be."""
        if self._watch is not None:
            self._watcher = Child(self._watch, RELAY_LIMIT_S, "all", self._watch_log)

    def end(self) -> None:
        """End it, and what watches it."""
        self.child.end()
        if self._watcher is not None:
            self._watcher.end()


def _server(case: Case, ready: Path, board: Path) -> list[str]:
    if case.attack:
        return ["geventrelay", "run", str(STRANGERS), "--http", "127.0.0.1:0", "--ready-file", str(ready)]
    if case.pattern in (*BESIDE, *CURVE, "many"):
        return _hosted(case, ready, board)
    if case.device == "relay":
        ends = ["--sub-port", "0", "--pub-port", "0", "--push-port", "0", "--interface", "127.0.0.1"]
    else:
        ends = ["--frontend", ANY_PORT, "--backend", ANY_PORT]
    hwm = str(case.hwm)
    return ["geventrelay", case.device, *ends, "--sndhwm", hwm, "--rcvhwm", hwm, "--ready-file", str(ready)]


def _hosted(case: Case, ready: Path, board: Path, engine: str = "") -> list[str]:
    devices = case.peers if case.pattern == "many" else 1
    curve = case.pattern in CURVE
    job = hosted.Job(case.device, case.hwm, devices, engine, busy=case.pattern == "busy", curve=curve)
    return ["benchlib.hosted", job.as_json(), str(ready), *([str(board)] if case.pattern in BESIDE else [])]


def _zmtp(case: Case, ready: Path, board: Path) -> list[str]:
    if case.pattern in (*BESIDE, *CURVE):
        return _hosted(case, ready, board, "zmtp")
    return [*_server(case, ready, board), "--engine", "zmtp"]


def _with_last_values(case: Case, ready: Path, board: Path) -> list[str]:
    return [*_zmtp(case, ready, board), "--last-value"]


def _with_log(*more: str) -> Command:
    # At a million messages a second, old ones are forgotten all the time.
    kept = ["--replay", "100000", "--replay-port", ANY_PORT, *more]
    return lambda case, ready, board: [*_zmtp(case, ready, board), *kept]


def _counted(case: Case, ready: Path, board: Path) -> list[str]:
    return [*_zmtp(case, ready, board), "--topics", "1000"]


def _everything_on(case: Case, ready: Path, board: Path) -> list[str]:
    return [*_server(case, ready, board), "--http", "127.0.0.1:0", "--control", ANY_PORT, "--tap", ANY_PORT]


def _with_rights(case: Case, ready: Path, board: Path) -> list[str]:
    return [*_server(case, ready, board), "--engine", "libzmq", "--rights", str(RIGHTS)]


def _baseline(kind: str) -> Command:
    def command(case: Case, ready: Path, board: Path) -> list[str]:
        devices = case.peers if case.pattern == "many" else 1
        beside = [str(board)] if case.pattern == "beside" else []
        name = case.device + CURVE_SUFFIX * (case.pattern in CURVE)
        return ["benchlib.baselines", kind, name, str(case.hwm), str(devices), str(ready), *beside]

    return command


def _idle(_case: Case, ready: Path, board: Path) -> list[str]:
    return ["benchlib.hosted", hosted.Job("streamer", 0, 0).as_json(), str(ready), str(board)]


def _patterns(*without: str, extras: tuple[str, ...] = ()) -> frozenset[str]:
    return frozenset(set(PATTERNS) - set(without) | set(extras))


def _broker(program: str) -> Command:
    return lambda case, ready, board: ["benchlib.brokers", program, str(ready)]


SWITCH_EXTRAS = ("topics", "values", "log", "counted", "counted-one", "broker", "hub", "busy", "idle", "leave", *CURVE)
"""What the engine zmtp is measured with besides the patterns."""

CONTENDERS = (
    Contender(
        "native",
        "geventrelay, native burst",
        _patterns(extras=EXTRAS),
        _server,
        ours=True,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "watched",
        "native, everything on and watched",
        frozenset({"streamer", "queue"}),
        _everything_on,
        watched=True,
        ours=True,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "rights",
        "native, senders with rights",
        frozenset({"streamer", "forwarder", "queue"}),
        _with_rights,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "python",
        "geventrelay, Python burst",
        _patterns(extras=EXTRAS),
        _server,
        ours=True,
        env={"GEVENTRELAY_BURST": "python"},
    ),
    Contender(
        "zmtp",
        "geventrelay, engine zmtp",
        _patterns(extras=SWITCH_EXTRAS),
        _zmtp,
        ours=True,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "last-values",
        "engine zmtp, last values kept",
        frozenset({"values"}),
        _with_last_values,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "log",
        "engine zmtp, with a log",
        frozenset({"log"}),
        _with_log(),
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "stamp",
        "engine zmtp, with a log and stamps",
        frozenset({"log"}),
        _with_log("--stamp"),
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "counted",
        "engine zmtp, topics counted",
        frozenset({"counted", "counted-one"}),
        _counted,
        env={"GEVENTRELAY_BURST": "native"},
    ),
    Contender(
        "zmtp-python",
        "engine zmtp in Python",
        _patterns(extras=SWITCH_EXTRAS),
        _zmtp,
        ours=True,
        env={"GEVENTRELAY_BURST": "python"},
    ),
    Contender(
        "proxy",
        "zmq.proxy in a thread",
        _patterns(extras=("many", "memory", "topics", "broker", *CURVE)),
        _baseline("proxy"),
    ),
    Contender("nats", "nats-server", frozenset({"broker"}), _broker("nats-server")),
    Contender("redis", "redis-server", frozenset({"broker"}), _broker("redis-server")),
    Contender("poll", "plain poll loop", _patterns(extras=("memory",)), _baseline("poll")),
    Contender("green-pair", "greenlet pair", _patterns(extras=("beside", "memory")), _baseline("green-pair")),
    Contender("green-device", "zmq.green.device", _patterns("relay", extras=("beside",)), _baseline("green-device")),
    Contender("direct", "no relay", _patterns(extras=("many",)), None),
    Contender("idle", "no relay, an idle hub", frozenset({"beside"}), _idle),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
