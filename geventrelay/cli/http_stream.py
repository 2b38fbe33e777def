"""The messages from a server's API, as lines of JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from ..errors import RecordingError, SettingsError, StartError
from ..printable import printable
from ..recording import Record, from_line
from ..settings.concealed import Unshown
from ..web.tap import MAX_LINE_BYTES
from .api_answer import StrangeAnswer, decoded, is_count
from .http_client import FAILURES, Answer, HttpClient, Refused
from .output import print_stderr

# A server sends at least an empty line every few seconds.
_LINE_S = 30.0
_SHOWN_BYTES = 80


class HttpStream:
    """The answer of a server to a request for messages of a device. It is asked when the first line is wanted.

    :param address: the server's, as ``HOST:PORT``.
    :param path: of the device's tap or of its last values, query included.
    :param token: the server's token; None sends none.
    """

    def __init__(self, address: str, path: str, token: str | None) -> None:
        self._address, self._path, self._token = address, path, token
        self._line = b""
        self._client = HttpClient(f"http://{address}", _LINE_S, green=True)
        self._answer: Answer | None = None

    def begin(self) -> bool:
        """Wait for the first line, with which the server says that messages are seen from now on; true. Yields.

        :raises StartError: if the server does not answer, or with an error, or if the connection is lost.
        """
        self._line = self._read_line()
        return True

    def receive(self) -> list[Record]:
        """Wait for the next message; none at the end. Yields if there is none yet.

        :raises StartError: if the connection is lost, or something else comes than a server sends.
        """
        while True:
            line, self._line = self._line or self._read_line(), b""
            if not line:
                return []
            if not line.endswith(b"\n"):
                raise self._strange("a line without an end")
            try:
                if line.strip() and not self._is_notice(line):
                    return [from_line(line)]
            except (StrangeAnswer, RecordingError):
                raise self._strange(printable(line[:_SHOWN_BYTES].decode(errors="replace"))) from None

    def close(self) -> None:
        """Close it. Does not yield."""
        if self._answer is not None:
            self._answer.close()

    def _ask(self) -> Answer:
        try:
            return self._client.get(self._path, self._token, "application/x-ndjson")
        except Refused as refused:
            raise StartError(f"cannot read {self._address}: {refused}{self._advice(refused)}") from None
        except StrangeAnswer as strange:
            raise self._strange(strange) from None
        except FAILURES as error:
            raise StartError(f"cannot read {self._address}: {self._client.reason(error)}") from None

    def _advice(self, refused: Refused) -> str:
        """What to do about an answer: a token is asked for in words of HTTP, and given with an option."""
        if refused.status != HTTPStatus.UNAUTHORIZED:
            return ""
        return " (give it with --token-file)" if self._token is None else " (that of --token-file is another one)"

    def _read_line(self) -> bytes:
        if self._answer is None:
            self._answer = self._ask()
        try:
            return self._answer.line(MAX_LINE_BYTES, _LINE_S)
        except StrangeAnswer as strange:
            raise self._strange(strange) from None
        except FAILURES as error:
            raise StartError(f"lost {self._address}: {self._client.reason(error)}") from None

    def _strange(self, what: object) -> StartError:
        return StartError(f"{self._address}: expected the API of geventrelay, got {what}")

    def _is_notice(self, line: bytes) -> bool:
        """Whether the line only reports messages that are not shown; prints that report."""
        content = decoded(line)
        if not isinstance(content, dict) or "parts" in content:
            return False
        if not all(is_count(content.get(name, 0)) for name in ("lost", "left_out_bytes")):
            raise StrangeAnswer("other counts")
        if "lost" in content:
            print_stderr(f"{self._address}: {content['lost']} messages lost here")
        if "error" in content:
            raise StartError(f"{self._address}: {printable(str(content['error'])[:_SHOWN_BYTES])}")
        if "left_out_bytes" in content:
            nbytes = content["left_out_bytes"]
            print_stderr(f"{self._address}: a message of {nbytes} bytes left out")
        return True


def open_http(
    name: str, where: str, what: str, query: Mapping[str, object], *, device: str | None, token_file: Path | None
) -> HttpStream:
    """The stream of a device over HTTP. Does not yield.

    :param name: the name of `where` in an error.
    :param where: the server's URL, or that of the device's stream.
    :param what: which stream, the last word of its path: ``tap`` or ``last``.
    :param query: which messages to send; what is None or empty is left out.
    :param device: its name, for a server's URL.
    :param token_file: a file with the server's token in its first line.
    :raises SettingsError: if `where` or the file breaks a rule.
    """
    rule = f"http://HOST:PORT with --device NAME, or http://HOST:PORT/api/devices/NAME/{what}"
    try:
        url = urlsplit(where)
        host, port = url.hostname, 80 if url.port is None else url.port
    except ValueError:
        raise SettingsError(name, rule, where) from None
    if url.username is not None:
        raise SettingsError(name, f"{rule}, with --token-file and no user before the host", Unshown("one with a user"))
    if url.scheme != "http" or host is None or (url.path in ("", "/")) != (device is not None):
        raise SettingsError(name, rule, where)
    path = url.path if device is None else f"/api/devices/{quote(os.fsencode(device), safe='')}/{what}"
    encoded = urlencode({key: os.fsencode(str(value)) for key, value in query.items() if value not in (None, "")})
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return HttpStream(address, path + ("?" + encoded if encoded else ""), read_token(token_file))


def read_token(path: Path | None) -> str | None:
    """The token that the file at `path` has in its first line; None without a file. Does not yield.

    :raises SettingsError: if it cannot be read, or has none.
    """
    if path is None:
        return None
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        rule = f"a file that can be read ({getattr(error, 'strerror', None) or error})"
        raise SettingsError("--token-file", rule, str(path)) from None
    if not lines or not lines[0].strip().isascii():
        raise SettingsError("--token-file", "a file whose first line is a token", str(path))
    return lines[0].strip()
