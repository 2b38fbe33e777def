"""What a server tells whoever started it: ready file, log, systemd's notify socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket

import pytest
from support.process import GEVENTRELAY, LIMIT_S, environment

SIDES = {
    "relay": ["--sub-port", "0", "--pub-port", "0", "--push-port", "0"],
    "forwarder": ["--frontend", "0", "--backend", "0"],
    "queue": ["--frontend", "0", "--backend", "0"],
    "streamer": ["--frontend", "0", "--backend", "0"],
    "custom": ["--frontend-type", "PULL", "--frontend", "0", "--backend-type", "PUB", "--backend", "0"],
}


@pytest.mark.parametrize("pattern", SIDES)
def test_ready_file_says_who_is_where_and_goes_at_exit(start, folder, pattern):
    server = start(pattern, *SIDES[pattern])
    state = json.loads(server.ready_file.read_text())
    assert set(state) == {"device", "pid", "endpoints", "devices"}
    assert state["devices"] == {pattern: state["endpoints"]}
    assert state["device"] == pattern
    assert state["pid"] == server.pid
    assert list(state["endpoints"]) == (["sub", "pub", "push"] if pattern == "relay" else ["frontend", "backend"])
    for endpoints in state["endpoints"].values():
        (endpoint,) = endpoints
        assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d*", endpoint)
    server.stop()
    assert not server.ready_file.exists()
    assert [path.name for path in folder.iterdir() if "ready" in path.name] == []


def test_ready_file_replaces_an_old_one_in_one_step(start, folder):
    path = folder / "again.json"
    path.write_text('{"pid": 1, "old": true}')
    with path.open() as before:
        server = start("relay", *SIDES["relay"], ready_file=path)
        # Whoever has the old one open goes on seeing all of it.
        assert before.read() == '{"pid": 1, "old": true}'
    assert json.loads(path.read_text())["pid"] == server.pid
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "content", [
        "http = 8080\n", "[]", '{"pid": null}', '{"pid": Infinity}', '{"pid": 1e999}', '{"pid": -1}', '{"pid": true}',
        '{"pid": "1/../1"}', '{"pid": ' + "9" * 5000 + "}", '{"pid": ' + "9" * 300 + "}", "[" * 100_000,
    ],
    ids=lambda content: content[:20],
)  # fmt: skip
def test_a_file_that_is_no_ready_file_is_nobodys_to_overwrite(run, folder, content):
    path = folder / "precious.toml"
    path.write_text(content)
    program = run([*GEVENTRELAY, "streamer", *SIDES["streamer"], "--ready-file", path])
    assert program.wait() == 1
    assert program.errors.splitlines()[-1] == (
        f"cannot write {path} (--ready-file): the path exists and is not a ready file"
    )
    assert path.read_text() == content


@pytest.mark.parametrize("name", ["fifo", "x" * 300, "file/x"])
def test_a_path_that_cannot_be_a_ready_file_is_told(run, folder, name):
    os.mkfifo(folder / "fifo")
    (folder / "file").touch()
    program = run([*GEVENTRELAY, "streamer", *SIDES["streamer"], "--ready-file", folder / name])
    assert program.wait() == 1
    assert program.errors.splitlines()[-1].startswith(f"cannot write {folder / name} (--ready-file): ")
    assert "Traceback" not in program.errors


def test_an_empty_file_may_become_the_ready_file_and_a_device_may_not(start, run, folder):
    path = folder / "empty"
    path.touch()
    server = start("relay", *SIDES["relay"], ready_file=path)
    assert json.loads(path.read_text())["pid"] == server.pid
    program = run([*GEVENTRELAY, "streamer", *SIDES["streamer"], "--ready-file", "/dev/zero"])
    assert program.wait() == 1
    assert "/dev/zero (--ready-file)" in program.errors


def test_a_ready_file_of_a_server_that_runs_is_taken_with_a_warning(start, folder):
    path = folder / "both.json"
    first = start("relay", *SIDES["relay"], ready_file=path)
    second = start("streamer", *SIDES["streamer"], ready_file=path)
    second.until_logged("ready-file-taken")
    assert f"pid={first.pid}" in second.errors


def test_ready_file_is_left_alone_by_a_server_that_could_not_start(start, run):
    first = start("streamer", *SIDES["streamer"])
    ends = ["--frontend", first["frontend"], "--backend", "0"]
    second = run([*GEVENTRELAY, "streamer", *ends, "--ready-file", first.ready_file])
    assert second.wait() == 1
    assert json.loads(first.ready_file.read_text())["pid"] == first.pid


def test_every_endpoint_stands_in_the_log_on_a_line_of_its_own(start):
    server = start("relay", *SIDES["relay"])
    server.until_logged("socket=push")
    for key, (endpoint,) in server.endpoints.items():
        lines = [line for line in server.errors.splitlines() if line.endswith(endpoint)]
        assert len(lines) == 1
        assert f"bound device=relay socket={key} endpoint={endpoint}" in lines[0]


def test_log_level_error_logs_nothing_of_a_good_run(start):
    server = start("relay", *SIDES["relay"], "--interface", "*", "--log-level", "error")
    server.stop()
    assert server.errors == ""


@pytest.mark.parametrize("interface", ["*", "0.0.0.0"])
def test_each_socket_that_is_open_to_every_host_is_warned_of(start, interface):
    server = start("relay", *SIDES["relay"], "--interface", interface)
    server.stop()
    warnings = [line for line in server.errors.splitlines() if "WARNING" in line]
    assert [re.findall(r"socket=(\w+)", line) for line in warnings] == [["sub"], ["pub"], ["push"]]


def test_control_and_tap_are_for_this_host_and_warned_of_where_they_are_not(start):
    server = start("streamer", *SIDES["streamer"], "--control", "0", "--tap", "0", "--interface", "*")
    server.stop()
    assert re.findall(r"open-to-every-host device=streamer socket=(control|tap) ", server.errors) == ["control", "tap"]
    assert server.errors.count('advice="--interface 127.0.0.1 (in a file: interface) keeps it to this host"') == 4

    ends = ("--frontend", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:0")
    server = start("streamer", *ends, "--control", "0", "--tap", "0")
    assert all(one.startswith("tcp://127.0.0.1:") for (one,) in server.endpoints.values())
    server.stop()
    assert "WARNING" not in server.errors

    server = start("streamer", *ends, "--control", "tcp://*:0", "--tap", "tcp://0.0.0.0:0")
    server.stop()
    assert 'advice="tcp://127.0.0.1:0 in place of tcp://*:0 keeps it to this host"' in server.errors
    assert 'advice="tcp://127.0.0.1:0 in place of tcp://0.0.0.0:0 keeps it to this host"' in server.errors


@pytest.mark.parametrize("interface", ["127.0.0.1", "lo", "localhost"])
def test_local_sockets_are_not_warned_of(start, interface):
    server = start("relay", *SIDES["relay"], "--interface", interface)
    assert all(one.startswith("tcp://127.0.0.1:") for (one,) in server.endpoints.values())
    server.stop()
    assert "WARNING" not in server.errors


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_of_ready_and_of_stopping(start, folder, kind):
    path = f"{folder}/notify" if kind == "path" else f"@relay-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(LIMIT_S)
        notify.bind("\0" + path[1:] if path.startswith("@") else path)
        server = start("streamer", *SIDES["streamer"], env=environment(NOTIFY_SOCKET=path))
        assert notify.recv(100) == b"READY=1"
        assert notify.recv(100) == b"STATUS=1 of 1 devices up"
        server.stop(signal.SIGINT)
        assert notify.recv(100) == b"STOPPING=1"
        notify.setblocking(False)
        with pytest.raises(BlockingIOError):
            notify.recv(100)


def test_a_notify_socket_that_nobody_listens_on_stops_no_messages(start, folder):
    server = start("streamer", *SIDES["streamer"], env=environment(NOTIFY_SOCKET=f"{folder}/nobody"))
    server.until_logged('notify-failed state="READY=1"')
    server.stop()
