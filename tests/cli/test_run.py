"""geventrelay run, check and init, as a user types them."""

from __future__ import annotations

import json
import re
import signal

import pytest
import zmq
from support.process import GEVENTRELAY, balanced, environment

from geventrelay.cli.commands.init import EXAMPLE

BOTH = """
log-level = "debug"
ready-file = "${READY:-never-written.json}"

[device.tasks]
pattern = "streamer"
frontend = "tcp://127.0.0.1:${PORT}"
backend.bind = "tcp://127.0.0.1:0"
backend.tcp-keepalive = true

[device.orders]
pattern = "queue"
frontend = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:0"
"""
WRONG = """
[device.tasks]
pattern = "streamer"
frontend = 5555
backnd = 5556
sndhwm = "${NOT_SET_ANYWHERE}"
"""


@pytest.fixture
def configuration(folder):
    """Writes a configuration file."""

    def write(text):
        path = folder / "relay.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def running(run, folder):
    """Runs a configuration file until it is ready, and returns the process and its devices' endpoints."""

    def start(path, *options, **environ):
        ready = folder / "is-ready.json"
        # Only what is said on the command line may stand between this and the file.
        program = run([*GEVENTRELAY, "run", path, "--ready-file", ready, *options], env=environment(**environ))
        program.until(ready.exists, "ready file")
        state = json.loads(ready.read_text())
        assert state["pid"] == program.pid
        return program, state["devices"]

    return start


def ended(program):
    """End it; its accounting by device."""
    program.signal(signal.SIGTERM)
    assert program.wait() == 0, program.report()
    assert "Traceback" not in program.errors, program.report()
    lines = program.output.splitlines()
    return {re.match(r"accounting device=(\S+)", line)[1]: balanced(line + "\n") for line in lines}


def ask(peers, endpoints):
    """Send a request through a queue."""
    client = peers.connect(zmq.REQ, *endpoints["frontend"])
    worker = peers.connect(zmq.REP, *endpoints["backend"])
    client.send(b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert client.recv() == [b"answer"]


def test_every_device_of_a_file_runs(running, configuration, peers):
    program, devices = running(configuration(BOTH), PORT="0")
    assert list(devices) == ["tasks", "orders"]
    peers.connect(zmq.PUSH, *devices["tasks"]["frontend"]).send(b"task")
    assert peers.connect(zmq.PULL, *devices["tasks"]["backend"]).recv() == [b"task"]
    ask(peers, devices["orders"])
    counts = ended(program)
    assert counts["tasks"]["backend.sent"] == 1
    assert counts["orders"]["backend.sent"] == counts["orders"]["frontend.sent"] == 1


def test_options_on_the_command_line_win_over_the_files(running, configuration, folder):
    program, _ = running(configuration(BOTH), "--log-level", "error", PORT="0", READY=str(folder / "other.json"))
    assert not (folder / "other.json").exists()
    ended(program)
    assert program.errors == ""


def test_check_says_what_would_run_and_opens_nothing(run, configuration):
    more = "\n[device.more]\npub-port = '>tcp://no-such-host.invalid:1'\nsub.bind = ['ipc:///no/such/folder']\n"
    path = configuration(BOTH.replace("${PORT}", "0") + more)
    program = run([*GEVENTRELAY, "check", path])
    assert program.wait() == 0, program.report()
    assert program.errors == ""
    assert program.output.splitlines() == [
        f"{path}: 3 devices, no http",
        "tasks: streamer",
        "  frontend  PULL    binds tcp://127.0.0.1:0",
        "  backend   PUSH    binds tcp://127.0.0.1:0",
        "orders: queue",
        "  frontend  ROUTER  binds tcp://127.0.0.1:0",
        "  backend   DEALER  binds tcp://127.0.0.1:0",
        "more: relay",
        "  sub  SUB     binds ipc:///no/such/folder",
        "  pub  PUB     connects to tcp://no-such-host.invalid:1",
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_file_is_told_problem_by_problem_with_exit_code_2(run, configuration, command):
    path = configuration(WRONG)
    program = run([*GEVENTRELAY, command, path])
    assert program.wait() == 2, program.report()
    assert program.output == ""
    first, second, third = program.errors.splitlines()
    assert first.startswith(f"{path}:2: device.tasks.backend: expected tcp://HOST:PORT, ipc://PATH, ")
    assert second == f"{path}:5: device.tasks.backnd: expected a known key (did you mean backend?), got 'backnd'"
    rule = "the environment variable NOT_SET_ANYWHERE to be set"
    assert third == f"{path}:6: device.tasks.sndhwm: expected {rule}, got nothing"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ["usage", "run FILE"]),
        (["check"], ["usage", "check FILE"]),
        (["run", "missing.toml"], ["missing.toml: cannot be read: No such file or directory"]),
        (["run", "one.toml", "two.toml"], ["usage", "run FILE"]),
        (["run", "relay.toml", "--sndhwm", "5"], ["--sndhwm", "a command that has it (relay, ", "'run'"]),
        (["check", "relay.toml", "--fail-fast"], ["--fail-fast", "a command that has it (", "'check'"]),
        (["run", "relay.toml", "--http", "x"], ["--http: expected HOST:PORT"]),
        (["rum", "relay.toml"], ["usage", "did you mean run?"]),
        (["init", "relay.toml"], ["usage: expected init alone", "geventrelay init > relay.toml"]),
    ],
)
def test_wrong_usage_is_told_in_one_line(run, configuration, arguments, words):
    configuration(EXAMPLE)
    program = run([*GEVENTRELAY, *arguments])
    assert program.wait() == 2, program.report()
    assert program.output == ""
    (line,) = program.errors.splitlines()
    for word in words:
        assert word in line


