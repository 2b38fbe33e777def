"""The leg ``strangers``: every attack of ``benchlib/strangers.py`` at once; does a queue beside them notice?

Three processes: the server with the devices of ``benchlib/strangers.toml``, the strangers, and this one, which is the
queue's own client and worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import _client
import zmq
from benchlib.strangers import ATTACKS

SCRIPTS = Path(__file__).resolve().parent.parent
IN_FLIGHT = 4
READY_S = STOP_S = 20.0
LOST_S = 20.0
"""A request that has no reply after so long is lost."""
SETTLE_S = 60.0
"""After the attack, memory may take so long to come back: connections end, workers take what is queued for them."""
GROWTH_MB = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it.

    ``waits``: seconds of each request under attack; ``lost``, ``twice``: requests without a reply, or with several;
    ``attacks``: how often each attack did what it does; ``exit_code``: of the server, after SIGTERM; ``trouble``: the
    lines of its log that no stranger may cause; ``memory_mb``: before, the most meanwhile, and after.
    """

    waits: list[float]
    lost: int
    twice: int
    attacks: dict[str, int]
    exit_code: int | None
    trouble: list[str]
    memory_mb: tuple[float, float, float]


class Asker:
    """Client and worker of the queue: numbered requests, a few on their way at a time. Later a streamer's worker."""

    def __init__(self, endpoints: dict[str, list[str]]) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.asks, self.answers = self.context.socket(zmq.DEALER), self.context.socket(zmq.REP)
        self.asks.connect(endpoints["frontend"][0])
        self.answers.connect(endpoints["backend"][0])
        self.worker: zmq.Socket[Any] | None = None
        self.poller = zmq.Poller()
        for socket in (self.asks, self.answers):
            self.poller.register(socket, zmq.POLLIN)
        self.sent_s: list[float] = []
        self.replies: Counter[int] = Counter()
        self.waits: list[float] = []

    def step(self, asking: bool) -> None:
        """Move what is there, and wait a moment if nothing is."""
        while asking and len(self.sent_s) - len(self.replies) < IN_FLIGHT:
            self.asks.send_multipart([b"", b"%d" % len(self.sent_s)])
            self.sent_s.append(time.monotonic())
        for socket, _ in self.poller.poll(50):
            if self.worker is not None and socket is self.worker:
                self.worker.recv_multipart(copy=False)
                continue
            if socket is self.answers:
                self.answers.send(self.answers.recv())
                continue
            number = int(self.asks.recv_multipart()[1])
            self.replies[number] += 1
            self.waits.append(time.monotonic() - self.sent_s[number])

    def work(self, endpoint: str) -> None:
        """Take what the streamer at `endpoint` has from now on: what is queued for a worker waits for one."""
        self.worker = self.context.socket(zmq.PULL)
        self.worker.connect(endpoint)
        self.poller.register(self.worker, zmq.POLLIN)

    def finish(self) -> None:
        """Wait for what is on its way."""
        end_s = time.monotonic() + LOST_S
        while len(self.replies) < len(self.sent_s) and time.monotonic() < end_s:
            self.step(asking=False)
        self.context.destroy(linger=0)


