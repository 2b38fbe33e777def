"""A device's messages over HTTP: a line of JSON for each message, until the client leaves.

The device does not wait for a client that reads slowly: the client loses messages, and a line says how many. Messages
may be confidential, so a client needs the token to see them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..errors import SettingsError, StartError
from ..recording import Record, RecordFilter, to_line
from ..recording.json_lines import head_of
from ..settings.checks import whole
from .http.messages import Refusal, Request, Response, json_response
from .http.permissions import Guard
from .http.router import Handler
from .readers import Place, Readers
from .report import VERSION

if TYPE_CHECKING:
    from ..components.tap import TapReader
    from ..server.server import Server

MAX_WATCHERS = 16
"""The number of watchers at a time, all devices together."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""A larger message is left out, and a line says so: making JSON of it would keep every device waiting."""
MAX_MESSAGE_PARTS = 4096
"""One of more parts is left out too: `to_line` needs up to 13 characters for each."""
MAX_LINE_BYTES = 6 * MAX_MESSAGE_BYTES + 16 * MAX_MESSAGE_PARTS + 2048
"""No line is longer: a control character is six of JSON, and so is a byte of the source's name, of at most 255."""
SILENCE_S = 5.0
"""After this time without a message comes an empty line, which also detects whether the client is still there."""

TYPE = "application/x-ndjson"


class Taps:
    """Answers requests that read with the token: to watch a device, and whether the token is right.

    :param server: the server.
    :param guard: checks the token.
    """

    def __init__(self, server: Server, guard: Guard) -> None:
        self._server = server
        self._guard = guard
        self._watchers = Readers("watchers")

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The routes, by method and pattern."""
        return {("GET", "/api/devices/{}/tap"): self._watch, ("GET", "/api/token"): self._check_token}

    def _check_token(self, request: Request) -> Response:
        self._guard.check_bearer(request, "nothing can be changed or watched here")
        return json_response({"version": VERSION})

    def _watch(self, request: Request, name: str) -> Response:
        self._guard.check_bearer(request, "messages cannot be watched here")
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        self._watchers.check(MAX_WATCHERS)
        try:
            selected = _filter(request)
            reader = supervised.device.watch(selected.direction)
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        except StartError as error:
            raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(_Lines(reader, selected, self._watchers.enter()), TYPE, headers=headers)


def _filter(request: Request) -> RecordFilter:
    given = request.given("direction", "topic", "sample")
    sample = whole(1)("sample", given.get("sample", 1))
    return RecordFilter(given.get("direction"), os.fsencode(given.get("topic", "")), sample)


class _Lines:
    """The body of one answer. It counts as a watcher until the server closes it."""

    def __init__(self, reader: TapReader, selected: RecordFilter, place: Place) -> None:
        self._reader, self._filter = reader, selected
        self._place = place
        self._lost = 0

    def __iter__(self) -> Iterator[bytes]:
        # Now the client knows that it sees everything from here on.
        yield b"\n"
        while (records := self._reader.receive(SILENCE_S)) or not self._reader.closed:
            lines = [line_of(record) for record in records if self._filter(record)]
            if self._reader.lost > self._lost:
                lines.append(json.dumps({"lost": self._reader.lost - self._lost}))
                self._lost = self._reader.lost
            if lines or not records:
                yield "".join(f"{line}\n" for line in lines or [""]).encode()

    def close(self) -> None:
        self._reader.close()
        self._place.leave()


def line_of(record: Record, topic: bytes | None = None) -> str:
    """The `record` as a line of JSON, one that is too large is left out; `topic` is what it is the last value of."""
    nbytes = sum(map(len, record.parts)) + len(topic or b"")
    if nbytes <= MAX_MESSAGE_BYTES and len(record.parts) <= MAX_MESSAGE_PARTS:
        return to_line(record, topic)
    return json.dumps({**head_of(record, topic), "left_out_bytes": nbytes})
