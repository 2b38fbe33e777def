"""The server and the scripts as processes of their own, started as a user starts them.

Every wait has a limit, watches whether the process still lives, and says in its failure what the process printed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from geventrelay.testing import eventually

from .engines import ZMTP

T = TypeVar("T")

LIMIT_S = 20.0
UNREAD = " unread=unknown"
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
GEVENTRELAY = (sys.executable, "-m", "geventrelay")

# As text, as JSON, and as a program that has set up no logging writes it.
SLOW_BURST = re.compile(r'^slow-burst | WARNING slow-burst |"event": "slow-burst"')

# Run as `python -c WITHOUT_CAPABILITIES NUMBER,... COMMAND...`: root's way to be refused like anybody else. Not a
# preexec_fn, because Python warns of forking a process that has threads, and pytest-timeout's is one.
WITHOUT_CAPABILITIES = """
import ctypes, os, sys
for number in sys.argv[1].split(","):
    ctypes.CDLL(None).prctl(24, int(number), 0, 0, 0)  # PR_CAPBSET_DROP; fails harmlessly where there is none
os.execv(sys.argv[2], sys.argv[2:])
"""
CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE = 1, 10

_numbers = itertools.count(1)


class Program:
    """A child process that ends with its ``with`` block at the latest.

    :param command: what to run.
    :param folder: where it runs, and where its output is kept.
    :param env: its whole environment; by default ours without NOTIFY_SOCKET.
    :param stdin: what it reads, or a file descriptor of the caller's; nothing by default.
    :param stdout: a file descriptor of the caller's to write to, instead of a file that `output` reads.
    :param stderr: the same for standard error and `errors`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | int = b"",
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self._folder = folder
        number = next(_numbers)
        self._files = {name: folder / f"{number}.{name}" for name in ("in", "out", "err")}
        self._files["in"].write_bytes(stdin if isinstance(stdin, bytes) else b"")
        self._stdin = stdin if isinstance(stdin, int) else None
        self._stdout = stdout
        self._stderr = stderr
        self._env = environment() if env is None else dict(env)

    def __enter__(self: Any) -> Any:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell starts background jobs so, children inherit it, and Ctrl-C is one of the things to be tested.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with (
            self._files["in"].open("rb") as stdin,
            self._files["out"].open("wb") as stdout,
            self._files["err"].open("wb") as stderr,
        ):
            self._process = subprocess.Popen(
                self.command,
                cwd=self._folder,
                env=self._env,
                stdin=stdin if self._stdin is None else self._stdin,
                stdout=stdout if self._stdout is None else self._stdout,
                stderr=stderr if self._stderr is None else self._stderr,
            )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self._files["out"].read_text(errors="backslashreplace")

    @property
    def errors(self) -> str:
        """Its standard error, but for the one warning that depends on whether this machine has a compiler."""
        return without_slow_burst(self.all_errors)

    @property
    def all_errors(self) -> str:
        """Its standard error."""
        return self._files["err"].read_text(errors="backslashreplace")

    def until(self, condition: Callable[[], T], what: str, *, limit_s: float = LIMIT_S) -> T:
        """Wait until `condition()` is true, and return what it gave; fails if the process ends before."""

        def look() -> T:
            lived = self.lives
            found = condition()
            assert found or lived, f"{what}: the process ended first\n{self.report()}"
            return found

        return eventually(look, lambda: f"{what}\n{self.report()}", limit_s)

    def until_logged(self, text: str, *, limit_s: float = LIMIT_S) -> None:
        """Wait until its standard error has `text`."""
        self.until(lambda: text in self.errors, f"log line with {text!r}", limit_s=limit_s)

    def until_said(self, text: str, *, limit_s: float = LIMIT_S) -> None:
        """Wait until its standard output has `text`."""
        self.until(lambda: text in self.output, f"output with {text!r}", limit_s=limit_s)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Wait for its end; returns the exit code."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit_s:g} s\n{self.report()}") from None

    def report(self) -> str:
        return "\n".join(
            [
                f"$ {' '.join(self.command)}",
                f"exit code: {self._process.poll()}",
                f"stdout: {self.output}",
                f"stderr: {self.all_errors}",
            ]
        )


