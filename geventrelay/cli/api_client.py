"""Reads the JSON API of a server over HTTP."""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import Any

from ..errors import SettingsError, StartError
from .http_client import FAILURES, HttpClient, Refused

DEFAULT_URL = "http://127.0.0.1:8080"
"""The URL of a server by default."""

VERSION = 1
"""The version of the JSON that this client reads."""

# More than the answer of a server with a thousand devices. The answer of another program may never end.
_MOST_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 16


class Remote:
    """A server with HTTP. Making one sends no request.

    :param url: its URL, or ``HOST:PORT``, or a bare port.
    :param timeout_s: how long an answer may take, in seconds.
    :raises SettingsError: if the URL is not one of these.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = _read_url(url)
        self._timeout_s = timeout_s
        self._client = HttpClient(self.url, timeout_s)

    def devices(self) -> dict[str, Any]:
        """The answer of ``/api/devices``. Blocks the hub.

        :raises StartError: if there is no answer, or another program answers.
        """
        try:
            answer = json.loads(self._read("/api/devices"))
        except ValueError:
            raise self._strange("something else") from None
        if not isinstance(answer, dict) or not {"version", "server", "devices"} <= answer.keys():
            raise self._strange("other JSON")
        if answer["version"] != VERSION:
            raise StartError(f"{self.url}: expected version {VERSION} of the API, got {answer['version']!r}")
        return answer

    def _read(self, path: str) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        data = b""
        try:
            with self._client.get(path) as response:
                # In pieces, because urllib's time-out starts again with each byte.
                while chunk := response.read1(_CHUNK_BYTES):
                    data += chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError
                    if len(data) > _MOST_BYTES:
                        raise self._strange(f"more than {_MOST_BYTES} bytes")
        except Refused as refused:
            if refused.sentence is None:
                raise self._strange(f"HTTP {refused.status}") from None
            raise StartError(f"{self.url}: HTTP {refused.status}: {refused}") from None
        except FAILURES as error:
            raise StartError(f"cannot read {self.url}: {self._client.reason(error)}") from None
        return data

    def _strange(self, what: str) -> StartError:
        return StartError(f"{self.url}: expected the API of geventrelay, got {what}")


def _read_url(text: str) -> str:
    url = f"http://127.0.0.1:{text}" if text.isdigit() else text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018 (raises for a wrong port)
    except ValueError:
        parts = urllib.parse.SplitResult("", "", "", "", "")
    printable = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or not printable:
        raise SettingsError("URL", "http://HOST:PORT", text)
    return url.rstrip("/")
