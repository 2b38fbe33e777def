"""A device's traffic over HTTP: a line of JSON for each message, for as long as the client stays.

Nobody waits for a client who reads slowly: he loses messages, and is told how many. Messages are what others have
entrusted to the server, so it takes the token to see them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from http import HTTPStatus

from ..components.tap import TapReader
from ..errors import SettingsError, StartError
from ..recording import Record, RecordFilter, to_line
from ..server.server import Server
from ..settings.checks import whole
from .http.messages import Refusal, Request, Response
from .http.permissions import Guard
from .http.router import Handler

MAX_WATCHES = 16
"""Watches at a time, all devices together."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""A larger message is told, and left out: to turn it into JSON would keep every device waiting."""
SILENCE_S = 5.0
"""After so long without a message comes an empty line, which also shows whether the client is still there."""

TYPE = "application/x-ndjson"

_ARGUMENTS = ("direction", "topic", "sample")


class Taps:
    """Answers requests to watch a device.

    :param server: the server.
    :param guard: knows who may watch.
    """

    def __init__(self, server: Server, guard: Guard) -> None:
        self._server = server
        self._guard = guard
        self._watches = 0

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The one route, by method and pattern."""
        return {("GET", "/api/devices/{}/tap"): self._watch}

    def _watch(self, request: Request, name: str) -> Response:
        self._guard.check_bearer(request, "nobody may watch messages here")
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        if self._watches >= MAX_WATCHES:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {MAX_WATCHES} watches already")
        try:
            choice = _choice(request)
            watch = supervised.device.watch(choice.direction)
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        except StartError as error:
            raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
        self._watches += 1
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(_Lines(watch, choice, self._leave), TYPE, headers=headers)

    def _leave(self) -> None:
        self._watches -= 1


def _choice(request: Request) -> RecordFilter:
    given = {name: value for name, value in request.query.items() if value}
    for name in given:
        if name not in _ARGUMENTS:
            raise SettingsError("query", "one of " + ", ".join(_ARGUMENTS), name)
    sample = whole(1)("sample", given.get("sample", 1))
    return RecordFilter(given.get("direction"), os.fsencode(given.get("topic", "")), sample)


class _Lines:
    """The body of one answer; counts as a watch until the server is done with it."""

    def __init__(self, watch: TapReader, choice: RecordFilter, leave: Callable[[], None]) -> None:
        self._watch, self._choice = watch, choice
        self._leave: Callable[[], None] | None = leave
        self._lost = 0

    def __iter__(self) -> Iterator[bytes]:
        # So that the client knows that he sees everything from here on.
        yield b"\n"
        while (records := self._watch.receive(SILENCE_S)) or not self._watch.closed:
            lines = [_line(record) for record in records if self._choice(record)]
            if self._watch.lost > self._lost:
                lines.append(json.dumps({"lost": self._watch.lost - self._lost}))
                self._lost = self._watch.lost
            if lines or not records:
                yield "".join(f"{line}\n" for line in lines or [""]).encode()

    def close(self) -> None:
        self._watch.close()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def _line(record: Record) -> str:
    nbytes = sum(map(len, record.parts))
    if nbytes <= MAX_MESSAGE_BYTES:
        return to_line(record)
    return json.dumps({"time": round(record.time_ns / 1e9, 6), "source": record.source, "left_out_bytes": nbytes})
