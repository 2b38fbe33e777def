"""What is said to a SOCKS 5 proxy to reach a host through it (RFC 1928, RFC 1929). Pure: no sockets."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import zmq

OPTIONS = frozenset({zmq.SOCKS_PROXY, zmq.SOCKS_USERNAME, zmq.SOCKS_PASSWORD})
"""libzmq's options for it. A device never gives them to libzmq, see `geventrelay.components.tunnels`."""

_VERSION, _PASSWORD_VERSION, _CONNECT = 5, 1, 1
_NO_AUTHENTICATION, _PASSWORD = 0, 2
_IPV4, _NAME, _IPV6 = 1, 3, 4
_REFUSALS = {
    1: "general failure",
    2: "not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "expired",
    7: "it cannot connect",
    8: "it does not know this kind of address",
}

Conversation = Generator[tuple[bytes, int], bytes, None]
"""Yields what to send and how many bytes of an answer to read then, which it is to be sent."""


class ProxyError(Exception):
    """The proxy has refused something, or is none."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS 5 proxy.

    :ivar host: where it is, without brackets.
    :ivar port: its port.
    :ivar username: who is to be let through; None for a proxy that does not ask.
    :ivar password: the password of that user.
    """

    host: str
    port: int
    username: bytes | None = None
    password: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, options: Mapping[int, int | bytes]) -> Proxy | None:
        """The proxy that a socket's options, by libzmq's numbers, ask for; None if they ask for none."""
        address = options.get(zmq.SOCKS_PROXY)
        if not isinstance(address, bytes):
            return None
        host, _, port = address.decode().rpartition(":")
        username, password = (options.get(number) for number in (zmq.SOCKS_USERNAME, zmq.SOCKS_PASSWORD))
        return cls(
            host.strip("[]"),
            int(port),
            username if isinstance(username, bytes) else None,
            password if isinstance(password, bytes) else b"",
        )


def conversation(proxy: Proxy, host: str, port: int) -> Conversation:
    """What is said to `proxy` so that it connects to `host` and `port`; ends when it has done so.

    :param host: an IP address, or a name that the proxy is to resolve; without brackets.
    :raises ProxyError: naming what was refused.
    """
    method = _NO_AUTHENTICATION if proxy.username is None else _PASSWORD
    choice = yield bytes((_VERSION, 1, method)), 2
    if choice[0] != _VERSION:
        raise ProxyError("it speaks no SOCKS 5")
    if choice[1] != method:
        raise ProxyError("it asks for other credentials")
    if proxy.username is not None:
        yield from _identify(proxy.username, proxy.password)
    answer = yield bytes((_VERSION, _CONNECT, 0)) + _address(host) + port.to_bytes(2, "big"), 4
    if answer[0] != _VERSION or (not answer[1] and answer[3] not in (_IPV4, _NAME, _IPV6)):
        raise ProxyError("it speaks no SOCKS 5")
    if answer[1]:
        raise ProxyError(_REFUSALS.get(answer[1], f"refusal {answer[1]}"))
    # Which address it uses is of no interest, but has to be read.
    sizes = {_IPV4: 4, _IPV6: 16}
    size = sizes[answer[3]] if answer[3] in sizes else (yield b"", 1)[0]
    yield b"", size + 2


def _identify(username: bytes, password: bytes) -> Conversation:
    words = b"".join(bytes((len(word),)) + word for word in (username, password))
    answer = yield bytes((_PASSWORD_VERSION,)) + words, 2
    if answer[1]:
        raise ProxyError("wrong username or password")


def _address(host: str) -> bytes:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna" if not host.isascii() else "ascii")
        return bytes((_NAME, len(name))) + name
    return bytes((_IPV4 if ip.version == 4 else _IPV6,)) + ip.packed
