"""Starts and stops with few file descriptors: one sentence and exit code 1, or it runs."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest
import zmq
from support.engines import ZMTP, libzmq_only
from support.process import GEVENTRELAY, balanced

STREAMER = ["streamer", "--frontend", "0", "--backend", "0", "--control", "0", "--interface", "127.0.0.1"]


def limited(run, limit, *words):
    return run(["/bin/sh", "-c", 'ulimit -n "$0" && exec "$@"', str(limit), *GEVENTRELAY, *words])


@pytest.fixture
def streamer(start, peers):
    """Starts a streamer, with a client and a worker that it knows. It ends what it has just accepted, not peers."""

    def start_it(*words):
        server = start(*words, "--log-level", "debug")
        client, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
        for key in ("frontend", "backend"):
            server.until_logged(f" connected device=streamer socket={key} ")
        return server, client, worker

    return start_it


# From the fewest with which the interpreter finds its modules to more than are needed.
@pytest.mark.parametrize("limit", [*range(6, 20, 3), *range(20, 40)])
def test_a_start_either_succeeds_or_ends_with_one_sentence(run, folder, limit):
    ready = folder / "ready.json"
    server = limited(run, limit, *STREAMER, "--http", "127.0.0.1:0", "--ready-file", str(ready))
    server.until(lambda: ready.exists() or not server.lives, "ready file, or the end")
    if server.lives:
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.report()
        balanced(server.output)
        return
    assert server.wait() == 1, server.report()
    sentence = server.errors.splitlines()[-1]
    assert "Too many open files" in sentence or "free file descriptors" in sentence
    assert "Traceback" not in server.errors
    assert not ready.exists()


# Their starts take turns at every name that is looked up, and take descriptors from each other.
@pytest.mark.parametrize("limit", [40, 46] if ZMTP else [60, 66])
def test_many_devices_that_start_at_once_end_with_one_sentence_too(run, folder, limit):
    sockets = "".join(f'{key} = "tcp://127.0.0.1:0"\n' for key in ("frontend", "backend", "control"))
    (folder / "relay.toml").write_text("".join(f'[device.d{n}]\npattern = "streamer"\n{sockets}' for n in range(6)))
    server = limited(run, limit, "run", str(folder / "relay.toml"))
    assert server.wait() == 1, server.report()
    assert "Too many open files" in server.errors.splitlines()[-1]


@pytest.mark.parametrize("words", [["--version"], ["ctl", "1", "pause"], ["tap", "1"], ["check", "/dev/null"]])
def test_every_command_says_that_there_are_too_few(run, words):
    program = limited(run, 12, *words)
    assert program.wait() == 1, program.report()
    (line,) = program.errors.splitlines()
    assert line.startswith("cannot start: expected at least 16 free file descriptors, got ")


def test_what_the_end_of_a_context_needs_is_loaded_before_descriptors_run_out():
    program = "import sys, geventrelay.engine.libzmq; sys.exit('gevent.threadpool' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 0


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux changes the limits of other processes")
def test_a_stop_needs_no_descriptor(start, peers):
    server = start(*STREAMER)
    process = psutil.Process(server.pid)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), process.num_fds()))
    assert server.stop()["held"] == 0
    assert not server.ready_file.exists()


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux changes the limits of other processes")
def test_without_free_descriptors_new_connections_are_ended_and_peers_stay(streamer):
    server, client, worker = streamer(*STREAMER, "--http", "127.0.0.1:0")
    client.send(b"before")
    assert worker.recv() == [b"before"]
    url = json.loads(server.ready_file.read_text())["http"]
    process = psutil.Process(server.pid)
    limit = process.num_fds() + 12
    process.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
    host, _, port = server["frontend"].removeprefix("tcp://").rpartition(":")
    for _ in range(5):
        # The server may end it before connect() has returned here, or when it has sent its greeting.
        with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), timeout=10) as late:
            while late.recv(1000):
                pass
    server.until_logged("kept-off device=streamer socket=frontend connections=")
    client.send(b"after")
    assert worker.recv() == [b"after"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/readyz", timeout=10)
    assert refused.value.code == 503
    assert b"file descriptors are free" in refused.value.read()
    with urllib.request.urlopen(f"{url}/api/devices", timeout=10) as answer:
        assert b'"kept_off"' in answer.read()
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        assert answer.status == 200
    server.stop()


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux changes the limits of other processes")
def test_a_connection_that_finds_no_free_descriptor_is_ended_all_the_same(streamer):
    server, client, worker = streamer(*STREAMER)
    client.send(b"before")
    assert worker.recv() == [b"before"]
    process = psutil.Process(server.pid)
    # Without a spare, none of these would be accepted: libzmq would try for ever.
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), process.num_fds()))
    host, _, port = server["frontend"].removeprefix("tcp://").rpartition(":")
    for _ in range(5):
        with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), timeout=10) as late:
            while late.recv(1000):
                pass
    client.send(b"after")
    assert worker.recv() == [b"after"]
    server.stop()


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux changes the limits of other processes")
def test_connections_over_ipc_are_ended_too_while_few_descriptors_are_free(streamer, folder):
    path = folder / "front"
    server, client, worker = streamer(
        "streamer", "--frontend", f"ipc://{path}", "--backend", "0", "--interface", "127.0.0.1"
    )
    process = psutil.Process(server.pid)
    limit = process.num_fds() + 12
    process.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
    for _ in range(20):
        with contextlib.suppress(ConnectionError), socket.socket(socket.AF_UNIX) as late:
            late.settimeout(10)
            late.connect(str(path))
            while late.recv(1000):
                pass
    server.until_logged("kept-off device=streamer socket=frontend connections=")
    client.send(b"after")
    assert worker.recv() == [b"after"]
    server.stop()


@libzmq_only("without one, libzmq aborts, so few may wait")
def test_few_connections_wait_at_an_ipc_endpoint_where_few_descriptors_are_free(run, folder):
    path, ready = folder / "front", folder / "ready.json"
    ends = ["--frontend", f"ipc://{path}", "--backend", "0", "--interface", "127.0.0.1"]
    server = limited(run, 300, "streamer", *ends, "--ready-file", str(ready))
    server.until(ready.exists, "ready file")
    # A burst that comes while the server has no processor: libzmq would accept all of it before it heard of the first.
    server.signal(signal.SIGSTOP)
    with contextlib.ExitStack() as waiting, pytest.raises(BlockingIOError):
        # The kernel takes one more than it is asked for, and the server may not have stopped yet.
        for _ in range(20):
            one = waiting.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            one.connect(str(path))
    server.signal(signal.SIGCONT)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
