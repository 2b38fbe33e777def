"""Where a server of NATS is, and what this process says there to be let in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ...endpoints import ascii_host
from ...errors import SettingsError
from ...settings.concealed import Unshown

DEFAULT_PORT = 4222

_URL = re.compile(
    r"(?:(?P<scheme>nats|tls)://)?(?:(?P<login>[^@/\s]+)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/@\s]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_RULE = "URLs of NATS such as nats://n1:4222,n2:4222 or tls://n1:4222"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where one server of NATS is. Its text has no login.

    :ivar host: its name or address.
    :ivar port: its port for clients.
    :ivar tls: whether only an encrypted connection will do.
    :ivar login: what stood before the ``@``: ``USER:PASSWORD``, or a token; empty if nothing did.
    """

    host: str
    port: int
    tls: bool = False
    login: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


def addresses(name: str, value: Any) -> tuple[ServerAddress, ...]:
    """Read where the servers of NATS are.

    :param name: what to call the input in an error.
    :param value: URLs as text, with commas between them, or in a list. One without a scheme has that of the one before.
    :raises SettingsError: for anything else; a login is not shown.
    """
    found: list[ServerAddress] = []
    for several in value if isinstance(value, (list, tuple)) and value else [value]:
        for one in several.split(",") if isinstance(several, str) else [several]:
            address = _address(one, tls=bool(found) and found[-1].tls)
            if address is None:
                # What must not be shown is no plain text, and not cut into pieces that are.
                wrong = one.strip() if type(several) is str else several
                raise SettingsError(name, _RULE, Unshown("text that has a login") if _has_login(value) else wrong)
            found.append(address)
    return tuple(found)


def _address(value: Any, *, tls: bool) -> ServerAddress | None:
    if isinstance(value, ServerAddress):
        return value
    match = _URL.fullmatch(value.strip()) if isinstance(value, str) else None
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536 or not ascii_host(match["host"]):
        return None
    if match["host"].isdecimal():
        # A port alone: elsewhere, it would be one of this machine, and here it would be looked for as a host for ever.
        return None
    scheme = match["scheme"]
    return ServerAddress(
        match["host"].strip("[]"), port, tls if scheme is None else scheme == "tls", match["login"] or ""
    )


def _has_login(value: Any) -> bool:
    return any(isinstance(one, str) and "@" in one for one in (value if isinstance(value, (list, tuple)) else [value]))


def user_and_password(login: str) -> tuple[str, str] | None:
    """The user and the password that `login` consists of; None if it is a token. It is decoded as a URL's is."""
    user, colon, password = login.partition(":")
    return (unquote(user), unquote(password)) if colon else None
