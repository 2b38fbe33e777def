"""Standard streams that are closed, full, or that have no reader: the right exit code, one line, and no traceback."""

from __future__ import annotations

import json
import os
import signal
import sys

import psutil
import pytest
import zmq
from support.process import GEVENTRELAY

from geventrelay.testing import eventually

STREAMER = ["streamer", "--frontend", "0", "--backend", "0", "--interface", "127.0.0.1"]
NO_TRACE = ("Traceback", "Exception")


def shell(run, redirections, *words):
    """Run a command of geventrelay as a shell starts it, with these redirections."""
    return run(["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *GEVENTRELAY, *words])


def expect_one_line(program, code, text):
    assert program.wait() == code, program.report()
    # A tap says that it watches.
    (line,) = (one for one in program.errors.splitlines() if not one.startswith("watching "))
    assert text in line
    assert not any(word in program.errors for word in NO_TRACE)


@pytest.fixture
def server(start):
    return start(*STREAMER, "--tap", "0", "--control", "0", "--http", "0")


@pytest.fixture
def commands(server, peers):
    """The words of each command that prints something, by name; messages pass while there are."""
    url = json.loads(server.ready_file.read_text())["http"]
    return {
        "version": ["--version"],
        "overview": ["--help"],
        "help": ["help", "tap"],
        "init": ["init"],
        "ctl": ["ctl", server["control"], "statistics"],
        "top": ["top", url, "--once"],
        "top-json": ["top", url, "--once", "--json"],
        "tap": ["tap", server["tap"], "--seconds", "20"],
        "tap-json": ["tap", server["tap"], "--format", "json", "--seconds", "20"],
    }


EVERY = ["version", "overview", "help", "init", "ctl", "top", "top-json", "tap", "tap-json"]
REASONS = {">&-": "Bad file descriptor", ">/dev/full": "No space left on device"}


def feed(server, peers, program):
    """Have messages pass until `program` has ended."""
    client, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])

    def passed():
        client.send(b"task")
        assert worker.recv() == [b"task"]
        return not program.lives

    eventually(passed, program.report)


@pytest.mark.parametrize("redirections", REASONS)
@pytest.mark.parametrize("name", EVERY)
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(server, peers, commands, run, name, redirections):
    program = shell(run, redirections, *commands[name])
    if name.startswith("tap"):
        feed(server, peers, program)
    expect_one_line(program, 1, f"cannot write to standard output: {REASONS[redirections]}")


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize("words", [["nonsense"], ["check", "/nowhere"]])
def test_errors_that_cannot_be_written_leave_the_exit_code_as_it_is(run, redirections, words):
    program = shell(run, redirections, *words)
    assert program.wait() == 2, program.report()
    assert program.errors == ""


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_a_server_runs_and_ends_well_whatever_its_streams_are_and_no_socket_has_their_numbers(
    run, folder, redirections
):
    ready = folder / "ready.json"
    server = shell(run, redirections, *STREAMER, "--ready-file", str(ready))
    server.until(ready.exists, "ready file")
    process = psutil.Process(server.pid)
    sockets = {one.fd for one in process.net_connections("all") if one.fd is not None and one.fd >= 0}
    assert not sockets & {0, 1, 2}
    if sys.platform == "linux":
        for number in range(3):
            assert not os.readlink(f"/proc/{server.pid}/fd/{number}").startswith(("socket:", "anon_inode:"))
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert not any(word in server.errors for word in NO_TRACE)


def test_a_reader_that_has_gone_ends_a_tap_and_is_no_error(server, peers, run, commands):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        program = run([*GEVENTRELAY, *commands["tap"]], stdout=writer)
    finally:
        os.close(writer)
    feed(server, peers, program)
    assert program.wait() == 0, program.report()
    assert program.errors == f"watching {server['tap']}\n"


@pytest.mark.parametrize("name", ["version", "init", "ctl", "top", "top-json"])
def test_a_reader_that_has_gone_is_one_line_and_exit_code_1(run, commands, name):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        program = run([*GEVENTRELAY, *commands[name]], stdout=writer)
    finally:
        os.close(writer)
    expect_one_line(program, 1, "cannot write to standard output: Broken pipe")


def test_a_recording_is_made_without_any_stream(server, peers, run, folder):
    file = folder / "recording"
    program = shell(run, "<&- >&- 2>&-", "record", str(file), "--from", server["tap"], "--count", "2")
    feed(server, peers, program)
    assert program.wait() == 0, program.report()
    assert file.stat().st_size > 0
