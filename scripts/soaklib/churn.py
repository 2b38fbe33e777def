"""The leg ``churn``: workers come and go for minutes; are messages lost, does memory grow, are requests late?

The devices run in a process of their own (churn_devices.py). This process is the clients: a thread each.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _client
import zmq

DEVICES = Path(__file__).with_name("churn_devices.py")
HWM = 1000
SIZES, WEIGHTS = (16, 100, 1000, 10_000, 60_000), (400, 400, 100, 10, 1)
LONGEST_WAIT_S = 1.0
GROWTH, GROWTH_MB = 1.1, 5
"""The memory of the end may be so many times that of the beginning, and so much more."""
END_S = 60
STOP_S = 30
STAY_TO_END_S = 5
"""No worker leaves in the last seconds."""
Endpoints = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Length:
    """``seconds``: how long to go on; ``workers`` at a time; ``stay_s``: how long each stays in the second half."""

    seconds: float
    workers: int
    stay_s: float


@dataclass(frozen=True, slots=True)
class Account:
    """The streamer's own, in messages."""

    received: int
    sent: int
    held: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients counted.

    ``left``: how many workers left early; ``waits``: seconds of each request; ``memory_mb``: of the devices' process,
    once a second.
    """

    pushed: int
    got: int
    left: int
    waits: list[float]
    memory_mb: list[float]

    @property
    def early_mb(self) -> float:
        """Memory in the second fifth of the time."""
        return statistics.median(self.memory_mb[self._fifth : 2 * self._fifth])

    @property
    def late_mb(self) -> float:
        """Memory in the last fifth of the time."""
        return statistics.median(self.memory_mb[-self._fifth :])

    @property
    def _fifth(self) -> int:
        return max(1, len(self.memory_mb) // 5)


class Pusher(threading.Thread):
    """Pushes messages of mixed sizes until the time is over."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, until_s: float) -> None:
        super().__init__(daemon=True)
        self.socket = context.socket(zmq.PUSH)
        self.socket.linger = -1
        self.socket.connect(endpoint)
        self.until_s = until_s
        self.sent = 0

    def run(self) -> None:
        bodies = [b"." * size for size in SIZES]
        chance = random.Random(1)
        while time.monotonic() < self.until_s:
            for body in chance.choices(bodies, WEIGHTS, k=100):
                self.socket.send(body)
            self.sent += 100
        self.socket.close()


