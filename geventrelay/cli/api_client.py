"""Reads the JSON API of a server over HTTP."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from ..errors import SettingsError, StartError
from ..settings.concealed import Unshown
from .api_answer import StrangeAnswer, check_devices, check_subscribers, check_topics, check_trace, decoded, is_count
from .http_client import FAILURES, HttpClient, Refused

DEFAULT_URL = "http://127.0.0.1:8080"
"""The URL of a server by default."""

VERSION = 1
"""The version of the JSON that this client reads."""

# More than the answer of a server with a thousand devices. The answer of another program may never end.
_MOST_BYTES = 32 << 20


class Remote:
    """A server with HTTP. Making one sends no request.

    :param url: its URL, or ``HOST:PORT``, or a bare port.
    :param timeout_s: how long an answer may take, in seconds.
    :raises SettingsError: if the URL is not one of these.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = _read_url(url)
        self._client = HttpClient(self.url, timeout_s)

    def devices(self) -> Mapping[str, Any]:
        """The answer of ``/api/devices``. Blocks the hub.

        :raises StartError: if there is no answer, or another program answers.
        """
        try:
            answer = decoded(self._read("/api/devices"))
            if isinstance(answer, dict) and is_count(answer.get("version")) and answer["version"] != VERSION:
                raise StartError(f"{self.url}: expected version {VERSION} of the API, got {answer['version']}")
            return check_devices(answer)
        except StrangeAnswer as strange:
            raise StartError(f"{self.url}: expected the API of geventrelay, got {strange}") from None

    def topics(self, device: str, limit: int) -> Mapping[str, Any] | None:
        """The answer of ``/api/devices/NAME/topics``; None if the `device` counts none, or has gone. Blocks the hub.

        :param limit: how many topics, the busiest of late.
        :raises StartError: as `devices`.
        """
        return self._of_device(device, f"topics?sort=rate&limit={limit}", check_topics)

    def subscribers(self, device: str, limit: int) -> Mapping[str, Any] | None:
        """The answer of ``/api/devices/NAME/subscribers``; None if they are not counted, or the `device` has gone.

        Blocks the hub.

        :param limit: how many subscribers that are there, those that have lost most.
        :raises StartError: as `devices`.
        """
        return self._of_device(device, f"subscribers?limit={limit}", check_subscribers)

    def trace(self, device: str, query: Mapping[str, str], token: str | None) -> Mapping[str, Any]:
        """The answer of a POST to ``/api/devices/NAME/trace``. Blocks the hub.

        :param device: its name.
        :param query: what is asked; see there.
        :param token: the server's token; None sends none.
        :raises StartError: as `devices`, and if the server does not do it.
        """
        path = f"/api/devices/{urllib.parse.quote(os.fsencode(device), safe='')}/trace"
        encoded = urllib.parse.urlencode({key: os.fsencode(value) for key, value in query.items()})
        try:
            with self._client.post(f"{path}?{encoded}", token, kind="application/json") as answer:
                return check_trace(decoded(answer.body(_MOST_BYTES)))
        except Refused as refused:
            advice = ""
            if refused.status == HTTPStatus.UNAUTHORIZED:
                advice = " (give it with --token-file)" if token is None else " (that of --token-file is another one)"
            raise StartError(f"{self._error(refused)}{advice}") from None
        except StrangeAnswer as strange:
            raise StartError(f"{self.url}: expected the API of geventrelay, got {strange}") from None
        except FAILURES as error:
            raise StartError(f"cannot read {self.url}: {self._client.reason(error)}") from None

    def _of_device(self, device: str, path: str, check: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any] | None:
        try:
            return check(decoded(self._body(f"/api/devices/{urllib.parse.quote(device, safe='')}/{path}")))
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise self._error(refused) from None
        except StrangeAnswer as strange:
            raise StartError(f"{self.url}: expected the API of geventrelay, got {strange}") from None

    def _read(self, path: str) -> bytes:
        try:
            return self._body(path)
        except Refused as refused:
            if refused.sentence is None:
                raise StrangeAnswer(f"HTTP {refused.status}") from None
            raise self._error(refused) from None

    def _body(self, path: str) -> bytes:
        try:
            with self._client.get(path, kind="application/json") as answer:
                return answer.body(_MOST_BYTES)
        except FAILURES as error:
            raise StartError(f"cannot read {self.url}: {self._client.reason(error)}") from None

    def _error(self, refused: Refused) -> StartError:
        return StartError(f"{self.url}: HTTP {refused.status}: {refused}")


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
    if parts.username is not None:
        raise SettingsError("URL", "http://HOST:PORT without a user", Unshown("one with a user"))
    return url.rstrip("/")