def soak_strangers(seconds: float) -> None:
    """Run all of it, and print what came of it; raises :class:`_client.GaveUp`."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with (folder / "log").open("w+b") as log:
            seen = attacked(folder, log, seconds)
    report(seen, seconds)


def attacked(folder: Path, log: IO[bytes], seconds: float) -> Seen:
    ready = folder / "ready"
    server = _process(
        ["geventrelay", "run", str(SCRIPTS / "benchlib" / "strangers.toml"), "--http", "127.0.0.1:0",
         "--ready-file", str(ready)],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        asker = Asker(_endpoints(server, ready))
        _ask(asker, 1)
        before = rss_mb(server.pid)
        asker.waits.clear()
        attacks, most = _under_attack(asker, server, ready, seconds)
        waits = list(asker.waits)
        end_s = time.monotonic() + SETTLE_S
        asker.work(json.loads(ready.read_text())["devices"]["streamer"]["backend"][0])
        while server.poll() is None and rss_mb(server.pid) > before + GROWTH_MB and time.monotonic() < end_s:
            _ask(asker, 0.2)
        after = rss_mb(server.pid) if server.poll() is None else most
        asker.finish()
        exit_code = _stopped(server)
    finally:
        server.kill()
        server.wait()
    log.seek(0)
    return Seen(
        waits=waits,
        lost=len(asker.sent_s) - len(asker.replies),
        twice=sum(count > 1 for count in asker.replies.values()),
        attacks=attacks,
        exit_code=exit_code,
        trouble=trouble(log.read().decode(errors="replace").splitlines()),
        memory_mb=(before, most, after),
    )


def _process(arguments: list[str], **pipes: Any) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    # Not where the sources may be, which lack what is compiled: -m looks in the current folder first.
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], env={**os.environ, "PYTHONPATH": path}, cwd=SCRIPTS, **pipes
    )


def _endpoints(server: subprocess.Popen[bytes], ready: Path) -> dict[str, list[str]]:
    end_s = time.monotonic() + READY_S
    while not ready.exists():
        if server.poll() is not None or time.monotonic() > end_s:
            raise _client.GaveUp("strangers: the server did not come up")
        time.sleep(0.01)
    found: dict[str, list[str]] = json.loads(ready.read_text())["devices"]["good"]
    return found


def _ask(asker: Asker, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        asker.step(asking=True)


def _under_attack(
    asker: Asker, server: subprocess.Popen[bytes], ready: Path, seconds: float
) -> tuple[dict[str, int], float]:
    """Ask while all strangers attack; what they did, and the most memory that the server took."""
    arguments = ["benchlib.strangers", ",".join(ATTACKS), str(ready), str(seconds)]
    strangers = _process(arguments, stdout=subprocess.PIPE)
    most = 0.0
    try:
        with _client.progress(int(seconds), " s") as advance:
            while strangers.poll() is None and server.poll() is None:
                _ask(asker, 1)
                advance()
                most = max(most, rss_mb(server.pid))
        assert strangers.stdout
        told = strangers.stdout.read() if server.poll() is None else b""
    finally:
        strangers.kill()
        strangers.wait()
    return (json.loads(told) if told else {}), most


def _stopped(server: subprocess.Popen[bytes]) -> int | None:
    server.send_signal(signal.SIGTERM)
    try:
        return server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        return None


def rss_mb(pid: int) -> float:
    """Resident memory; 0 if the process has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def trouble(lines: list[str]) -> list[str]:
    """Lines of the log that a stranger may not cause: tracebacks, and devices that fail."""
    return [line for line in lines if line.startswith("Traceback") or " failed " in line or " starting-again " in line]


def faults(seen: Seen) -> list[str]:
    """What is wrong, a few words for each."""
    idle = sorted(set(ATTACKS) - {name for name, count in seen.attacks.items() if count})
    checks = {
        f"{seen.lost} requests were lost": not seen.lost,
        f"{seen.twice} requests were answered twice": not seen.twice,
        "no request was answered": bool(seen.waits),
        f"attacks did nothing: {', '.join(idle)}": not idle,
        f"the server ended with {seen.exit_code}": seen.exit_code == 0,
        f"the log has: {seen.trouble[:1]}": not seen.trouble,
        "memory did not come back": seen.memory_mb[2] <= seen.memory_mb[0] + GROWTH_MB,
    }
    return [text for text, holds in checks.items() if not holds]


def report(seen: Seen, seconds: float) -> None:
    ordered = sorted(seen.waits) or [0.0]
    p99_ms, longest_ms = ordered[int(0.99 * (len(ordered) - 1))] * 1000, ordered[-1] * 1000
    before, most, after = seen.memory_mb
    print(f"strangers: {seconds:g} s")
    for name, count in seen.attacks.items():
        print(f"  {name:<12}{count:>12,} times: {ATTACKS[name].title}")
    print(f"  requests    {len(seen.waits):>12,}; {seen.lost} lost, {seen.twice} answered twice")
    print(f"  waits       p99 {p99_ms:.1f} ms, longest {longest_ms:.0f} ms")
    print(f"  memory      {before:.0f} MB before, {most:.0f} MB at most, {after:.0f} MB after")
    if wrong := faults(seen):
        raise _client.GaveUp(f"strangers: {'; '.join(wrong)}")
    print("  all is well", flush=True)
