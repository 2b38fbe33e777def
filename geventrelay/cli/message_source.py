"""Where watched messages come from: a tap's endpoint, or a server's HTTP; and how watching ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast
from urllib.parse import quote, urlencode, urlsplit

import gevent
import zmq
import zmq.green
from gevent import socket as green_socket

from ..endpoints import Endpoint
from ..engine.fair import FairYield
from ..engine.socket import RelaySocket
from ..errors import RecordingError, SettingsError, StartError
from ..recording import Record, RecordFilter, from_line
from ..recording.record import source_name
from .message_options import WatchOptions

# What is read before other greenlets, and signals, have their turn.
_MESSAGES_AT_A_TIME = 200

# The server says something every few seconds, if only that it is there.
_SILENCE_S = 30.0
_LINE_BYTES = 64 * 1024 * 1024


class Interrupted(Exception):
    """SIGINT or SIGTERM has come."""


class Stream(Protocol):
    """Messages as they come."""

    def receive(self) -> list[Record]:
        """The next messages, at least one; none at the end. Yields."""

    def close(self) -> None:
        """End it."""


class until_signal:
    """Runs a ``with`` block until its end, or until SIGINT or SIGTERM ends it, without an error, where it yields."""

    def __init__(self) -> None:
        self._inside = False

    def __enter__(self) -> None:
        self._block, loop = gevent.getcurrent(), gevent.get_hub().loop
        self._inside = True
        self._watchers = [
            gevent.signal_handler(number, loop.run_callback, self.tell) for number in (signal.SIGINT, signal.SIGTERM)
        ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._inside = False
        for watcher in self._watchers:
            watcher.cancel()
        return isinstance(error, Interrupted)

    def tell(self) -> None:
        """End the block, as a signal does; for the hub to call."""
        # The block may have come to its end since the signal was seen.
        if self._inside:
            self._block.throw(Interrupted)


def watch(name: str, where: str, options: WatchOptions) -> Watching:
    """Begin to watch messages. Yields.

    :param name: what to call `where` in an error.
    :param where: a tap's endpoint, or an http URL.
    :param options: which messages to watch, and for how long.
    :raises SettingsError: if `where` breaks a rule, or the options do not fit it.
    :raises StartError: if there is nothing to watch there.
    """
    if where.startswith(("http://", "https://")):
        # The server filters.
        return Watching(_http(name, where, options), RecordFilter(), options.count, options.seconds_s)
    for flag, value in (("--device", options.device), ("--token-file", options.token_file)):
        if value is not None:
            raise SettingsError(flag, "an http:// address to go with it", where)
    stream = _Endpoint(peer(name, where), options.direction)
    return Watching(stream, options.filter, options.count, options.seconds_s)


class Watching:
    """Watched messages, some at a time; iterate over it once. A context manager.

    :param stream: where they come from; it is closed at the end.
    :param chosen: which of them are wanted.
    :param count: how many of these to take; None for all.
    :param limit_s: for how long, in seconds; None has no limit.
    """

    def __init__(self, stream: Stream, chosen: RecordFilter, count: int | None, limit_s: float | None) -> None:
        self._stream, self._chosen, self._left = stream, chosen, count
        self._until = None if limit_s is None else time.monotonic() + limit_s

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[list[Record]]:
        while self._left is None or self._left:
            left_s = None if self._until is None else max(0.0, self._until - time.monotonic())
            records: list[Record] = gevent.with_timeout(left_s, self._stream.receive, timeout_value=[])
            if not records:
                return
            taken = list(filter(self._chosen, records))[: self._left]
            if self._left is not None:
                self._left -= len(taken)
            yield taken


def peer(name: str, text: str) -> Endpoint:
    """Read an endpoint that is connected to unless an @ stands before it.

    :param name: what to call it in an error.
    :param text: what the user wrote.
    :raises SettingsError: for anything else.
    """
    try:
        return Endpoint.parse(text if text.startswith(("@", ">")) else ">" + text, name=name, interface="127.0.0.1")
    except SettingsError as error:
        raise SettingsError(name, error.rule, text) from None


def attach(socket: RelaySocket, endpoint: Endpoint) -> None:
    """Bind or connect `socket` as `endpoint` says, and tell the address that a port 0 has become.

    :raises StartError: if that cannot be had.
    """
    verb = "bind" if endpoint.binds else "connect"
    try:
        getattr(socket, verb)(endpoint.address)
    except zmq.ZMQError as error:
        raise StartError(f"cannot {verb} {endpoint.address}: {zmq.strerror(error.errno or 0)}") from None
    if endpoint.binds and endpoint.is_wildcard:
        print(f"bound to {socket.get_string(zmq.LAST_ENDPOINT).rstrip(chr(0))}", file=sys.stderr, flush=True)


class _Endpoint:
    """The messages of a tap's endpoint."""

    def __init__(self, endpoint: Endpoint, direction: str | None) -> None:
        self._context: Any = zmq.green.Context()
        self._socket = cast(RelaySocket, self._context.socket(zmq.SUB, socket_class=RelaySocket))
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, 100_000)
        self._socket.set(zmq.SUBSCRIBE, b"" if direction is None else os.fsencode(direction))
        try:
            attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def receive(self) -> list[Record]:
        """The next messages, at least one. Yields."""
        with FairYield() as turn:
            turn.wait()
        records: list[Record] = []
        receive = self._socket.readiness.receive
        while True:
            try:
                while len(records) < _MESSAGES_AT_A_TIME:
                    source, *parts = receive()
                    records.append(
                        Record(time.time_ns(), source_name(source.bytes), tuple(part.bytes for part in parts))
                    )
            except zmq.Again:
                pass
            if records:
                return records
            self._socket.wait_readable()

    def close(self) -> None:
        """End it."""
        self._socket.close(0)
        gevent.get_hub().threadpool.apply(self._context.term)


