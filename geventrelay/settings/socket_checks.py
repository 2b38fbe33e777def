"""Rules that the values of ZeroMQ's socket options obey; each check returns what libzmq is given."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ..errors import SettingsError
from .checks import Check, flag

_Z85 = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")

# A name has labels of up to 63 characters (RFC 1123); one of numbers alone is an IPv4 address.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_AND_PORT = re.compile(rf"(?:(?P<name>{_LABEL}(?:\.{_LABEL})*)|\[(?P<ipv6>[^\]]+)\]):(?P<port>[0-9]{{1,5}})")
_NUMBERS = re.compile(r"[0-9.]+")


def switch(name: str, value: Any) -> int:
    """Take true or false as 1 or 0: `name` is what to call the input in an error, `value` what was given."""
    return value if type(value) is int and value in (0, 1) else int(flag(name, value))


def switch_or_unset(name: str, value: Any) -> int:
    """Take true or false as 1 or 0, or -1, which leaves the system's default.

    :param name: what to call the input in an error.
    :param value: what was given.
    """
    return int(value) if type(value) is not bool and value in (-1, "-1", "0", "1") else switch(name, value)


def limited_text(limit_bytes: int = 255) -> Check:
    """A check for text of 1 to `limit_bytes` bytes."""
    rule = f"text of 1 to {limit_bytes} bytes without NUL"

    def check(name: str, value: Any) -> bytes:
        text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
        if not isinstance(text, bytes) or not 1 <= len(text) <= limit_bytes or b"\0" in text:
            raise SettingsError(name, rule, value)
        return text

    return check


def message(name: str, value: Any) -> bytes:
    """Take the bytes of a message: `name` is what to call the input in an error, `value` what was given."""
    text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    if not isinstance(text, bytes):
        raise SettingsError(name, "text", value)
    return text


def routing_id(name: str, value: Any) -> bytes:
    """Take a routing id: `name` is what to call the input in an error, `value` what was given."""
    text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    if not isinstance(text, bytes) or not 1 <= len(text) <= 255 or text[0] == 0:
        raise SettingsError(name, "a routing id: 1 to 255 bytes, the first of which is not NUL", value)
    return text


def curve_key(name: str, value: Any) -> bytes:
    """Take a CURVE key: its 32 bytes, or their 40 characters of Z85.

    :param name: what to call the input in an error.
    :param value: what was given.
    """
    if isinstance(value, bytes) and len(value) == 32:
        return value
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) != 40 or not set(text) <= _Z85:
        raise SettingsError(name, "a CURVE key: 40 characters of Z85", value)
    return text.encode()


def host_and_port(name: str, value: Any) -> bytes:
    """Take the address of a SOCKS proxy: `name` is what to call the input in an error, `value` what was given."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    match = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
    if match is None or not 1 <= int(match["port"]) <= 65535 or not _is_host(match):
        raise SettingsError(
            name, "HOST:PORT, a name or IP address (IPv6 in brackets) and a port from 1 to 65535", value
        )
    return match[0].encode()


def _is_host(match: re.Match[str]) -> bool:
    name = match["name"]
    if name is not None and not _NUMBERS.fullmatch(name):
        return len(name) <= 253
    try:
        return ipaddress.ip_address(name or match["ipv6"]).version == (6 if name is None else 4)
    except ValueError:
        return False


def network(name: str, value: Any) -> bytes:
    """Take a network of IP addresses: `name` is what to call the input in an error, `value` what was given."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    try:
        return str(ipaddress.ip_network(text if isinstance(text, str) else "", strict=False)).encode()
    except ValueError:
        raise SettingsError(name, "a network of IP addresses, e.g. 10.0.0.0/8", value) from None
