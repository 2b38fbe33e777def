"""A worker that is stopped behind a client that floods: memory is bounded by the high-water marks."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest
from support.process import untaken

# 5 s by default; the full acceptance is GEVENTRELAY_STALL_S=30.
STALL_S = float(os.environ.get("GEVENTRELAY_STALL_S", "5"))

# What libzmq holds of a message of SIZE bytes at each of the two high-water marks, as measured (libzmq 4.3.5, peak
# growth of RSS divided by sndhwm + rcvhwm, streamer / queue):
#
#   SIZE       flood                 one message per read of the socket
#   10-30 B    68 / 175 B            45 / 72 B
#   100 B      475 / 1486 B          911 / 1222 B (and rising)
#   1 kB       1774 / 2228 B         7632 / 8041 B
#   5 kB       -                     11660 / 11527 B
#   10 kB      8999 / 9003 B         (9 kB) 8481 / 8562 B
#   100 kB     94956 / 94177 B       -
#   1 MB       935219 / 1035366 B    -
#
# libzmq reads 8 KiB at a time and messages of 34 B and more stay where they were read: one that arrives alone keeps
# 8 KiB alive. To that comes a zmq_msg_t of 64 B and some allocator's cost for each part. So the bound is
#
#   (sndhwm + rcvhwm) x (SIZE + 8 KiB + 128 B per part) for each client and worker, and a few MB besides.
#
# Kernel buffers are not in RSS; they take messages beyond the high-water marks (up to 4 MB and 6 MB per connection).
READ_BYTES = 8192
PART_BYTES = 128
CONSTANT_BYTES = 8 * 1024 * 1024

WORKER = """
import os, signal, sys, zmq
socket = zmq.Context().socket(getattr(zmq, sys.argv[1]))
socket.rcvhwm = 1
socket.connect(sys.argv[2])
socket.recv_multipart()
os.kill(os.getpid(), signal.SIGSTOP)
"""
CLIENT = """
import sys, time, zmq
kind, endpoint, size, pause_s = sys.argv[1:]
socket = zmq.Context().socket(getattr(zmq, kind))
socket.sndhwm = 10
socket.connect(endpoint)
message = [bytes(int(size))] if kind == "PUSH" else [b"", bytes(int(size))]
while True:
    socket.send_multipart(message)
    if float(pause_s):
        time.sleep(float(pause_s))
"""


# Pattern, and the client's pause between messages: none, or enough for each to be read alone.
CASES = {"streamer, flood": ("streamer", 0.0), "queue, flood": ("queue", 0.0), "one at a time": ("streamer", 0.0001)}
KINDS = {"streamer": ("PUSH", "PULL", 1), "queue": ("DEALER", "DEALER", 3)}
SIZE_BYTES = 1000
HWM = 1000


class Stall:
    """A server between a flooding client and a stopped worker, and how much it has grown since."""

    def __init__(self, start, run, name):
        self.name = name
        pattern, pause_s = CASES[name]
        client, worker, self.parts = KINDS[pattern]
        marks = ["--sndhwm", str(HWM), "--rcvhwm", str(HWM)]
        ends = ["--frontend", "0", "--backend", "0"]
        self.server = start(pattern, *ends, *marks, "--drain", "0.2", "--linger", "0")
        self.worker = run([sys.executable, "-c", WORKER, worker, self.server["backend"]])
        self._process = psutil.Process(self.server.pid)
        self._before_bytes = self._process.memory_info().rss
        command = [sys.executable, "-c", CLIENT, client, self.server["frontend"], str(SIZE_BYTES), str(pause_s)]
        self.client = run(command)
        self.peak_bytes = 0

    def look(self):
        assert self.server.lives, self.server.report()
        assert self.client.lives, self.client.report()
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss - self._before_bytes)


@pytest.mark.timeout(60 + STALL_S)
def test_memory_is_bounded_behind_a_stopped_worker(start, run):
    stalls = [Stall(start, run, name) for name in CASES]
    for stall in stalls:
        worker = psutil.Process(stall.worker.pid)
        stall.server.until(lambda worker=worker: worker.status() == psutil.STATUS_STOPPED, "worker to be stopped")
    deadline = time.monotonic() + STALL_S
    while time.monotonic() < deadline:
        for stall in stalls:
            stall.look()
        # Not a wait for anything: how often it is looked at while it could grow.
        time.sleep(0.02)
    for stall in stalls:
        bound = 2 * HWM * (SIZE_BYTES + READ_BYTES + stall.parts * PART_BYTES) + CONSTANT_BYTES
        print(f"{stall.name}: grew by {stall.peak_bytes / 1e6:.1f} MB of {bound / 1e6:.1f} MB")
        assert stall.peak_bytes <= bound, f"{stall.name}: {stall.peak_bytes / 1e6:.1f} MB > {bound / 1e6:.1f} MB"
        # The marks, and not a slow client, are what bounded it: the relay has a message in hand that nobody takes.
        assert untaken(stall.server.stop(signal.SIGTERM))