class _Http:
    """The messages that a server's API gives as lines."""

    def __init__(self, host: str, port: int, path: str, token: str | None) -> None:
        self._address = f"{host}:{port}"
        self._connection = http.client.HTTPConnection(host, port)
        try:
            # In place of the socket that http.client would open, which blocks the hub.
            self._connection.sock = green_socket.create_connection((host, port), timeout=_SILENCE_S)
            self._connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
            self._response = self._connection.getresponse()
            if self._response.status != http.client.OK:
                raise StartError(f"cannot watch {self._address}: {self._reason()}")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise StartError(f"cannot watch {self._address}: {getattr(error, 'strerror', None) or error}") from None
        except BaseException:
            self.close()
            raise

    def receive(self) -> list[Record]:
        """The next message, or none at the end. Yields."""
        with FairYield() as turn:
            turn.wait()
        while True:
            try:
                line = self._response.readline(_LINE_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise StartError(f"lost {self._address}: {str(error) or type(error).__name__}") from None
            if not line:
                return []
            if line.strip() and not self._is_notice(line):
                return [from_line(line)]

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def _is_notice(self, line: bytes) -> bool:
        """Whether the line tells of messages that are not shown; says so if it does."""
        try:
            said = json.loads(line)
        except ValueError:
            raise RecordingError(f"expected lines of JSON from {self._address}, got {line[:80]!r}") from None
        if not isinstance(said, dict) or "parts" in said:
            return False
        if "lost" in said:
            print(f"{self._address}: {said['lost']} messages lost here", file=sys.stderr, flush=True)
        if "left_out_bytes" in said:
            print(f"{self._address}: a message of {said['left_out_bytes']} bytes left out", file=sys.stderr, flush=True)
        return True

    def _reason(self) -> str:
        said = self._response.read(4096)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(said)["error"])
        return f"{self._response.status} {self._response.reason}"


def _http(name: str, where: str, options: WatchOptions) -> Stream:
    rule = "http://HOST:PORT with --device NAME, or http://HOST:PORT/api/devices/NAME/tap"
    try:
        url = urlsplit(where)
        host, port = url.hostname, 80 if url.port is None else url.port
    except ValueError:
        raise SettingsError(name, rule, where) from None
    device = options.device
    if url.scheme != "http" or host is None or (url.path in ("", "/")) != (device is not None):
        raise SettingsError(name, rule, where)
    path = url.path if device is None else f"/api/devices/{quote(device, safe='')}/tap"
    asked = {"direction": options.direction, "topic": options.topic, "sample": options.sample}
    query = urlencode({key: os.fsencode(str(value)) for key, value in asked.items() if value not in (None, "", 1)})
    return _Http(host, port, path + ("?" + query if query else ""), _token(options.token_file))


def _token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        lines = file.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise SettingsError(
            "--token-file", f"a file that can be read ({getattr(error, 'strerror', None) or error})", str(file)
        ) from None
    if not lines or not lines[0].strip().isascii():
        raise SettingsError("--token-file", "a file whose first line is a token", str(file))
    return lines[0].strip()
