"""Every command that README.rst and docs show is run, as it stands there: on other ports, in a folder of its own.

A block of commands is one session. A server runs until the next one begins; what goes on until Ctrl-C gets one.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.process import SCRIPTS, environment

from geventrelay.cli import command
from geventrelay.settings import PATTERNS
from geventrelay.testing import eventually

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]
PROGRAMS = (
    "geventrelay",
    "scripts/",
    "curl",
    "pip",
    "pipx",
    "python",
    "sudo",
    "apt-get",
    "systemctl",
    "docker",
)

NOT_RUN = {
    "pip install": "it installs, from a network",
    "scripts/quickstart": "it installs, from a network; .ci/run runs it",
    "scripts/test": "it is running",
    "scripts/bench": "it takes minutes; tests/cli/test_bench.py and tests/unit/test_bench.py run its parts",
    "geventrelay ctl 5557 reload": "that server has no file to read again; tests/cli/test_ctl.py reloads one that has",
    "geventrelay trace": "it needs NATS and another relay; tests/cli/test_trace.py has both",
    "geventrelay ctl 5557 statistics --curve": "it needs a device with keys; tests/cli/test_client_keys.py has one",
    "geventrelay tap 5558 --plain": "likewise",
    "scripts/push --curve": "likewise; tests/cli/test_clients.py has one",
}
"""Commands by their beginning, with the reason why no test runs them as they stand."""

# What has to run already, by the first line of a block.
BEFORE = {
    "scripts/sub 5556 --subscribe": "geventrelay --sub-port 5555 --pub-port 5556 --push-port 5557",
    "scripts/sub 5566": "geventrelay --sub-port 5555 --pub-port 5566",
    "scripts/sub 5556": "geventrelay forwarder --frontend 5555 --backend 5556",
    "geventrelay last http:": (
        "geventrelay forwarder --frontend 5555 --backend 5556 --last-value --name weather --http 8080"
        " --http-token-file token"
    ),
    "geventrelay last 5556": "geventrelay forwarder --frontend 5555 --backend 5556 --last-value",
    'curl -X POST -H "Authorization: Bearer $(cat token)" \'http': (
        "geventrelay --sub-port 5555 --pub-port 5556 --name prices --backbone nats://127.0.0.1:4222 --http 8080"
        " --http-token-file token"
    ),
    "curl -H": (
        "geventrelay forwarder --frontend 5555 --backend 5556 --last-value --name weather --http 8080"
        " --http-token-file token"
    ),
    "geventrelay tap 5560 --direction": "geventrelay streamer --frontend 5555 --backend 5556 --tap 5560",
    "geventrelay tap http:": (
        "geventrelay streamer --frontend 5555 --backend 5556 --name tasks --http 8080 --http-token-file token"
    ),
    "geventrelay top": "geventrelay queue --frontend 5555 --backend 5556 --http 8080",
}
INSTEAD = {
    "--rate 100 --count 6000": "--rate 1000 --count 20",
    "relay-host:": "127.0.0.1:",
    # What is in front is not on the wire: a message begins with where it came in.
    "--direction backend --topic prices": "--topic prices",
    "--sample 100": "--sample 2",
    "geventrelay passwd users alice": "geventrelay passwd users alice <<< secret",
    "> relay.toml": "> relay.toml"
    """ && sed -i -e 's/= "tcp:..127.0.0.1:[0-9]*"/= "tcp:\\/\\/127.0.0.1:0"/' -e s/:[8]080/:8080/ relay.toml""",
}
_PORT = re.compile(r"\b(?:[56]5[56]\d|8080)\b")


def blocks(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of each block of a page, with the place of the first."""
    lines, found, first = page.read_text().replace("\\\n", " ").splitlines(), [], 0
    for number, line in enumerate([*lines, "the end"], 1):
        if line.startswith("    ") and line.strip().startswith(PROGRAMS) and line[4] != " " and " " in line.strip():
            first = number if not found else first
            found.append(re.sub(r"\s+#.*", "", line.strip()))
        elif line.strip() and not line.startswith("    ") and found:
            yield f"{page.relative_to(ROOT)}:{first}", found
            found = []


SESSIONS = [pytest.param(lines, id=place) for page in PAGES for place, lines in blocks(page)]


def test_no_reason_is_left_over_and_most_commands_run():
    lines = [line for session in SESSIONS for line in session.values[0]]
    assert [start for start in (*NOT_RUN, *BEFORE) if not any(line.startswith(start) for line in lines)] == []
    assert sum(line.startswith(tuple(NOT_RUN)) for line in lines) < len(lines) / 6
    assert len(lines) > 80


