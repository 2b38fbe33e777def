"""Importing the package changes nothing for anybody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import socket, threading, time, select, signal
before = (socket.socket, threading.Thread.start, time.sleep, select.select, signal.signal)
handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
import logging
root = list(logging.getLogger().handlers)
import geventrelay, geventrelay.cli
from gevent import monkey
assert before == (socket.socket, threading.Thread.start, time.sleep, select.select, signal.signal)
assert handlers == {number: signal.getsignal(number) for number in handlers}
assert not any(monkey.is_module_patched(name) for name in ("socket", "threading", "time", "select", "os"))
assert logging.getLogger().handlers == root
assert threading.active_count() == 1
"""


@pytest.mark.slow
def test_importing_patches_nothing_and_starts_nothing():
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
