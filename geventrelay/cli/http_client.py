"""Asks a server over HTTP, and explains why there is no answer."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request
from typing import Any

from ..printable import printable
from .api_answer import StrangeAnswer, decoded

FAILURES = (OSError, http.client.HTTPException)
"""The errors of a request that gets no answer, or not all of it."""

_MOST_ERROR_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_SHOWN_CHARACTERS = 400


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the API of a server has none."""

    def redirect_request(self, *_args: object) -> None:
        """Leave the answer as it is, which makes an error of it."""


class Refused(Exception):
    """The server has answered with an error.

    :param status: the status, e.g. 404.
    :param phrase: the status in words.
    :param sentence: what the API says about the error; None if the answer is not one of the API.
    """

    def __init__(self, status: int, phrase: str, sentence: str | None) -> None:
        super().__init__(printable((sentence or f"{status} {phrase}")[:_SHOWN_CHARACTERS]))
        self.status, self.sentence = status, sentence


class HttpClient:
    """Sends requests to one server. Making one sends none.

    :param url: the server's, without a path: ``http://HOST:PORT``.
    :param timeout_s: how long to wait for a connection, and for each piece of an answer, in seconds.
    :param handlers: urllib's handlers of connections where its own, which block the hub, will not do.
    """

    def __init__(self, url: str, timeout_s: float, *handlers: urllib.request.BaseHandler) -> None:
        self._url, self._timeout_s = url, timeout_s
        # A server on this host or nearby is not reached through a proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect(), *handlers)

    def get(self, path: str, token: str | None = None, kind: str | None = None) -> http.client.HTTPResponse:
        """Send a GET request for `path`; returns the answer, whose body the caller reads, and closes.

        :param token: the server's token; None sends none.
        :param kind: the media type that is expected, e.g. ``application/json``; None expects none.
        :raises Refused: if the server answers with an error.
        :raises StrangeAnswer: if what it answers is of another media type.
        :raises OSError: if there is no answer, as for the other errors of `FAILURES`; see `reason`.
        """
        request = urllib.request.Request(self._url + path)
        if token is not None:
            # Unredirected, so that no other server gets it.
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, str(error.reason), _sentence(error, self._timeout_s)) from None
        found = response.headers.get("Content-Type")
        if kind is not None and found is not None and found.partition(";")[0].strip().lower() != kind:
            response.close()
            raise StrangeAnswer(printable(found[:_SHOWN_CHARACTERS]))
        return response

    def reason(self, error: Exception) -> str:
        """Why there was no answer, in a few words, for an `error` of `FAILURES`."""
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(cause, socket.gaierror):
            return "no such host"
        if isinstance(cause, http.client.HTTPException):
            return "what answers there does not speak HTTP"
        return printable(str(getattr(cause, "strerror", None) or cause)[:_SHOWN_CHARACTERS])


def read_body(response: Any, most_bytes: int, timeout_s: float) -> bytes:
    """Read the whole body of an answer.

    :param response: the answer.
    :param most_bytes: how many bytes it may have.
    :param timeout_s: how long reading it may take, in seconds.
    :raises StrangeAnswer: if it is larger.
    :raises OSError: if it does not come in time, as for the other errors of `FAILURES`.
    """
    deadline = time.monotonic() + timeout_s
    data = b""
    # In pieces, because urllib's time-out starts again with each byte.
    while chunk := response.read1(_CHUNK_BYTES):
        data += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(data) > most_bytes:
            raise StrangeAnswer(f"more than {most_bytes} bytes")
    return data


def _sentence(error: urllib.error.HTTPError, timeout_s: float) -> str | None:
    try:
        content = decoded(read_body(error, _MOST_ERROR_BYTES, timeout_s))
    except (*FAILURES, ValueError):
        return None
    sentence = content.get("error") if isinstance(content, dict) else None
    return sentence if isinstance(sentence, str) else None