class Server(Program):
    """``geventrelay`` with these arguments; entering it waits for its ready file, exiting it kills.

    :ivar ready_file: where it says that it is ready.
    :ivar endpoints: what the ready file says.
    """

    def __init__(self, *arguments: str, folder: Path, ready_file: Path | None = None, **kwargs: Any) -> None:
        self.ready_file = folder / f"ready-{next(_numbers)}.json" if ready_file is None else ready_file
        self.endpoints: dict[str, list[str]] = {}
        super().__init__([*GEVENTRELAY, *arguments, "--ready-file", self.ready_file], folder=folder, **kwargs)

    def __enter__(self) -> Server:
        super().__enter__()
        try:
            self.endpoints = self.until(self._said_ready, "ready file")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _said_ready(self) -> dict[str, list[str]]:
        # A file that was there before is not it.
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self.ready_file.read_text())
            if state["pid"] == self.pid:
                # With several devices there is none that these could be of.
                return dict(state.get("endpoints") or state["devices"])
        return {}

    def __getitem__(self, key: str) -> str:
        """The one endpoint of the socket with this key."""
        (endpoint,) = self.endpoints[key]
        return endpoint

    @property
    def http(self) -> str:
        """Where it answers over HTTP."""
        return str(json.loads(self.ready_file.read_text())["http"])

    def stop(self, number: int = signal.SIGTERM, *, limit_s: float = LIMIT_S) -> dict[str, int]:
        """End it with a signal; returns its accounting, checked by `balanced`."""
        self.signal(number)
        assert self.wait(limit_s) == 0, self.report()
        assert "Traceback" not in self.errors, self.report()
        return balanced(self.output)

    def until_connections(self, key: str, count: int, index: int = 0) -> None:
        """Wait until the endpoint has this many connections, by the operating system's books."""
        port = int(self.endpoints[key][index].rpartition(":")[2])
        # Engine zmtp does not hear of the end that comes behind what it cannot take yet.
        none = (psutil.CONN_LISTEN, psutil.CONN_CLOSE_WAIT) if ZMTP else (psutil.CONN_LISTEN,)

        def is_so() -> bool:
            ours = (one for one in psutil.net_connections("tcp") if one.laddr.port == port and one.pid == self.pid)
            return sum(one.status not in none for one in ours) == count

        self.until(is_so, f"{count} connections to {key}")


def balanced(output: str) -> dict[str, int]:
    """Check that `output` is one accounting line that adds up; returns its numbers by name.

    What may have been left unread has no number: see `left_unread`.
    """
    (line,) = output.splitlines()
    start, device, *words = line.removesuffix(UNREAD).split(" ")
    assert (start, device.partition("=")[0]) == ("accounting", "device"), line
    numbers = {name: int(number) for name, _, number in (word.partition("=") for word in words)}
    assert len(numbers) == len(words), f"a name stands twice: {line}"
    held, gone, received = numbers["held"], {}, 0
    for name, number in numbers.items():
        key, _, what = name.partition(".")
        if what.partition(".")[0] in ("matched", "delivered", "lost", "waiting"):
            # Of deliveries, which have a sum of their own.
            continue
        if what == "received":
            _check(gone, received, held, line)
            gone, received = {}, number
        elif what:
            gone[key] = gone.get(key, 0) + number
    _check(gone, received, held, line)
    for name, delivered in numbers.items():
        key, _, what = name.partition(".")
        if what == "delivered":
            due = numbers.get(f"{key}.matched", numbers[f"{key}.sent"])
            lost = sum(number for other, number in numbers.items() if other.startswith(f"{key}.lost."))
            assert due == delivered + lost + numbers.get(f"{key}.waiting", 0), f"{key} does not add up: {line}"
    return numbers


def without_deliveries(output: str) -> str:
    """Accounting lines as they are with every engine: engine zmtp tells of deliveries too."""
    return re.sub(r" \w+\.(matched|delivered|lost\.\w+|waiting)=\d+", "", output)


def untaken(numbers: Mapping[str, int], key: str = "backend") -> int:
    """How many messages came in that the socket `key` has not taken: in hand, or counted when the device stopped."""
    return numbers["held"] + numbers.get(f"{key}.dropped.stopped", 0)


def left_unread(output: str) -> bool:
    """Whether an accounting line says that messages may have been left unread."""
    return output.rstrip("\n").endswith(UNREAD)


def _check(gone: dict[str, int], received: int, held: int, line: str) -> None:
    for key, number in gone.items():
        assert received - held <= number <= received, f"{key} does not add up: {line}"


def without_slow_burst(errors: str) -> str:
    """Standard error without the one warning that depends on whether this machine has a compiler."""
    return "".join(line for line in errors.splitlines(keepends=True) if not SLOW_BURST.search(line))


def listens(endpoint: str) -> bool:
    """Whether somebody accepts connections there."""
    transport, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    with socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET) as probe:
        return probe.connect_ex(rest if transport == "ipc" else (host, int(port))) == 0


def environment(**changes: str) -> dict[str, str]:
    """Our environment without what would steer a server, and with `changes`."""
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"} | changes


def without_capabilities(*numbers: int) -> list[str]:
    """What to put before a command so that root runs it without these capabilities."""
    return [sys.executable, "-c", WITHOUT_CAPABILITIES, ",".join(map(str, numbers))]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a path that is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="relay-") as path:
        yield Path(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Server]]:
    """``start("queue", "--frontend", "0", ...)`` starts a server on 127.0.0.1 and returns it when it is ready."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **kwargs: Any) -> Server:
            # A file says itself where its devices bind.
            local = () if "--interface" in arguments or "run" in arguments else ("--interface", "127.0.0.1")
            return stack.enter_context(Server(*arguments, *local, folder=folder, **kwargs))

        yield start


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Program]]:
    """``run([...])`` starts any other program and returns it at once."""
    with contextlib.ExitStack() as stack:
        yield lambda command, **kwargs: stack.enter_context(Program(command, folder=folder, **kwargs))
