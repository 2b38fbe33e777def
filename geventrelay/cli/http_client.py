"""Asks a server over HTTP, and explains why there is no answer."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request

FAILURES = (OSError, http.client.HTTPException)
"""The errors of a request that gets no answer, or not all of it."""

_MOST_ERROR_BYTES = 1 << 16


class Refused(Exception):
    """The server has answered with an error.

    :param status: the status, e.g. 404.
    :param phrase: the status in words.
    :param sentence: what the API says about the error; None if the answer is not one of the API.
    """

    def __init__(self, status: int, phrase: str, sentence: str | None) -> None:
        super().__init__(sentence or f"{status} {phrase}")
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
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)

    def get(self, path: str, token: str | None = None) -> http.client.HTTPResponse:
        """Send a GET request for `path`; returns the answer, whose body the caller reads, and closes.

        :param token: the server's token; None sends none.
        :raises Refused: if the server answers with an error.
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
                raise Refused(error.code, error.reason, _sentence(error)) from None
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
        return str(getattr(cause, "strerror", None) or cause)


def _sentence(error: urllib.error.HTTPError) -> str | None:
    try:
        return str(json.loads(error.read(_MOST_ERROR_BYTES))["error"])
    except (*FAILURES, ValueError, KeyError, TypeError):
        return None
