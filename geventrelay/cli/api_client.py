"""The documented JSON of a server that answers HTTP, wherever it runs."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ..errors import SettingsError, StartError

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where a server answers if no URL is given."""

VERSION = 1
"""The version of the JSON that is understood here."""

# More than a server with a thousand devices sends. The answer of some other program may never end.
_MOST_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 16


class Remote:
    """A server that is asked over HTTP. Making one asks nothing.

    :param url: where it answers: a URL, ``HOST:PORT`` or a bare port.
    :param timeout_s: how long an answer may take, in seconds.
    :raises SettingsError: if the URL is not valid.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = _read_url(url)
        self._timeout_s = timeout_s
        # A server on this host or the next is not asked through a proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def devices(self) -> dict[str, Any]:
        """The answer of ``/api/devices``. Blocks the hub.

        :raises StartError: if there is none, or it comes from something else.
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
            with self._opener.open(self.url + path, timeout=self._timeout_s) as response:
                # By pieces: the time-out that urllib knows begins anew with each byte that comes.
                while chunk := response.read1(_CHUNK_BYTES):
                    data += chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError
                    if len(data) > _MOST_BYTES:
                        raise self._strange(f"more than {_MOST_BYTES} bytes")
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise StartError(f"cannot read {self.url}: {self._reason(error)}") from None
        return data

    def _reason(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(reason, socket.gaierror):
            return "no such host"
        if isinstance(reason, http.client.HTTPException):
            return "what answers there does not speak HTTP"
        strerror = getattr(reason, "strerror", None)
        return str(strerror or reason)

    def _refused(self, error: urllib.error.HTTPError) -> StartError:
        try:
            sentence = json.loads(error.read(_CHUNK_BYTES))["error"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return self._strange(f"HTTP {error.code}")
        return StartError(f"{self.url}: HTTP {error.code}: {sentence}")

    def _strange(self, what: str) -> StartError:
        return StartError(f"{self.url}: expected the API of geventrelay, got {what}")


def _read_url(text: str) -> str:
    url = f"http://127.0.0.1:{text}" if text.isdigit() else text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018 (raises for a port that is none)
    except ValueError:
        parts = urllib.parse.SplitResult("", "", "", "", "")
    printable = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or not printable:
        raise SettingsError("URL", "http://HOST:PORT", text)
    return url.rstrip("/")
