"""A reader of standard error or standard output that stalls, or has gone, holds up nothing of a server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys

import pytest
import zmq
from support.process import GEVENTRELAY, LIMIT_S, balanced

STREAMER = ["streamer", "--frontend", "0", "--backend", "0", "--interface", "127.0.0.1"]

# Runs a server, and once that is ready what the test gives.
IN_A_SERVER = """
import gevent, logging, os, sys, warnings
from geventrelay.cli import main

def fail():
    raise RuntimeError("a greenlet of a plug-in")

def act():
    while not os.path.exists(sys.argv[-1]):
        gevent.sleep(0.01)
    {acts}
    print("acted", flush=True)

gevent.spawn(act)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def pipe():
    """A pipe with room for 4 KiB: the descriptors of both ends."""
    reader, writer = os.pipe()
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def full(pipe):
    """The end of a full pipe to which one writes."""
    writer = pipe[1]
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    return writer


def passes(server, peers) -> None:
    task, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    task.send(b"task")
    assert worker.recv() == [b"task"]


def until_ready(program, ready) -> dict[str, str]:
    program.until(ready.exists, "ready file")
    return {key: ends[0] for key, ends in json.loads(ready.read_text())["endpoints"].items()}


def test_a_full_standard_error_holds_up_no_message_no_signal_and_no_stop(start, peers, full):
    server = start(*STREAMER, stderr=full)
    for _ in range(3):
        server.signal(signal.SIGUSR1)
    passes(server, peers)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
    assert balanced(server.output)["backend.sent"] == 1
    assert os.get_blocking(full)


def test_both_streams_full_hold_up_no_stop(start, full):
    server = start(*STREAMER, stderr=full, stdout=full)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0


def test_a_full_standard_output_at_the_end_is_said_and_is_no_error(start, full):
    server = start(*STREAMER, stdout=full)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
    assert server.errors.endswith("\ncannot write to standard output: its reader does not read\n")


def test_tracebacks_and_warnings_hold_up_nothing_either(run, folder, peers, full):
    ready = folder / "ready"
    acts = "gevent.spawn(fail).join(); warnings.warn('careful'); print('x' * 9999, file=sys.stderr)"
    command = [sys.executable, "-c", IN_A_SERVER.format(acts=acts), *STREAMER, "--ready-file", ready]
    server = run(command, stderr=full)
    passes(until_ready(server, ready), peers)
    server.until_said("acted")
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0


def test_when_it_flows_again_one_line_says_how_many_are_missing(run, folder, pipe):
    ready, (reader, writer) = folder / "ready", pipe
    acts = "[logging.getLogger('plug-in').warning('number %d %s', n, 'x' * 999) for n in range(3000)]"
    arguments = [*STREAMER, "--log-format", "json", "--ready-file", ready]
    server = run([sys.executable, "-c", IN_A_SERVER.format(acts=acts), *arguments], stderr=writer)
    server.until_said("acted")
    text = b""
    while b'"log-dropped"' not in text or not text.endswith(b"\n"):
        text += os.read(reader, 65536)
    lines = [json.loads(line) for line in text.splitlines()]
    numbers = [int(one["text"].split()[1]) for one in lines if one["event"] == "message"]
    assert numbers == list(range(len(numbers)))
    (dropped,) = (one for one in lines if one["event"] == "log-dropped")
    assert len(numbers) + dropped["lines"] == 3000
    assert dropped["level"] == "warning"


def test_the_accounting_comes_out_also_where_no_thread_has_its_turn(run, folder):
    program = "import sys; from geventrelay.cli import main; from geventrelay.server import output_queue\n"
    program += "output_queue._start_thread = lambda *how: None\nsys.exit(main(sys.argv[1:]))"
    ready = folder / "ready"
    server = run([sys.executable, "-c", program, *STREAMER, "--ready-file", ready])
    until_ready(server, ready)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
    assert balanced(server.output)["backend.sent"] == 0


def test_a_traceback_that_ends_the_process_comes_out(run):
    program = "import sys; from geventrelay.cli import main, process\n"
    program += "def fail(server, **how): raise RuntimeError('a fault')\nprocess.Server.run = fail\nmain(sys.argv[1:])"
    server = run([sys.executable, "-c", program, *STREAMER])
    assert server.wait(LIMIT_S) == 1
    assert server.errors.startswith("Traceback")
    assert server.errors.endswith("\nRuntimeError: a fault\n")


def test_a_standard_error_that_was_never_open_is_no_error(run, folder, peers):
    ready = folder / "ready"
    server = run(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *GEVENTRELAY, *STREAMER, "--ready-file", ready])
    passes(until_ready(server, ready), peers)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
    assert balanced(server.output)["backend.sent"] == 1


def test_a_reader_of_standard_error_that_has_gone_is_no_error(start, peers):
    reader, writer = os.pipe()
    try:
        server = start(*STREAMER, stderr=writer)
    finally:
        os.close(writer)
        os.close(reader)
    server.signal(signal.SIGUSR1)
    passes(server, peers)
    server.signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