class Ports:
    """A port of this machine for each port that docs name; held, so that the kernel gives it to no other program."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._known: dict[str, int] = {}

    def in_place(self, text: str) -> str:
        """The `text` with them in place."""
        return _PORT.sub(lambda found: str(self._of(found[0])), text)

    def _of(self, port: str) -> int:
        if port not in self._known:
            holder = self._stack.enter_context(socket.socket())
            # Not one of those that the kernel gives to who asks for any: with SO_REUSEADDR, it may give one twice.
            for number in random.sample(range(12_000, 32_000), 100):
                with contextlib.suppress(OSError):
                    holder.bind(("127.0.0.1", number))
                    break
            # As libzmq does; two such sockets may share a port as long as one of them at most listens.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._known[port] = holder.getsockname()[1]
        return self._known[port]


@contextlib.contextmanager
def traffic(line: str) -> Iterator[None]:
    """Messages through the server of a `line`, for those who watch, without a pause."""
    ends = dict(re.findall(r"--(frontend|backend|sub-port) '?(\d+)", line))
    stop = threading.Event()

    def feed() -> None:
        with zmq.Context() as context, context.socket(zmq.PUB if "sub-port" in ends else zmq.PUSH) as source:
            source.linger = 0
            source.connect(f"tcp://127.0.0.1:{ends.get('sub-port') or ends['frontend']}")
            with context.socket(zmq.PULL) as sink:
                if "backend" in ends:
                    sink.connect(f"tcp://127.0.0.1:{ends['backend']}")
                while not stop.wait(0.002):
                    with contextlib.suppress(zmq.Again):
                        source.send(b"prices 1", zmq.DONTWAIT)
                        sink.recv(zmq.DONTWAIT)

    if "--tap" not in line and "--name tasks" not in line:
        yield
        return
    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Session:
    """Runs the lines of one block, one after the other."""

    def __init__(self, run, folder: Path, ports: Ports, stack: contextlib.ExitStack) -> None:
        self._run, self._folder, self._ports, self._stack = run, folder, ports, stack
        self._server = None
        self._traffic = contextlib.ExitStack()
        self._listening: list = []
        self._environ = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def follow(self, line: str) -> None:
        words = line.split()
        if words[0] == "geventrelay" and "--help" not in words and _command(words) in (*PATTERNS, "run"):
            self._serve(line)
        elif words[0] in ("scripts/sub", "scripts/pull"):
            self._listening.append(self._start(line))
        elif words[0] == "scripts/pub":
            self._publish(line)
        elif words[:2] == ["geventrelay", "tap"] and "--count" not in words:
            self._until_ctrl_c(line, lambda program: program.output)
        elif words[:2] == ["geventrelay", "record"]:
            self._until_ctrl_c(line, lambda program: (self._folder / words[2]).exists())
        else:
            # Without a terminal, top is one of these.
            self._to_its_end(line)

    def end(self) -> None:
        for one in self._listening:
            # What was published before it came comes too, but not at once.
            one.until(lambda one=one: one.output, "a message")
            self._interrupt(one)
        self._stop_server()

    def _start(self, line: str):
        for shown, instead in INSTEAD.items():
            line = line.replace(shown, instead)
        if line == "geventrelay top" or line.startswith("geventrelay top --"):
            # Its default is a port of this machine that may be another program's.
            line = line.replace("geventrelay top", "geventrelay top 8080")
        # So that a signal gets to the program and not to the shell.
        alone = not re.search(r"\||&&|[^']>", line)
        return self._run(["bash", "-c", "exec " * alone + self._ports.in_place(line)], env=self._environ)

    def _serve(self, line: str) -> None:
        self._stop_server()
        ready = self._folder / "ready"
        self._server = self._start(f"{line} --ready-file ready")
        self._server.until(ready.exists, "ready file")
        self._traffic.enter_context(traffic(self._ports.in_place(line)))

    def _stop_server(self) -> None:
        self._traffic.close()
        server, self._server = self._server, None
        if server is not None and server.lives:
            server.signal(signal.SIGTERM)
        if server is not None:
            assert server.wait() == 0, server.report()

    def _publish(self, line: str) -> None:
        def have_come() -> bool:
            self._to_its_end(line)
            return all(one.output for one in self._listening)

        eventually(have_come, "a message at each that listens", 20)

    def _until_ctrl_c(self, line: str, begun) -> None:
        program = self._start(line)
        program.until(lambda: begun(program), f"the beginning of {line}")
        self._interrupt(program)

    def _interrupt(self, program) -> None:
        program.signal(signal.SIGINT)
        assert program.wait() == 0, program.report()

    def _to_its_end(self, line: str) -> None:
        program = self._start(line)
        assert program.wait() == 0, program.report()
        assert "Traceback" not in program.errors, program.report()


def _command(words: list[str]) -> str:
    return words[1] if words[1] in command.names() else command.DEFAULT


@pytest.mark.slow
@pytest.mark.parametrize("lines", SESSIONS)
def test_the_commands_of_a_block_run(run, folder, lines):
    (folder / "scripts").symlink_to(SCRIPTS)
    (folder / "token").write_text("documented-token\n")
    (folder / "token").chmod(0o600)
    before = next((server for start, server in BEFORE.items() if lines[0].startswith(start)), None)
    with contextlib.ExitStack() as stack:
        session = Session(run, folder, Ports(stack), stack)
        for line in filter(None, [before, *lines]):
            if line.startswith(tuple(NOT_RUN)):
                continue
            if "jq" in line.split() and shutil.which("jq") is None:
                continue
            if line.startswith("curl") and shutil.which("curl") is None:
                continue
            session.follow(line)
        session.end()