class Worker(threading.Thread):
    """Pulls until it is to leave, or until nothing has come for a second after the end."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, until_s: float) -> None:
        super().__init__(daemon=True)
        self.socket = context.socket(zmq.PULL)
        self.socket.rcvhwm = HWM
        self.socket.connect(endpoint)
        self.until_s = until_s
        self.leaving = False
        self.got = 0

    def run(self) -> None:
        while not self.leaving:
            if self.socket.poll(1000):
                self.pull()
            elif time.monotonic() > self.until_s:
                break
        self.socket.close(0)

    def pull(self) -> None:
        for _ in range(100):
            try:
                self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                break
            self.got += 1


class Asker(threading.Thread):
    """Sends and answers one request at a time and keeps how long each took."""

    def __init__(self, context: zmq.Context[Any], endpoints: Endpoints, until_s: float) -> None:
        super().__init__(daemon=True)
        self.asks, self.answers = context.socket(zmq.REQ), context.socket(zmq.REP)
        self.asks.connect(endpoints["frontend"][0])
        self.answers.connect(endpoints["backend"][0])
        self.until_s = until_s
        self.waits: list[float] = []

    def run(self) -> None:
        while time.monotonic() < self.until_s:
            began = time.monotonic()
            self.asks.send(b"")
            self.answers.send(self.answers.recv())
            self.asks.recv()
            self.waits.append(time.monotonic() - began)
            time.sleep(0.01)  # this one is there to be prompt, not to be fast
        self.asks.close()
        self.answers.close()


class Crowd:
    """All clients; in the second half of the time, workers leave and others come."""

    def __init__(self, streamer: Endpoints, queue: Endpoints, length: Length) -> None:
        began_s = time.monotonic()
        self.until_s = began_s + length.seconds
        self.context: zmq.Context[Any] = zmq.Context()
        self.backend = streamer["backend"][0]
        self.pushers = [Pusher(self.context, streamer["frontend"][0], self.until_s) for _ in range(2)]
        self.asker = Asker(self.context, queue, self.until_s)
        self.workers = [Worker(self.context, self.backend, self.until_s) for _ in range(length.workers)]
        self.left: list[Worker] = []
        self.stay_s, self.next_to_leave_s = length.stay_s, began_s + length.seconds / 2
        for thread in (*self.workers, *self.pushers, self.asker):
            thread.start()

    @property
    def going_on(self) -> bool:
        return time.monotonic() < self.until_s

    def change(self) -> None:
        """Have one worker leave and another one come, if it is time to."""
        if not self.next_to_leave_s < time.monotonic() < self.until_s - STAY_TO_END_S:
            return
        self.next_to_leave_s += self.stay_s
        worker = self.workers.pop(0)
        worker.leaving = True
        self.left.append(worker)
        self.workers.append(Worker(self.context, self.backend, self.until_s))
        self.workers[-1].start()

    def end(self) -> None:
        """Wait for all of them; raises :class:`_client.GaveUp` when one does not end."""
        for thread in (*self.pushers, self.asker, *self.left, *self.workers):
            thread.join(END_S)
            if thread.is_alive():
                raise _client.GaveUp(f"{type(thread).__name__} did not end: something is stuck")
        self.context.term()

    def seen(self, memory_mb: list[float]) -> Seen:
        return Seen(
            pushed=sum(pusher.sent for pusher in self.pushers),
            got=sum(worker.got for worker in (*self.left, *self.workers)),
            left=len(self.left),
            waits=self.asker.waits,
            memory_mb=memory_mb,
        )


def soak_churn(length: Length) -> None:
    """Run devices and clients, and print what they counted; raises :class:`_client.GaveUp`."""
    command = [sys.executable, str(DEVICES)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = process.stdout.readline()
        if not line:
            raise _client.GaveUp(f"the process with the devices ended with {process.wait(STOP_S)}")
        streamer, queue = json.loads(line)
        seen = flood(process.pid, streamer, queue, length)
        account = Account(**json.loads(process.communicate("stop\n", timeout=STOP_S)[0]))
    finally:
        process.kill()
        process.wait()
    report(seen, account, length)


def flood(pid: int, streamer: Endpoints, queue: Endpoints, length: Length) -> Seen:
    """Run the clients; ``pid``: the process whose memory is read."""
    crowd = Crowd(streamer, queue, length)
    memory_mb: list[float] = []
    with _client.progress(int(length.seconds), " s") as advance:
        while crowd.going_on:
            time.sleep(1)
            advance()
            memory_mb.append(rss_mb(pid))
            crowd.change()
    crowd.end()
    return crowd.seen(memory_mb)


def rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def faults(seen: Seen, account: Account) -> list[str]:
    """What is wrong, a few words for each."""
    # A worker that leaves takes its queues along: the relay's for it, its own, and what the sockets' buffers hold.
    most = seen.left * 5 * HWM
    checks = {
        "the streamer did not receive what was pushed": account.received == seen.pushed,
        "its accounting does not add up": account.received == account.sent + account.held,
        "more is missing than workers can have taken along": 0 <= account.sent - seen.got <= most,
        "no request was answered": bool(seen.waits),
        "a request waited too long": max(seen.waits, default=0) <= LONGEST_WAIT_S,
        "memory grew": seen.late_mb <= GROWTH * seen.early_mb + GROWTH_MB,
    }
    return [text for text, holds in checks.items() if not holds]


def report(seen: Seen, account: Account, length: Length) -> None:
    missing, longest_ms = account.sent - seen.got, max(seen.waits, default=0) * 1000
    print(f"churn: {length.seconds:g} s")
    print(f"  pushed      {seen.pushed:>12,} messages")
    print(f"  accounting  {account.received:>12,} received, {account.sent:,} sent, {account.held} held")
    print(f"  workers got {seen.got:>12,}; {missing:,} were queued for the {seen.left} workers that left")
    print(f"  requests    {len(seen.waits):>12,}; the longest took {longest_ms:.0f} ms")
    print(f"  memory      {seen.early_mb:>12.1f} MB in the second fifth of the time, {seen.late_mb:.1f} MB in the last")
    if wrong := faults(seen, account):
        raise _client.GaveUp(f"churn: {'; '.join(wrong)}")
    print("  all is well", flush=True)
