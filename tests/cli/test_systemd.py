"""What systemd tells a server, and what it is told: socket activation, reload, watchdog, unit files."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from support.process import GEVENTRELAY, LIMIT_S, environment, listens

DOCS = Path(__file__).resolve().parents[2] / "docs"

# Run as `python -c ACTIVATE NAMES ADDRESS,ADDRESS,... COMMAND...`: what systemd does before it starts a service.
ACTIVATE = """
import os, socket, sys
names, addresses, command = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
sockets = []
for address in addresses:
    kind, _, rest = address.partition("://")
    one = socket.socket(socket.AF_UNIX if kind == "ipc" else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host, _, port = rest.rpartition(":")
    one.bind(rest if kind == "ipc" else (host, int(port)))
    one.listen()
    # Out of the way of the numbers that they are to have.
    sockets.append(os.dup2(one.fileno(), 100 + len(sockets)))
for number, descriptor in enumerate(sockets, 3):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(command[0], command)
"""


@pytest.fixture
def activate(start, folder, monkeypatch):
    """``activate(names, [address, ...], *arguments)`` starts a server with these listening sockets."""

    def activate(names, addresses, *arguments):
        command = (sys.executable, "-c", ACTIVATE, names, ",".join(addresses), *GEVENTRELAY)
        monkeypatch.setattr("support.process.GEVENTRELAY", command)
        return start(*arguments)

    return activate


def ask(peers, server):
    """One request through a queue and its reply."""
    client, worker = peers.connect(zmq.REQ, server["frontend"]), peers.connect(zmq.REP, server["backend"])
    client.send(b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert client.recv() == [b"answer"]


def test_sockets_are_taken_by_name(activate, peers, folder):
    # Nobody else can bind what stands in the arguments: it is in use.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        addresses = ["tcp://127.0.0.1:0", f"ipc://{folder}/workers"]
        server = activate(
            "q.frontend:q.backend", addresses, "queue", "--frontend", used, "--backend", "0", "--name", "q"
        )
        assert server["frontend"] not in (used, "tcp://127.0.0.1:0")
        assert server["backend"] == addresses[1]
        ask(peers, server)
        assert "unused-descriptor" not in server.errors
        server.stop()


def test_a_file_of_a_socket_that_systemd_has_bound_stays(activate, folder, peers):
    path = f"ipc://{folder}/tasks"
    server = activate("", [path], "queue", "--frontend", path, "--backend", f"ipc://{folder}/own")
    assert server["frontend"] == path
    ask(peers, server)
    server.stop()
    assert (folder / "tasks").is_socket()
    assert not (folder / "own").exists()


def test_without_names_sockets_are_taken_by_address(activate, peers, folder):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        server = activate("", [address], "queue", "--frontend", address, "--backend", "0")
        assert server["frontend"] == address
        ask(peers, server)
        server.stop()


def test_a_socket_that_nobody_uses_is_an_error_line(activate):
    server = activate("typo.frontend", ["tcp://127.0.0.1:0"], "queue", "--frontend", "0", "--backend", "0")
    server.until_logged("unused-descriptor")
    (line,) = [line for line in server.errors.splitlines() if "unused-descriptor" in line]
    assert "ERROR" in line
    assert "descriptor=3 name=typo.frontend address=tcp://127.0.0.1:" in line
    server.stop()


TWO = """
[device.one]
pattern = "queue"
frontend = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:0"
{more}
"""


@pytest.fixture
def notified(folder):
    """A socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(LIMIT_S)
        notify.bind(f"{folder}/notify")
        yield notify


def states(notify, last):
    """What has been said up to the state `last`."""
    found = []
    while not found or found[-1] != last:
        found.append(notify.recv(1000).decode())
    return found


def test_a_restart_after_a_reload_uses_the_same_socket_again(activate, folder, peers):
    file = folder / "relay.toml"
    file.write_text(TWO.format(more=""))
    server = activate_file(activate, file, ["one.frontend"])
    frontend = server_endpoint(server, "one", "frontend")
    file.write_text(TWO.format(more="heartbeat = 0"))
    server.signal(signal.SIGHUP)
    server.until_logged("reloaded")
    assert server_endpoint(server, "one", "frontend") == frontend
    assert listens(frontend)
    server.stop()


def activate_file(activate, file, names):
    return activate(":".join(names), ["tcp://127.0.0.1:0"] * len(names), "run", str(file))


def server_endpoint(server, device, key):
    (endpoint,) = json.loads(server.ready_file.read_text())["devices"][device][key]
    return endpoint


def test_systemd_hears_of_a_reload(start, folder, notified):
    file = folder / "relay.toml"
    file.write_text(TWO.format(more=""))
    server = start("run", str(file), env=environment(NOTIFY_SOCKET=f"{folder}/notify"))
    assert states(notified, "STATUS=1 of 1 devices up")[0] == "READY=1"
    file.write_text(TWO.format(more="") + TWO.format(more="").replace("device.one", "device.two"))
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.signal(signal.SIGHUP)
    said = states(notified, "READY=1")
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", said[0])
    assert match
    assert before <= int(match[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert "STATUS=2 of 2 devices up" in said
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert notified.recv(1000) == b"STOPPING=1"


def test_a_reload_with_an_error_changes_nothing_and_says_why(start, folder, notified):
    file = folder / "relay.toml"
    file.write_text(TWO.format(more=""))
    server = start("run", str(file), env=environment(NOTIFY_SOCKET=f"{folder}/notify"))
    states(notified, "STATUS=1 of 1 devices up")
    before = server.ready_file.read_text()
    file.write_text(TWO.format(more="sndhwn = 5"))
    server.signal(signal.SIGHUP)
    server.until_logged("reload-failed")
    assert [line for line in server.errors.splitlines() if "reload-failed" in line and "sndhwm" in line]
    assert states(notified, "READY=1")[0].startswith("RELOADING=1")
    assert server.ready_file.read_text() == before
    server.stop()


def test_the_watchdog_hears_of_a_server_at_half_its_time(start, folder, notified):
    env = environment(NOTIFY_SOCKET=f"{folder}/notify", WATCHDOG_USEC="100000")
    server = start("streamer", "--frontend", "0", "--backend", "0", env=env)
    states(notified, "WATCHDOG=1")
    began = time.monotonic()
    for _ in range(4):
        states(notified, "WATCHDOG=1")
    assert time.monotonic() - began >= 0.1
    # A process whose hub does not run says nothing.
    server.signal(signal.SIGSTOP)
    notified.settimeout(0.3)
    with pytest.raises(TimeoutError):
        while True:
            notified.recv(100)
    server.signal(signal.SIGCONT)
    notified.settimeout(LIMIT_S)
    states(notified, "WATCHDOG=1")
    server.stop()


def test_a_watchdog_of_another_process_is_none_of_ours(start, folder, notified):
    env = environment(NOTIFY_SOCKET=f"{folder}/notify", WATCHDOG_USEC="100000", WATCHDOG_PID=str(os.getpid()))
    server = start("streamer", "--frontend", "0", "--backend", "0", env=env)
    states(notified, "STATUS=1 of 1 devices up")
    notified.settimeout(0.3)
    with pytest.raises(TimeoutError):
        notified.recv(100)
    server.stop()


UNITS = ["geventrelay.service", "geventrelay.socket"]


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # keys have capitals
    parser.read_string((DOCS / name).read_text())
    return parser


def test_the_service_says_what_the_server_does():
    service = unit("geventrelay.service")["Service"]
    assert service["Type"] == "notify"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["ExecStart"].split()[1:3] == ["run", "/etc/geventrelay.toml"]
    assert float(service["WatchdogSec"]) > 0


def test_the_socket_names_a_device_and_its_socket():
    section = unit("geventrelay.socket")["Socket"]
    assert re.fullmatch(r"\w+\.frontend", section["FileDescriptorName"])
    assert section["ListenStream"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units(name, folder):
    for one in UNITS:
        text = (DOCS / one).read_text()
        (folder / one).write_text(re.sub(r"^(ExecStart=)\S+", rf"\1{sys.executable}", text, flags=re.M))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", folder / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_the_service_is_hardly_exposed(folder):
    shutil.copy(DOCS / "geventrelay.service", folder)
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager"]
    done = subprocess.run(
        [*command, folder / "geventrelay.service"], capture_output=True, text=True, check=False, timeout=30
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout


def test_the_service_has_its_token_from_systemd():
    service = unit("geventrelay.service")["Service"]
    assert service["LoadCredential"].startswith("http-token:/etc/")
    assert service["SetCredential"] == "http-token:!"
    assert service["CapabilityBoundingSet"] == ""
    assert service["UMask"] == "0077"


def test_it_runs_with_a_token_that_is_a_credential(start, folder):
    (folder / "http-token").write_text("s3cret\n")
    (folder / "http-token").chmod(0o400)
    config = folder / "relay.toml"
    config.write_text(
        'http = "127.0.0.1:0"\nhttp-token-file = "${CREDENTIALS_DIRECTORY}/http-token"\n'
        '[device.a]\npattern = "streamer"\nfrontend = "tcp://127.0.0.1:0"\nbackend = "tcp://127.0.0.1:0"\n'
    )
    server = start("run", str(config), env=environment(CREDENTIALS_DIRECTORY=str(folder)))
    server.stop()
