"""What the engine that speaks ZMTP itself has: which of a device's settings it can do, and which it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..endpoints import Endpoint
from ..errors import SettingsError
from .socket_options import BY_NUMBER

SPOKEN = ("PULL", "PUSH", "SUB", "PUB", "XSUB", "XPUB", "ROUTER", "DEALER")
"""The socket types that engine zmtp speaks."""

OPTIONS = frozenset({
    "backlog", "bindtodevice", "connect_timeout", "handshake_ivl", "immediate", "ipv6", "legacy_peers", "linger",
    "maxmsgsize",
    "rcvbuf", "rcvhwm", "reconnect_ivl", "reconnect_ivl_max", "router_handover", "routing_id",
    "sndbuf", "sndhwm", "tcp_keepalive",
    "tcp_keepalive_cnt", "tcp_keepalive_idle", "tcp_keepalive_intvl", "tcp_maxrt", "tos",
})  # fmt: skip
"""The socket options that engine zmtp has, by name."""

_ENGINE = "with engine zmtp"


def misfits(values: Mapping[str, Any], types: Mapping[str, str]) -> Iterator[SettingsError]:
    """What of a device's settings engine zmtp has not.

    :param values: the settings that are right one by one, by field.
    :param types: the type of each socket of the pattern, as far as it is known, by key.
    """
    there = {key: kind for key, kind in types.items() if values.get(key)}
    unknown = [kind for kind in there.values() if kind not in SPOKEN]
    if unknown:
        rule = f"auto or libzmq, since engine zmtp speaks {', '.join(SPOKEN)}, and not {', '.join(unknown)}"
        yield SettingsError("engine", rule, "zmtp")
    for key in there:
        yield from _inproc(key, values[key])
        yield from _options(key, values.get("socket_options", {}).get(key, {}))
    if values.get("io_threads", 1) != 1:
        yield SettingsError("io_threads", f"1 {_ENGINE}, which has no I/O threads", values["io_threads"])


def _inproc(key: str, endpoints: Iterable[Endpoint]) -> Iterator[SettingsError]:
    for endpoint in endpoints:
        if endpoint.transport == "inproc":
            yield SettingsError(key, f"tcp or ipc {_ENGINE}, which has no inproc", str(endpoint))


def _options(key: str, options: Mapping[int, Any]) -> Iterator[SettingsError]:
    for number in options:
        name = BY_NUMBER[number].name
        if name not in OPTIONS:
            yield SettingsError(f"{key}.{name}", f"no {name} {_ENGINE}, which does not have it", name)