def test_the_example_is_right_as_it_is_printed_and_what_it_keeps_in_comments_too(run, configuration):
    program = run([*GEVENTRELAY, "init"])
    assert program.wait() == 0
    assert program.output == EXAMPLE
    checked = run([*GEVENTRELAY, "check", configuration(program.output)])
    assert checked.wait() == 0, checked.report()
    assert checked.output.splitlines()[0].endswith("relay.toml: 2 devices, http on 127.0.0.1:8080")
    # A line like `# key = value` is one to be used.
    every = re.sub(r"(?m)^# (?=[a-z-]+ = )", "", EXAMPLE)
    assert every.count("\n# ") < EXAMPLE.count("\n# ")
    checked = run([*GEVENTRELAY, "check", configuration(every)])
    assert checked.wait() == 0, checked.report()


def test_the_example_runs_and_messages_pass(run, running, configuration, peers):
    program = run([*GEVENTRELAY, "init"])
    assert program.wait() == 0
    # As it is, but for the ports: other tests may be running here.
    text, count = re.subn(r'(?m)^([a-z]+ = "(?:tcp://)?127\.0\.0\.1):\d+"', r'\1:0"', program.output)
    assert count == 5
    program, devices = running(configuration(text))
    publisher = peers.connect(zmq.XPUB, *devices["prices"]["frontend"])
    subscriber = peers.connect(zmq.SUB, *devices["prices"]["backend"], subscribe=b"prices")
    assert publisher.recv() == [b"\x01prices"]
    publisher.send(b"prices 1")
    assert subscriber.recv() == [b"prices 1"]
    ask(peers, devices["orders"])
    assert set(ended(program)) == {"prices", "orders"}


THROUGH_A_PROXY = """
[device.orders]
pattern = "queue"
frontend = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:0"

[device.away]
pattern = "streamer"
frontend = "tcp://127.0.0.1:0"
sndhwm = ${HWM}
backend.connect = "tcp://127.0.0.1:1"
backend.socks-proxy = "127.0.0.1:1"
"""


def test_a_proxy_that_is_down_ends_nothing_at_a_reload_or_a_stop(running, configuration, peers):
    path = configuration(THROUGH_A_PROXY.replace("${HWM}", "10"))
    program, devices = running(path)
    program.until_logged("proxy-failed device=away")
    configuration(THROUGH_A_PROXY.replace("${HWM}", "20"))
    program.signal(signal.SIGHUP)
    program.until_logged("reloaded unchanged=1 added=0 removed=0 changed=1")
    ask(peers, devices["orders"])
    program.until(lambda: program.errors.count("proxy-failed device=away") > 1, "another try")
    ended(program)
