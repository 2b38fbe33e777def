"""Requests and responses as routes see them, and the refusal that every handler may raise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from ...errors import SettingsError

JSON = "application/json"

Body = bytes | Iterable[bytes]
"""The body of an answer: all of it, or an iterator of its pieces."""


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request that is not checked yet.

    :ivar method: e.g. ``GET``.
    :ivar path: the path as it was sent, still percent-encoded, without the query.
    :ivar query: the arguments of the query; if a name comes several times, the last one counts.
    :ivar headers: the headers, with names in lower case.
    :ivar version: e.g. ``HTTP/1.1``.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    version: str = "HTTP/1.1"

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Request:
        """The request in a WSGI `environ` (PEP 3333); RAW_URI there is the target of the request as it was sent."""
        path, _, query = environ["RAW_URI"].partition("?")
        headers = {
            name[len("HTTP_") :].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        arguments = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
        return cls(environ["REQUEST_METHOD"], path, arguments, headers, environ["SERVER_PROTOCOL"])

    def given(self, *names: str) -> dict[str, str]:
        """The arguments of the query that are not empty.

        :param names: which ones the path takes.
        :raises SettingsError: if there is another one.
        """
        given = {name: value for name, value in self.query.items() if value}
        for name in given:
            if name not in names:
                raise SettingsError("query", "one of " + ", ".join(names), name)
        return given


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `status`, `body`, its `content_type`, and more `headers`."""

    body: Body = b""
    content_type: str = JSON
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A request that gets an error: `status`, one `sentence` with the reason, `headers`, and `more` for its JSON."""

    def __init__(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The answer to this request."""
        return json_response({"error": str(self), **self.more}, self.status, self.headers)


def json_response(
    content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer with `content` as JSON, a `status`, and more `headers`."""
    # A cached answer would be out of date.
    return Response(encoded(content), JSON, status, {"Cache-Control": "no-store", **(headers or {})})


def encoded(content: Mapping[str, Any]) -> bytes:
    """`content` as JSON on one line, line end included."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
