"""Signals that are ignored, that come too late, or that meet a stop which does not end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import zmq
from support.process import GEVENTRELAY, balanced

STREAMER = ["streamer", "--frontend", "0", "--backend", "0", "--interface", "127.0.0.1"]
FILE = """
[device.tasks]
pattern = "streamer"
frontend = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:0"
"""
PATTERNS = {
    "relay": ["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"],
    "forwarder": ["forwarder", "--frontend", "0", "--backend", "0"],
    "queue": ["queue", "--frontend", "0", "--backend", "0"],
    "streamer": ["streamer", "--frontend", "0", "--backend", "0"],
    "custom": ["custom", "--frontend-type", "ROUTER", "--frontend", "0", "--backend-type", "ROUTER", "--backend", "0"],
}
UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork")

# Sends itself a signal at a moment that is hard to meet from outside.
SIGNAL_AT = """
import atexit, os, signal, sys
from geventrelay.cli import main, process

def send():
    os.kill(os.getpid(), signal.SIGTERM)

printed = process._print_last
def before(text): send(), printed(text)
def after(text): printed(text), send()

moment = sys.argv[1]
if moment == "exit":
    atexit.register(send)
else:
    process._print_last = globals()[moment]
sys.exit(main(sys.argv[2:]))
"""

# A stop that does not end by itself, and says so each time that it is asked for.
HANGS = """
import sys, gevent
from geventrelay.cli import main
from geventrelay.server.supervisor import SupervisedDevice

def stop(self, timeout=None):
    print("asked", timeout, flush=True)
    gevent.sleep(600)

SupervisedDevice.stop = stop
sys.exit(main(sys.argv[1:]))
"""

# Stands still where the start takes most of its time.
IMPORTS = """
import sys, time
from geventrelay.__main__ import start

class Slow:
    def find_spec(self, name, *rest):
        if name == "geventrelay.cli":
            print("importing", flush=True)
            time.sleep(600)

sys.meta_path.insert(0, Slow())
sys.exit(start())
"""


def ignoring(number, run, folder, *words):
    """A server that was started with the signal `number` ignored, as nohup(1) does it."""
    ready = folder / "ready.json"
    script = f'trap "" {number.name[3:]}; exec "$@"'
    server = run(["/bin/sh", "-c", script, "sh", *GEVENTRELAY, *words, "--ready-file", str(ready)])
    server.until(ready.exists, "ready file")
    return server


def expect_to_be_deaf(server, number, other):
    server.signal(number)
    server.signal(signal.SIGUSR1)
    server.until_logged("accounting device=")
    server.signal(other)
    assert server.wait() == 0, server.report()
    # One of each signal came, and this one alone was followed.
    assert server.errors.count("signal=") == 1
    assert f"stopping signal={other.name}" in server.errors


@pytest.mark.parametrize("pattern", PATTERNS)
def test_sighup_under_nohup_is_ignored(run, folder, pattern):
    server = ignoring(signal.SIGHUP, run, folder, *PATTERNS[pattern], "--interface", "127.0.0.1")
    expect_to_be_deaf(server, signal.SIGHUP, signal.SIGTERM)


@pytest.mark.parametrize(
    ("number", "other"),
    [(signal.SIGHUP, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)],
)
def test_a_server_with_a_file_ignores_what_was_ignored_too(run, folder, number, other):
    (folder / "relay.toml").write_text(FILE)
    expect_to_be_deaf(ignoring(number, run, folder, "run", "relay.toml"), number, other)


def test_a_tap_ignores_what_was_ignored(start, run, peers):
    server = start(*STREAMER, "--tap", "0")
    script = 'trap "" INT; exec "$@"'
    tap = run(["/bin/sh", "-c", script, "sh", *GEVENTRELAY, "tap", server["tap"], "--count", "2"])
    client, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    pass_until(client, worker, tap, lambda: tap.output)
    tap.signal(signal.SIGINT)
    pass_until(client, worker, tap, lambda: not tap.lives)
    assert tap.wait() == 0
    assert len(tap.output.splitlines()) == 2


def pass_until(client, worker, tap, condition):
    def passed():
        client.send(b"task")
        assert worker.recv() == [b"task"]
        return condition()

    tap.until(passed, "messages to be shown")


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8, 11, 15])
def test_a_second_sigterm_soon_after_the_first_changes_nothing(start, delay_ms):
    server = start(*STREAMER[:-2])
    server.signal(signal.SIGTERM)
    # Not a wait for anything: wherever in its stop the signal meets it, it is to end well.
    time.sleep(delay_ms / 1000)
    assert set(server.stop().values()) == {0}


@pytest.mark.parametrize("moment", ["before", "after", "exit"])
def test_a_signal_after_everything_was_stopped_changes_nothing(run, folder, moment):
    ready = folder / "ready.json"
    server = run([sys.executable, "-c", SIGNAL_AT, moment, *STREAMER, "--ready-file", str(ready)])
    server.until(ready.exists, "ready file")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert set(balanced(server.output).values()) == {0}


def test_a_third_signal_kills(run, folder):
    ready = folder / "ready.json"
    server = run([sys.executable, "-c", HANGS, *STREAMER, "--ready-file", str(ready)])
    server.until(ready.exists, "ready file")
    send_three(server, server.signal)
    assert server.wait() == -signal.SIGTERM, server.report()


def test_a_third_signal_kills_the_first_process_of_a_namespace_too(run, folder):
    if not can_unshare():
        pytest.skip("needs unshare(1), and the right to make PID namespaces")
    ready = folder / "ready.json"
    server = run([*UNSHARE, sys.executable, "-c", HANGS, *STREAMER, "--ready-file", str(ready)])
    server.until(ready.exists, "ready file")
    (first,) = psutil.Process(server.pid).children()
    try:
        send_three(server, first.send_signal)
        assert server.wait() == 128 + signal.SIGTERM, server.report()
    finally:
        if first.is_running():
            first.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_first_process_of_a_namespace_as_soon_as_it_imports(run, number):
    if not can_unshare():
        pytest.skip("needs unshare(1), and the right to make PID namespaces")
    program = run([*UNSHARE, sys.executable, "-c", IMPORTS])
    program.until_said("importing")
    (first,) = psutil.Process(program.pid).children()
    try:
        first.send_signal(number)
        assert program.wait() == 128 + number, program.report()
        assert program.errors == ("interrupted\n" if number == signal.SIGINT else "")
    finally:
        if first.is_running():
            first.kill()


def send_three(server, send):
    send(signal.SIGTERM)
    server.until_said("asked None")
    send(signal.SIGTERM)
    server.until_said("asked 0")
    send(signal.SIGTERM)


def can_unshare():
    return (
        shutil.which("unshare") and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    )
