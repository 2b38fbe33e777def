"""The last values of a device over HTTP: a line of JSON for each, in the order of their topics.

They may be confidential, so a client needs the token to see them, as to watch messages. There may be very many: they
are read some at a time, and everything else has a turn in between.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..engine.fair import FairYield
from ..errors import SettingsError
from ..recording import Record
from ..settings.checks import whole
from .http.messages import Refusal, Request, Response
from .http.permissions import Guard
from .http.router import Handler
from .readers import Place, Readers
from .tap import TYPE, line_of

if TYPE_CHECKING:
    from ..components.published import LastValue
    from ..devices.device import Device
    from ..server.server import Server

MAX_READERS = 16
"""How many read last values at a time, all devices together."""

_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which last values are asked for: those of messages that begin with `prefix`, `limit` at most; None is all."""

    prefix: bytes
    limit: int | None


class LastValues:
    """Answers requests for last values.

    :param server: the server.
    :param guard: checks the token.
    """

    def __init__(self, server: Server, guard: Guard) -> None:
        self._server = server
        self._guard = guard
        self._readers = Readers("readers of last values")

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The routes, by method and pattern."""
        return {("GET", "/api/devices/{}/last"): self._get}

    def _get(self, request: Request, name: str) -> Response:
        self._guard.check_bearer(request, "last values cannot be read here")
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        self._readers.check(MAX_READERS)
        try:
            chosen = _chosen(request)
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        device = supervised.device
        if device.last_values(chosen.prefix, None, 1) is None:
            sentence = f"device {name} keeps no last values: last-value = true (--last-value) has it keep them"
            raise Refusal(HTTPStatus.NOT_FOUND, sentence)
        if not device.started:
            raise Refusal(HTTPStatus.CONFLICT, f"device {name} is {supervised.state.value}, so it has no last values")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(_Lines(device, chosen, self._readers.enter()), TYPE, headers=headers)


def _chosen(request: Request) -> _Chosen:
    given = request.given("prefix", "limit")
    limit = given.get("limit")
    return _Chosen(os.fsencode(given.get("prefix", "")), None if limit is None else whole(1)("limit", limit))


class _Lines:
    """The body of one answer. It counts as a reader until the server closes it."""

    def __init__(self, device: Device, chosen: _Chosen, place: Place) -> None:
        self._device, self._prefix, self._left = device, chosen.prefix, chosen.limit
        self._place = place

    def __iter__(self) -> Iterator[bytes]:
        after = None
        with FairYield() as turn:
            while values := self._next(after):
                yield "".join(f"{_line(one)}\n" for one in values).encode()
                after = values[-1].topic
                turn.wait()
        if self._left != 0 and not self._device.started:
            # What comes after these is not known.
            yield json.dumps({"error": "the device has stopped meanwhile"}).encode() + b"\n"

    def close(self) -> None:
        self._place.leave()

    def _next(self, after: bytes | None) -> list[LastValue]:
        """The next ones, after that of the topic `after`; none at the end."""
        most = _AT_A_TIME if self._left is None else min(_AT_A_TIME, self._left)
        values = self._device.last_values(self._prefix, after, most) if most else None
        if self._left is not None:
            self._left -= len(values or ())
        return values or []


def _line(one: LastValue) -> str:
    return line_of(Record(round(one.time * 1e9), one.socket, tuple(one.parts)), one.topic)
