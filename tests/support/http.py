"""A server of real devices for HTTP, and a client that speaks to it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket

from geventrelay import Device, DeviceSnapshot, State
from geventrelay.engine.peertable import PeersSnapshot
from geventrelay.errors import SettingsError

TOKEN = "s3cret-token"


class FakeSupervised:
    """A device as a server has it, of which nobody takes care."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.restarts = 0
        self.last_failure: str | None = None
        self.next_start_s: float | None = None
        self.started_at: float | None = 1_700_000_000.0

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def settings(self) -> Any:
        return self.device.settings

    @property
    def state(self) -> State:
        return self.device.state

    def snapshot(self) -> DeviceSnapshot:
        return self.device.snapshot()

    def peers(self, *, accounts: bool = False) -> dict[str, PeersSnapshot]:
        return self.device.peers(accounts=accounts)

    def subscribers(self) -> Any:
        return self.device.subscribers()

    def stop(self, timeout: float | None = None) -> None:
        self.device.stop(timeout)


@dataclass
class Reloaded:
    unchanged: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()


@dataclass
class FakeServer:
    """A server of `devices`, as much of it as HTTP needs."""

    devices: dict[str, FakeSupervised]
    started_at: float = 1_700_000_000.0
    error: SettingsError | None = None
    keeps_off: bool = False
    result: Reloaded = field(default_factory=Reloaded)
    log_dropped: int = 0

    @classmethod
    def of(cls, *devices: Device) -> FakeServer:
        return cls({device.name: FakeSupervised(device) for device in devices})

    @property
    def ready(self) -> bool:
        return all(one.device.started for one in self.devices.values())

    def reload(self) -> Reloaded:
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a site, each time over a connection of its own."""

    def __init__(self, url: str) -> None:
        self.site: Any = None
        self.host, self.port = urlsplit(url).hostname or "", urlsplit(url).port or 0

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        # A socket that lets greenlets run, and so the server that answers.
        connection.sock = socket.create_connection((self.host, self.port), timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            given = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, given, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, token: str | None = TOKEN, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, {**given, **({} if token is None else {"Authorization": f"Bearer {token}"})})

    def raw(self, data: bytes, *, shut: bool = False, limit_s: float = 10.0) -> bytes:
        """Send `data`, and no more if `shut`, and return all that comes back until the other side closes."""
        with gevent.Timeout(limit_s), socket.create_connection((self.host, self.port)) as connection:
            connection.sendall(data)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            # A reset is an end, too: it comes where more was sent than the other side has read.
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer

    def events(self, path: str = "/api/events") -> Iterator[Any]:
        """The JSON of each server-sent event at `path`."""
        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            with connection.makefile("rb") as file:
                assert b" 200 " in file.readline()
                for line in file:
                    if line.startswith(b"data: "):
                        yield json.loads(line[len(b"data: ") :])
