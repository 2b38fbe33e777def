"""Names as a user writes them: hosts that have IPv6 alone, bytes that are not UTF-8, hosts that can be none."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import zmq
from support.process import GEVENTRELAY, SLOW_BURST, environment

from geventrelay.testing import Peers, eventually

LOCAL = "tcp://127.0.0.1:0"
# Python has a mode for the C locale, which sets other things than a user without it finds.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
ODD = os.fsdecode(b"\xff\xc3\xa9")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def called(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GEVENTRELAY, *arguments],
        capture_output=True, text=True, errors="backslashreplace", timeout=30, check=False, env=environment(**environ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "host"),
    [
        pytest.param("tcp://{}", "[::1]", marks=needs_ipv6, id="on IPv6 alone"),
        pytest.param("{}", "[::1]", marks=needs_ipv6, id="on IPv6 alone, without tcp"),
        pytest.param("{}", "127.0.0.1", id="without tcp"),
    ],
)
def test_every_command_reaches_a_device(start, run, peers: Peers, folder, written, host):
    free = written.format(f"{host}:0")
    server = start(
        "streamer", "--frontend", free, "--backend", free, "--control", free, "--tap", free, "--http", f"{host}:0"
    )  # fmt: skip

    def at(key: str) -> str:
        return written.format(server[key].removeprefix("tcp://"))

    assert called("ctl", at("control"), "statistics").returncode == 0
    http = json.loads(server.ready_file.read_text())["http"]
    assert called("top", http, "--once").returncode == 0
    file = folder / "recording"
    watchers = [
        run([*GEVENTRELAY, "tap", at("tap"), "--count", "1"]),
        run([*GEVENTRELAY, "record", file, "--from", at("tap"), "--count", "1"]),
    ]
    pusher = peers.connect(zmq.PUSH, server["frontend"], ipv6=1)
    puller = peers.connect(zmq.PULL, server["backend"], ipv6=1)

    def all_have_seen_one() -> bool:
        pusher.send(b"task")
        puller.recv()
        return not any(one.lives for one in watchers)

    eventually(all_have_seen_one, "each watcher to see a message", 20)
    assert [one.wait() for one in watchers] == [0, 0]
    sent = called("replay", str(file), "--to", at("frontend"), "--type", "PUSH", "--timeout", "10")
    assert sent.returncode == 0, sent
    assert puller.recv() == [b"task"]


COMMANDS = {
    "device": ["streamer", "--frontend", f"tcp://x{ODD}:5", "--backend", LOCAL],
    "http": ["streamer", "--frontend", LOCAL, "--backend", LOCAL, "--http", f"{ODD}:0"],
    "name": ["streamer", "--frontend", LOCAL, "--backend", LOCAL, "--name", ODD],
    "file": ["check", f"/nowhere/{ODD}"],
    "folder": ["streamer", "--frontend", f"ipc:///nowhere/{ODD}", "--backend", LOCAL],
    "ready file": ["streamer", "--frontend", LOCAL, "--backend", LOCAL, "--ready-file", f"/nowhere/{ODD}"],
    "control": ["ctl", f"tcp://{ODD}:5", "pause"],
    "control path": ["ctl", f"ipc:///nowhere/{ODD}", "pause", "--timeout", "0.1"],
    "tap": ["tap", f"tcp://{ODD}:5", "--seconds", "0"],
    "tap path": ["tap", f"@ipc:///nowhere/{ODD}", "--seconds", "0"],
    "device over HTTP": ["tap", "http://127.0.0.1:1", "--device", ODD, "--seconds", "0"],
    "last values": ["last", f"tcp://{ODD}:5", ODD],
    "last values over HTTP": ["last", "http://127.0.0.1:1", ODD, "--device", ODD],
    "recording": ["replay", f"/nowhere/{ODD}", "--to", LOCAL],
    "target": ["replay", "/dev/null", "--to", f"tcp://{ODD}:5"],
    "command": [ODD],
    "option": ["streamer", "--frontend", LOCAL, "--backend", LOCAL, f"--{ODD}"],
}


@pytest.mark.parametrize("environ", [{}, ASCII], ids=["UTF-8", "ASCII"])
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_bytes_that_are_not_utf_8_are_refused_in_one_line(arguments, environ):
    done = called(*arguments, **environ)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if not SLOW_BURST.search(line)]) == 1, done.stderr


@pytest.mark.parametrize("environ", [{}, ASCII], ids=["UTF-8", "ASCII"])
def test_a_path_of_any_bytes_works_in_any_locale(run, peers: Peers, folder, environ):
    front, back, ready = (str(folder / f"{name}{ODD}") for name in ("front", "back", "ready"))
    server = run(
        [
            *GEVENTRELAY, "streamer", "--frontend", f"ipc://{front}", "--backend", f"ipc://{back}",
            "--ready-file", ready, "--log-level", "debug", "--http", "0",
        ],
        env=environment(**environ),
    )  # fmt: skip
    server.until(lambda: os.path.exists(ready), "ready file")
    with open(ready) as file:
        state = json.load(file)
    assert [os.fsencode(one) for one in state["endpoints"]["frontend"]] == [b"ipc://" + os.fsencode(front)]
    with socket.create_connection(("127.0.0.1", int(state["http"].rpartition(":")[2]))) as client:
        client.sendall(b"GET /api/devices HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").readline().split()[1] == b"200"
    pusher, puller = peers.connect(zmq.PUSH, f"ipc://{front}"), peers.connect(zmq.PULL, f"ipc://{back}")
    pusher.send(b"task")
    assert puller.recv() == [b"task"]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert "Traceback" not in server.errors
    assert "Logging error" not in server.errors
    assert not any(os.path.lexists(one) for one in (front, back, ready))


def test_check_prints_what_standard_output_cannot_encode(folder):
    file = folder / "relay.toml"
    file.write_text(
        '[device.d]\npattern = "streamer"\nfrontend = "ipc:///tmp/\u00e9"\nbackend = "ipc:///tmp/${ODD}"\n',
        encoding="utf-8",
    )
    done = called("check", str(file), ODD=ODD, **ASCII)
    assert done.returncode == 0, done
    assert "ipc:///tmp/\\xe9" in done.stdout
    assert "ipc:///tmp/\\udcff" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, paths are UTF-8 in every locale")
def test_a_path_that_the_system_cannot_write_is_refused_with_its_line(folder):
    file = folder / "relay.toml"
    text = 'ready-file = "/tmp/\u00e9"\n[device.d]\npattern = "streamer"\nfrontend = 0\nbackend = 0\n'
    file.write_text(text, encoding="utf-8")
    done = called("check", str(file), **ASCII)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"{file}:1: ready-file: expected a path that can be written in this system's encoding"
    )
    assert called("check", str(file)).returncode == 0


def test_a_reload_with_a_host_that_can_be_none_changes_nothing(run, folder):
    file, ready = folder / "relay.toml", folder / "ready.json"
    device = '[device.{name}]\npattern = "streamer"\nfrontend = "tcp://{host}:0"\nbackend = "tcp://127.0.0.1:0"\n'

    def write(host: str) -> None:
        file.write_text(device.format(name="good", host="127.0.0.1") + device.format(name="odd", host=host))

    write("127.0.0.1")
    server = run([*GEVENTRELAY, "run", file, "--ready-file", ready])
    server.until(ready.exists, "ready file")
    before = json.loads(ready.read_text())["devices"]
    for host in ("a..b", "a" * 64):
        write(host)
        assert called("check", str(file)).returncode == 2
        server.signal(signal.SIGHUP)
        server.until_logged(f"tcp://{host}:0")
    write("127.0.0.1")
    server.signal(signal.SIGHUP)
    server.until_logged(" reloaded ")
    assert json.loads(ready.read_text())["devices"] == before
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert "Traceback" not in server.errors
    assert server.errors.count("reload-failed") == 2


@needs_ipv6
def test_http_over_ipv6(start, run, folder):
    (folder / "token").write_text("secret\n")
    server = start(
        "streamer", "--frontend", "0", "--backend", "0", "--http", "[::1]:0", "--http-token-file", str(folder / "token")
    )
    url = json.loads(server.ready_file.read_text())["http"]
    assert url.startswith("http://[::1]:")
    for where in (url, url.removeprefix("http://")):
        program = run([*GEVENTRELAY, "top", where, "--once", "--json"])
        assert program.wait() == 0, program.report()
        assert json.loads(program.output)["devices"][0]["name"] == "streamer"
    for where in ([url, "--device", "streamer"], [f"{url}/api/devices/streamer/tap"]):
        program = run([*GEVENTRELAY, "tap", *where, "--token-file", str(folder / "token")])
        program.until_logged(f"watching {where[0]}\n")
        program.signal(signal.SIGINT)
        assert program.wait() == 0, program.report()
    server.stop()
