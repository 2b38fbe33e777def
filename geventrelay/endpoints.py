"""Endpoints: the addresses that users write, and whether a socket binds them or connects to them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .errors import SettingsError

FORMS = "tcp://HOST:PORT, ipc://PATH, inproc://NAME, HOST:PORT or a port"
RULE = FORMS + ", with @ (bind) or > (connect) before it"
PORT_RULE = "a port from 0 to 65535"
HOST_RULE = "a host name, whose parts between dots have 1 to 63 characters"
# sun_path of sockaddr_un(7) has 108 bytes, the last of which is a NUL.
IPC_PATH_BYTES = 107

_TCP = re.compile(r"(?P<host>\[[^\[\]\s]+\]|[^\[\]:;/\s]+):(?P<port>[^:/\s]+)")
LOOPBACK = "127.0.0.1"
"""This host, reachable from itself alone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and what to do with it.

    :ivar address: the address as libzmq takes it, e.g. ``tcp://*:5555``; see zmq_tcp(7), zmq_ipc(7), zmq_inproc(7).
    :ivar binds: True to bind there, False to connect.
    :ivar is_bare: whether it was written as a bare port. It makes no difference between two endpoints.
    """

    address: str
    binds: bool = True
    is_bare: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.address if self.binds else ">" + self.address

    @property
    def transport(self) -> str:
        """``tcp``, ``ipc`` or ``inproc``."""
        return self.address.partition("://")[0]

    @property
    def host(self) -> str | None:
        """The host of a tcp endpoint, brackets included; None for the other transports."""
        return self.address[len("tcp://") :].rpartition(":")[0] if self.transport == "tcp" else None

    @property
    def port(self) -> str | None:
        """The port of a tcp endpoint; None for the other transports."""
        return self.address.rpartition(":")[2] if self.transport == "tcp" else None

    @property
    def is_public(self) -> bool:
        """Whether this opens a port to every host that can reach this one."""
        return self.binds and self.host is not None and is_every_host(self.host)

    @property
    def is_beyond_loopback(self) -> bool:
        """Whether this opens a port that other hosts may reach, as far as that can be known from its address."""
        return self.binds and self.host is not None and not _is_loopback(self.host)

    @property
    def how_to_keep_private(self) -> str:
        """What to write so that an endpoint that `is_public` is open to this host only, as a clause."""
        if self.is_bare:
            return f"--interface {LOOPBACK} (in a file: interface) keeps it to this host"
        own = "[::1]" if ":" in (self.host or "") else LOOPBACK
        return f"tcp://{own}:{self.port} in place of {self.address} keeps it to this host"

    @property
    def is_wildcard(self) -> bool:
        """Whether the operating system chooses the address, so that binding it twice gives two."""
        return self.port in ("0", "*") or self.address == "ipc://*"

    def clashes(self, other: Endpoint) -> bool:
        """Whether this and `other` cannot both be bound, as far as that can be known without trying."""
        if not (self.binds and other.binds) or self.is_wildcard or other.is_wildcard:
            return False
        if self.address == other.address:
            return True
        return self.port is not None and self.port == other.port and (self.is_public or other.is_public)

    @classmethod
    def parse(cls, value: object, *, name: str = "endpoint", interface: str = "*") -> Endpoint:
        """Read one endpoint.

        :param value: ``tcp://host:port``, ``ipc://path``, ``inproc://name``, ``host:port`` without ``tcp://``, or a
            port as text or int, which stands for ``tcp://INTERFACE:PORT``. ``@`` before it binds, which is the
            default; ``>`` connects (as in czmq). Port 0 binds a free port. An `Endpoint` is returned as it is.
        :param name: the name of the input in an error.
        :param interface: the host that a bare port binds; one that connects goes to this host, or to
            127.0.0.1 where it is ``*``.
        :raises SettingsError: for anything else.
        """
        if isinstance(value, Endpoint):
            return value
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise SettingsError(name, RULE, value)
        text = str(value).strip()
        binds = not text.startswith(">")
        text = text[1:] if text[:1] in ("@", ">") else text
        is_bare = re.fullmatch(r"-?\d{1,9}", text) is not None
        if is_bare:
            host = LOOPBACK if not binds and interface == "*" else interface
            text = f"tcp://{host}:{text}"
        elif _is_host_and_port(text):
            text = "tcp://" + text
        transport, _, rest = text.partition("://")
        check = _CHECKS.get(transport)
        if check is None or not rest:
            raise SettingsError(name, RULE + _hint(text), value)
        rule = check(rest, binds)
        if rule is not None:
            raise SettingsError(name, rule, value)
        if transport == "tcp" and not text.isascii():
            host, _, port = rest.rpartition(":")
            text = f"tcp://{ascii_host(host)}:{port}"
        return cls(text, binds, is_bare)


def ascii_host(host: str) -> str | None:
    """A `host` as resolvers take it, in which IDNA writes other scripts (RFC 3490); None for what can be no host.

    Python's resolver raises `UnicodeError`, which is no `OSError`, for part of what is None here.
    """
    try:
        return None if "\0" in host else host.encode("idna").decode()
    except UnicodeError:
        return None


def is_every_host(host: str) -> bool:
    """Whether binding `host` opens a port to every host: ``*``, ``0.0.0.0``, ``[::]`` and other ways to write these."""
    if host == "*":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        # getaddrinfo(3) takes "0" and "0x0" too, as inet_aton(3) does.
        try:
            return socket.inet_aton(host) == bytes(4)
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_unspecified or (mapped is not None and mapped.is_unspecified)


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "lo"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Taken:
    """Which addresses are bound, and by which owner; fast also with thousands of them."""

    def __init__(self) -> None:
        self._owners: dict[str, list[tuple[Endpoint, str]]] = defaultdict(list)

    def owner(self, endpoint: Endpoint) -> str | None:
        """The owner that binds the address that `endpoint` needs; None if it is free."""
        others = self._owners.get(endpoint.port or endpoint.address, ())
        return next((owner for other, owner in others if endpoint.clashes(other)), None)

    def add(self, endpoint: Endpoint, owner: str) -> None:
        """Note that `owner` binds `endpoint`, unless several owners can bind it."""
        if endpoint.binds and not endpoint.is_wildcard:
            self._owners[endpoint.port or endpoint.address].append((endpoint, owner))


def parse_endpoints(value: object, *, name: str, interface: str) -> tuple[Endpoint, ...]:
    """Read one endpoint or several, at least one.

    :param value: what `Endpoint.parse` takes, or an iterable of it; `name` and `interface` are as there.
    :raises SettingsError: for anything else.
    """
    several = value if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]
    endpoints = tuple(Endpoint.parse(one, name=name, interface=interface) for one in several)
    if not endpoints:
        raise SettingsError(name, "at least one endpoint", value)
    return endpoints


def _hint(text: str) -> str:
    """What is wrong with a `text` that has none of the forms, in brackets, where that is plain."""
    if text.startswith(("http:", "https:")):
        return " (http:// is for --http, and no address of ZeroMQ)"
    if _TCP.fullmatch(f"{text}:0") and text not in _CHECKS:
        return f" (the port is missing: {text}:PORT)"
    return ""


def _is_host_and_port(text: str) -> bool:
    """Whether this is ``HOST:PORT``, and neither what is left of a transport, nor two ports."""
    match = _TCP.fullmatch(text)
    return match is not None and match["host"] not in _CHECKS and not match["host"].isdecimal()


def _check_tcp(rest: str, binds: bool) -> str | None:
    match = _TCP.fullmatch(rest)
    if match is None:
        return RULE + _hint(rest)
    port = match["port"]
    if port == "*" and not binds:
        return "a host and a port to connect to"
    # isdecimal() alone accepts the digits of other scripts.
    if port != "*" and not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        return PORT_RULE
    if not binds and (int(port) == 0 or is_every_host(match["host"])):
        return "a host and a port to connect to"
    return None if ascii_host(match["host"]) else HOST_RULE


def _check_ipc(rest: str, binds: bool) -> str | None:
    if rest == "*" and not binds:
        return "a path to connect to"
    path = _bytes(rest)
    if path is None or len(path) > IPC_PATH_BYTES or b"\0" in path:
        return f"an ipc path of at most {IPC_PATH_BYTES} bytes, none of them NUL"
    return None


def _check_inproc(rest: str, binds: bool) -> str | None:
    name = _bytes(rest)
    fits = name is not None and len(rest) <= 255 and b"\0" not in name
    return None if fits else "an inproc name of at most 255 characters, none of them NUL"


def _bytes(text: str) -> bytes | None:
    """The bytes that libzmq gets for `text`; None where there are none. Bytes that are not UTF-8 stay as they are."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return None


_CHECKS = {"tcp": _check_tcp, "ipc": _check_ipc, "inproc": _check_inproc}
