"""Servers with a file as a user runs them: several devices, failures, reload by ctl, log as JSON."""

from __future__ import annotations

import json
import re
import signal
import sys

import zmq
from support.process import GEVENTRELAY, without_deliveries

DEVICE = """
[device.{name}]
pattern = "streamer"
frontend = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:0"
"""

# Fails the first device at a signal, as if a socket had been closed under it: no user can, and a failure must be.
UNLUCKY = """
import signal, sys, gevent, zmq
from geventrelay.server.server import Server

make = Server.__init__

def __init__(self, *args, **kwargs):
    make(self, *args, **kwargs)
    first = next(iter(self.devices.values()))
    error = zmq.ZMQError(zmq.ENOTSOCK)
    gevent.signal_handler(signal.SIGUSR2, lambda: first.device._life.fail("frontend", error))

Server.__init__ = __init__
from geventrelay.cli import main
sys.exit(main(sys.argv[1:]))
"""


def write(folder, *names, more=""):
    path = folder / "relay.toml"
    path.write_text(more + "".join(DEVICE.format(name=name) for name in names))
    return str(path)


def endpoints(server):
    return json.loads(server.ready_file.read_text())["devices"]


def test_several_devices_each_have_their_line_of_accounting(start, folder, peers):
    server = start("run", write(folder, "one", "two"))
    ends = endpoints(server)
    peers.connect(zmq.PUSH, *ends["two"]["frontend"]).send(b"task")
    assert peers.connect(zmq.PULL, *ends["two"]["backend"]).recv() == [b"task"]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert without_deliveries(server.output).splitlines() == [
        "accounting device=one frontend.received=0 backend.sent=0 held=0",
        "accounting device=two frontend.received=1 backend.sent=1 held=0",
    ]


def test_a_device_that_fails_comes_back_in_its_process(start, folder, monkeypatch, peers):
    monkeypatch.setattr("support.process.GEVENTRELAY", (sys.executable, "-c", UNLUCKY))
    server = start("run", write(folder, "one", "two"))
    before = endpoints(server)
    server.signal(signal.SIGUSR2)
    server.until_logged("starting-again device=one")
    server.until(lambda: endpoints(server)["one"] not in ({}, before["one"]), "the device to be up again")
    ends = endpoints(server)
    assert ends["two"] == before["two"]
    peers.connect(zmq.PUSH, *ends["one"]["frontend"]).send(b"task")
    assert peers.connect(zmq.PULL, *ends["one"]["backend"]).recv() == [b"task"]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert "accounting device=one frontend.received=1 backend.sent=1 held=0" in without_deliveries(server.output)


def test_with_fail_fast_a_failure_ends_the_process_with_1(start, folder, monkeypatch):
    monkeypatch.setattr("support.process.GEVENTRELAY", (sys.executable, "-c", UNLUCKY))
    server = start("run", write(folder, "one", "two"), "--fail-fast")
    server.signal(signal.SIGUSR2)
    assert server.wait() == 1, server.report()
    assert server.errors.splitlines()[-1] == "one: Socket operation on non-socket"
    assert not server.ready_file.exists()


def test_ctl_reload_says_what_is_wrong_and_then_that_it_is_done(start, run, folder):
    control = f"ipc://{folder}/control"
    file = folder / "relay.toml"
    good = DEVICE.format(name="one") + f'control = "{control}"\n'
    file.write_text(good)
    server = start("run", str(file))
    file.write_text(good + "sndhwn = 5\n")
    command = [*GEVENTRELAY, "ctl", control, "reload"]
    failed = run(command)
    assert failed.wait() == 1, failed.report()
    assert "sndhwn" in failed.errors
    assert "sndhwm" in failed.errors
    file.write_text(good + DEVICE.format(name="two"))
    done = run(command)
    assert done.wait() == 0, done.report()
    assert done.output == "reload: done\n"
    assert set(endpoints(server)) == {"one", "two"}
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_log_as_json_is_one_object_per_line_and_follows_a_reload(start, folder):
    file = write(folder, "one", more='log-format = "json"\n')
    server = start("run", file)
    server.until(lambda: server.errors.count("\n") >= 2, "two lines")
    lines = [json.loads(line) for line in server.errors.splitlines()]
    ends = endpoints(server)["one"]
    assert [(one["event"], one["level"], one["device"], one["socket"], one["endpoint"]) for one in lines[:2]] == [
        ("bound", "info", "one", key, *ends[key]) for key in ("frontend", "backend")
    ]
    write(folder, "one", more='log-format = "text"\n')
    server.signal(signal.SIGHUP)
    server.until_logged(" INFO reloaded unchanged=1 added=0 ")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_storm_of_one_event_is_summed_up_and_nothing_is_left_out(start, peers):
    ends = ["--frontend", "0", "--backend", "0", "--control", "0", "--control-type", "PULL"]
    server = start("streamer", *ends, "--log-level", "warning")
    controller = peers.connect(zmq.PUSH, server["control"])
    for _ in range(500):
        controller.send(b"NONSENSE")
    controller.send(b"TERMINATE")
    assert server.wait() == 0, server.report()
    lines = [line for line in server.errors.splitlines() if "WARNING ignored device=streamer" in line]
    counts = [int(more[1]) for line in lines if (more := re.search(r" more=(\d+) ", line))]
    assert len(lines) - len(counts) + sum(counts) == 500
    assert len(lines) - len(counts) == 10
