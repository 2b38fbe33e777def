"""The options of HTTP: where it is answered, and how much of it one client may use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..endpoints import LOOPBACK, ascii_host
from ..errors import SettingsError
from .checks import Network, networks, path, whole
from .option import Group, Scope, option, options_of

_HTTP = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the server answers HTTP: a host, by default ``127.0.0.1``, and a port; 0 takes a free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, name: str, value: Any) -> HttpAddress:
        """Read an address.

        :param name: what to call the input in an error.
        :param value: ``HOST:PORT``, ``[HOST]:PORT`` or a bare port, as text or int; the host ``*`` is every one.
        :raises SettingsError: for anything else.
        """
        if isinstance(value, HttpAddress):
            return value
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        match = _HTTP.fullmatch(text)
        if match is None or int(match["port"]) > 65535 or not ascii_host(match["host"] or LOOPBACK):
            raise SettingsError(name, "HOST:PORT or a port, which is from 0 to 65535", value)
        host = (match["host"] or LOOPBACK).strip("[]")
        return cls("0.0.0.0" if host == "*" else host, int(match["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions(Group):
    """Where HTTP is answered, and how much of it one client may use."""

    title = "HTTP"
    scope = Scope.PROCESS

    http: HttpAddress | None = option(
        HttpAddress.parse,
        "page, API and metrics over HTTP; a bare PORT is on 127.0.0.1",
        default=None,
        unset="nowhere",
        metavar="HOST:PORT",
    )
    http_token_file: Path | None = option(
        path,
        "its first line is the token that allows changes over HTTP",
        default=None,
        unset="no changes",
        metavar="PATH",
    )
    http_connections: int = option(
        whole(1, 100_000),
        "HTTP connections at a time, of all clients; /healthz and /readyz are answered beyond that too",
        default=128,
        unit="connections",
        bound=True,
        rare=True,
    )
    http_connections_per_client: int = option(
        whole(1, 100_000),
        "HTTP connections at a time of one address; one more ends its oldest",
        default=16,
        unit="connections",
        bound=True,
        rare=True,
    )
    http_streams_per_client: int = option(
        whole(1, 100_000),
        "answers without an end (events, messages) at a time of one address; one more ends its oldest",
        default=8,
        unit="answers",
        bound=True,
        rare=True,
    )
    http_trusted_proxy: tuple[Network, ...] = option(
        networks,
        "a proxy at this address or network names the client in X-Forwarded-For",
        default=(),
        unset="none",
        metavar="NETWORK",
        rare=True,
        many=True,
    )


def check_http_used(settings: HttpOptions) -> None:
    """Hold `settings` to having `http` where any other option of HTTP is set: it would be ignored without a word.

    Not when they are made: the file may have one, and the command line the other.

    :raises SettingsError: naming the option.
    """
    for one in options_of(HttpOptions):
        value = getattr(settings, one.field)
        if settings.http is None and value != one.default:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            raise SettingsError(one.field, "an address for http to go with it", shown)
