"""Asks a server over HTTP, and explains why there is no answer."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import cast
from urllib.parse import SplitResult, quote, urlsplit

from ..printable import printable
from .api_answer import StrangeAnswer, decoded
from .http_wire import SpeaksZmtp, TooMuch, Wire

FAILURES = (OSError, http.client.HTTPException)
"""The errors of a request that gets no answer, or not all of it."""

_ENDED = (ConnectionResetError, BrokenPipeError)
# The head of a server's own answer has a few hundred bytes.
_MOST_HEAD_BYTES = 1 << 16
_MOST_ERROR_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_SHOWN_CHARACTERS = 400
# What stays as it is in a path and its query; all else is written as %XX.
_OF_PATHS = "/?&=%:@!$'()*+,;~"


class Refused(Exception):
    """The server has answered with an error.

    :param status: the status, e.g. 404.
    :param phrase: the status in words.
    :param sentence: what the API says about the error; None if the answer is not one of the API.
    """

    def __init__(self, status: int, phrase: str, sentence: str | None) -> None:
        super().__init__(printable((sentence or f"{status} {phrase}")[:_SHOWN_CHARACTERS]))
        self.status, self.sentence = status, sentence


class Answer:
    """The answer to one request: its head was read, its body is to be read. A context manager that closes it.

    :param wire: the connection.
    :param response: what reads it.
    """

    def __init__(self, wire: Wire, response: http.client.HTTPResponse) -> None:
        self._wire, self._response = wire, response
        # What has come of the next lines.
        self._come = bytearray()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def body(self, most_bytes: int) -> bytes:
        """Read the whole body, in what is left of the time of the request.

        :param most_bytes: how many bytes it may have.
        :raises StrangeAnswer: if it has more.
        :raises OSError: if it does not come in time, as for the other errors of `FAILURES`.
        """
        self._wire.allow(_with_framing(most_bytes))
        data = b""
        with _explained(most_bytes):
            while chunk := self._read():
                data += chunk
                if len(data) > most_bytes:
                    raise TooMuch
        return data

    def line(self, most_bytes: int, time_s: float) -> bytes:
        """Read a line of the body; an empty one at the end of the body.

        :param most_bytes: how many bytes it may have. Without its line end, it is longer, or the body ends within it.
        :param time_s: how long to wait for all of it, in seconds.
        :raises StrangeAnswer: if what comes is no HTTP, or goes on without a line.
        :raises OSError: if it does not come in time, as for the other errors of `FAILURES`.
        """
        self._wire.allow(_with_framing(most_bytes), time_s)
        with _explained(most_bytes):
            searched = 0
            while (end := self._come.find(b"\n", searched)) < 0 and len(self._come) < most_bytes:
                searched = len(self._come)
                if not (chunk := self._read()):
                    break
                self._come += chunk
        size = min(end + 1 or len(self._come), most_bytes)
        line = bytes(self._come[:size])
        del self._come[:size]
        return line

    def close(self) -> None:
        """Close it, and the connection. Does not yield."""
        self._response.close()
        self._wire.close()

    def _read(self) -> bytes:
        """What has come of the body, at least one byte; nothing at its end, and only there."""
        # Not `readline` of the response, which takes a chunk without a size for the end.
        data = self._response.read1(_CHUNK_BYTES)
        if not data and self._response.length:
            raise http.client.IncompleteRead(b"", self._response.length)
        return data


class HttpClient:
    """Sends requests to one server. Making one sends none.

    :param url: the server's, without a path, or with the path that all others are below: ``http://HOST:PORT``.
    :param timeout_s: how long an answer may take, from connecting to the end of `Answer.body`, in seconds.
    :param green: whether to yield meanwhile. Otherwise the hub is blocked.
    """

    def __init__(self, url: str, timeout_s: float, *, green: bool = False) -> None:
        self._url: SplitResult = urlsplit(url)
        self._timeout_s, self._green = timeout_s, green

    def get(self, path: str, token: str | None = None, kind: str | None = None) -> Answer:
        """Send a GET request for `path`; returns the answer, whose body the caller reads, and closes.

        A redirect is an error, since the API has none, and no proxy is asked: the server is on this host or nearby.

        :param token: the server's token; None sends none.
        :param kind: the media type that is expected, e.g. ``application/json``; None expects none.
        :raises Refused: if the server answers with an error.
        :raises StrangeAnswer: if what it answers is of another media type, or is no answer by RFC 9112.
        :raises OSError: if there is no answer, as for the other errors of `FAILURES`; see `reason`.
        """
        return self._checked(*self._ask("GET", path, token), kind)

    def post(self, path: str, token: str | None = None, kind: str | None = None) -> Answer:
        """Send a POST request without a body for `path`; all else as `get`, `token` and `kind` too."""
        return self._checked(*self._ask("POST", path, token), kind)

    @staticmethod
    def _checked(answer: Answer, response: http.client.HTTPResponse, kind: str | None) -> Answer:
        with contextlib.ExitStack() as failing:
            failing.callback(answer.close)
            if not 200 <= response.status < 300:
                raise Refused(response.status, response.reason, _sentence(answer))
            found = response.headers.get("Content-Type")
            if kind is not None and found is not None and found.partition(";")[0].strip().lower() != kind:
                raise StrangeAnswer(printable(found[:_SHOWN_CHARACTERS]))
            failing.pop_all()
        return answer

    def reason(self, error: Exception) -> str:
        """Why there was no answer, in a few words, for an `error` of `FAILURES`."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(error, socket.gaierror):
            return "no such host"
        if isinstance(error, http.client.IncompleteRead):
            return "the answer broke off"
        if isinstance(error, SpeaksZmtp):
            return "a ZeroMQ socket answers there; is this the address of --http?"
        if isinstance(error, http.client.HTTPException):
            return "what answers there does not speak HTTP"
        # What libzmq does with a request, before or after it has said who it is.
        hint = " (is this the address of --http?)" if isinstance(error, _ENDED) else ""
        return printable(str(getattr(error, "strerror", None) or error)[:_SHOWN_CHARACTERS]) + hint

    def _ask(self, method: str, path: str, token: str | None) -> tuple[Answer, http.client.HTTPResponse]:
        url = self._url
        host = url.hostname or ""
        port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
        wrap = None if url.scheme == "http" else lambda plain: _secured(plain, host)
        wire = Wire((host, port), self._timeout_s, _MOST_HEAD_BYTES, wrap=wrap, green=self._green)
        with contextlib.ExitStack() as failing, _explained(_MOST_HEAD_BYTES, "a head of "):
            failing.callback(wire.close)
            wire.sendall(_request(method, url.netloc, quote(url.path + path, safe=_OF_PATHS), token))
            response = http.client.HTTPResponse(cast(socket.socket, wire), method=method)
            # Before the wire: it flushes what it reads from, which fails once that is closed.
            failing.callback(response.close)
            response.begin()
            failing.pop_all()
        return Answer(wire, response), response


def _request(method: str, host: str, path: str, token: str | None) -> bytes:
    name = host if host.isascii() else host.encode("idna").decode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", "Accept-Encoding: identity", "Connection: close"]
    if method == "POST":
        lines.append("Content-Length: 0")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _with_framing(most_bytes: int) -> int:
    """What may come for a body of `most_bytes`: chunks have lines of their own, which no useful body is made of."""
    return 2 * most_bytes + _CHUNK_BYTES


@contextlib.contextmanager
def _explained(most_bytes: int, of: str = "") -> Iterator[None]:
    """Have what `http.client` raises for bytes that are no HTTP become an error that says so."""
    try:
        yield
    except TooMuch:
        raise StrangeAnswer(f"{of}more than {most_bytes} bytes") from None
    except (ValueError, OverflowError):
        # For example a chunk of -1 bytes, or of more than any memory has.
        raise StrangeAnswer("an answer that breaks HTTP") from None


def _sentence(answer: Answer) -> str | None:
    try:
        content = decoded(answer.body(_MOST_ERROR_BYTES))
    except (*FAILURES, ValueError):
        return None
    sentence = content.get("error") if isinstance(content, dict) else None
    return sentence if isinstance(sentence, str) else None
