"""Rules that single values obey: each check returns the value as it is kept, or raises `SettingsError`."""

from __future__ import annotations

import enum
import ipaddress
import math
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from ..endpoints import parse_endpoints
from ..errors import SettingsError

Check = Callable[[str, Any], Any]
"""Takes the name of the input for an error, and its value. Returns the value that is kept."""

# Handshakes count too, and the largest that there are (a routing id of 255 bytes, CURVE) fit in: see
# zmtp_engine.cpp and curve_mechanism_base.cpp. With less, some peers or all of them never get in.
SMALLEST_MESSAGE_LIMIT_BYTES = 1024
# The most that TCP_KEEPIDLE and TCP_KEEPINTVL take (MAX_TCP_KEEPIDLE in Linux's tcp.h). Where the kernel refuses,
# libzmq ends each connection.
LONGEST_KEEPALIVE_S = 32_767

# libzmq's tries are walked by recursion, so that a topic of 200 kB overflows a stack of 8 MB; this is far below.
LARGEST_TOPIC_LIMIT_BYTES = 65_536

_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOG_LEVELS = ("debug", "info", "warning", "error")


def whole(minimum: int, maximum: int = 2**31 - 1, *, besides: int | None = None) -> Check:
    """A check for integers, or text that is one, from `minimum` to `maximum`.

    :param besides: one more that is allowed, for what it means.
    """
    rule = ("" if besides is None else f"{besides} or ") + f"an integer from {minimum} to {maximum}"

    def check(name: str, value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            raise SettingsError(name, rule, value) from None
        if isinstance(number, bool) or not isinstance(number, int):
            raise SettingsError(name, rule, value)
        if number != besides and not minimum <= number <= maximum:
            raise SettingsError(name, rule, value)
        return number

    return check


def seconds(name: str, value: Any) -> float:
    """Read a number of seconds.

    :param name: what to call the input in an error.
    :param value: the number, or text that is one.
    :raises SettingsError: unless it is from 0 to 86400.
    """
    rule = "a number from 0 to 86400"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(name, rule, value) from None
    if isinstance(value, bool) or not math.isfinite(number) or not 0 <= number <= 86400:
        raise SettingsError(name, rule, value)
    return number


def flag(name: str, value: Any) -> bool:
    """Take true or false, or their text: `name` is what to call the input in an error, `value` what was given."""
    truth = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(truth, bool):
        raise SettingsError(name, "true or false", value)
    return truth


def path(name: str, value: Any) -> Path:
    """Take a path, or text that is one: `name` is what to call the input in an error, `value` what was given."""
    if not isinstance(value, (str, os.PathLike)) or not str(value) or "\0" in str(value):
        raise SettingsError(name, "a path", value)
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        rule = f"a path that can be written in this system's encoding ({sys.getfilesystemencoding()})"
        raise SettingsError(name, rule, value) from None
    return Path(value)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(name: str, value: Any) -> tuple[Network, ...]:
    """Read IP addresses and networks.

    :param name: what to call the input in an error.
    :param value: one as text, e.g. ``10.0.0.0/8``, or several in a list; or networks.
    :raises SettingsError: for anything else, such as bits of a host in a network.
    """
    found = []
    for one in value if isinstance(value, (list, tuple)) else [value]:
        try:
            if not isinstance(one, (str, ipaddress.IPv4Network, ipaddress.IPv6Network)):
                raise ValueError
            found.append(ipaddress.ip_network(one))
        except ValueError:
            raise SettingsError(name, f"an IP address or a network such as 10.0.0.0/8{_meant(one)}", one) from None
    return tuple(found)


def _meant(value: Any) -> str:
    """What to write in the place of a network with bits of a host."""
    try:
        return f" (did you mean {ipaddress.ip_network(value, strict=False)}?)" if isinstance(value, str) else ""
    except ValueError:
        return ""


def level(name: str, value: Any) -> str:
    """Take a level of the log: `name` is what to call the input in an error, `value` what was given."""
    if value not in LOG_LEVELS:
        raise SettingsError(name, "one of " + ", ".join(LOG_LEVELS), value)
    return str(value)


def device_name(name: str, value: Any) -> str:
    """Take a device's name, or an empty one. It fits into URLs, logs and the labels of metrics.

    :param name: what to call the input in an error.
    :param value: what was given.
    """
    if not isinstance(value, str) or not (value == "" or _DEVICE_NAME.fullmatch(value)):
        raise SettingsError(name, "up to 64 letters, digits, '.', '_' and '-', a letter or digit first", value)
    return str(value)


def endpoints(name: str, value: Any) -> Any:
    """Read one endpoint or several. The settings of a device say which interface bare ports bind; here it is every one.

    :param name: what to call the input in an error.
    :param value: what `geventrelay.endpoints.parse_endpoints` takes.
    :raises SettingsError: for anything else.
    """
    return parse_endpoints(value, name=name, interface="*")


def text(name: str, value: Any) -> str:
    """Take any text: `name` is what to call the input in an error, `value` what was given."""
    if not isinstance(value, str):
        raise SettingsError(name, "text", value)
    return str(value)


def word(name: str, value: Any) -> str:
    """Take text without spaces: `name` is what to call the input in an error, `value` what was given."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise SettingsError(name, "printable text without spaces", value)
    return str(value)


def one_of(choices: type[enum.Enum], but: Collection[enum.Enum] = ()) -> Check:
    """A check for one of an enum's members, or its value.

    :param choices: the enum.
    :param but: members that are refused.
    """
    allowed = [choice for choice in choices if choice not in but]
    rule = "one of " + ", ".join(choice.value for choice in allowed)

    def check(name: str, value: Any) -> enum.Enum:
        try:
            choice = choices(value)
        except ValueError:
            raise SettingsError(name, rule, value) from None
        if choice not in allowed:
            raise SettingsError(name, rule, value)
        return choice

    return check


def prefixes(name: str, value: Any) -> tuple[bytes, ...]:
    """Take text or bytes, one or several: `name` is what to call the input in an error, `value` what was given."""
    several = value if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]
    taken = []
    for one in several:
        if not isinstance(one, (str, bytes)):
            raise SettingsError(name, "text or bytes", one)
        taken.append(one.encode(errors="surrogateescape") if isinstance(one, str) else one)
    return tuple(taken)
