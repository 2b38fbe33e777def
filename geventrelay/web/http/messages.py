"""Requests and responses as routes see them, and the refusal that any part may raise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json"

Body = bytes | Iterable[bytes]
"""What is sent: all of it, or piece by piece as it comes up."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read whole and not checked yet.

    :ivar method: e.g. ``GET``.
    :ivar path: as it was sent, percent signs and all, without the query.
    :ivar query: the query's arguments; of several with one name, the last.
    :ivar headers: the headers by their names in lower case.
    :ivar version: e.g. ``HTTP/1.1``.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    version: str = "HTTP/1.1"

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Request:
        """The request of a WSGI `environ` (PEP 3333) in which RAW_URI is the request's target as it was sent."""
        path, _, query = environ["RAW_URI"].partition("?")
        headers = {
            name[len("HTTP_") :].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        arguments = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
        return cls(environ["REQUEST_METHOD"], path, arguments, headers, environ["SERVER_PROTOCOL"])


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `status`, `body`, what type that is of, and more `headers`."""

    body: Body = b""
    content_type: str = JSON
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A request that gets an error: `status`, one `sentence` why, more `headers`, and what `more` its JSON says."""

    def __init__(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The answer to such a request."""
        return json_response({"error": str(self), **self.more}, self.status, self.headers)


def json_response(
    content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that consists of `content` as JSON, with its `status` and more `headers`."""
    # What is asked for again and again is not to be kept.
    return Response(encoded(content), JSON, status, {"Cache-Control": "no-store", **(headers or {})})


def encoded(content: Mapping[str, Any]) -> bytes:
    """`content` as JSON on one line, line end included."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
