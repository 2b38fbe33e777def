"""Which of a device's settings each engine can do: what engine zmtp alone can, and what it has not."""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..access.socket_rules import rules_of
from ..endpoints import Endpoint
from ..errors import SettingsError
from .option import Option
from .socket_options import BY_NUMBER

SPOKEN = ("PULL", "PUSH", "SUB", "PUB", "XSUB", "XPUB", "ROUTER", "DEALER")
"""The socket types that engine zmtp speaks."""

OPTIONS = frozenset({
    "backlog", "bindtodevice", "connect_timeout", "curve_publickey", "curve_secretkey", "curve_server",
    "curve_serverkey", "handshake_ivl", "heartbeat_ivl", "heartbeat_timeout", "heartbeat_ttl", "immediate", "ipv6",
    "legacy_peers", "linger", "maxmsgsize", "plain_password", "plain_username", "rcvbuf", "rcvhwm", "reconnect_ivl",
    "reconnect_ivl_max", "router_handover", "routing_id", "sndbuf", "sndhwm", "tcp_keepalive", "tcp_keepalive_cnt",
    "tcp_keepalive_idle", "tcp_keepalive_intvl", "tcp_maxrt", "tos", "xpub_verbose",
    "xpub_verboser", "xpub_welcome_msg",
})  # fmt: skip
"""The socket options that engine zmtp has, by name."""

_OF_PYNACL = ("curve_server", "curve_serverkey")
_INSTALL = "pip install PyNaCl, or pipx inject geventrelay PyNaCl"


@dataclass(frozen=True, slots=True)
class Need:
    """A setting that engine zmtp alone can do.

    :ivar option: the option.
    :ivar value: what it is set to, as a user writes it.
    """

    option: Option
    value: Any

    def __str__(self) -> str:
        if self.value is True:
            return self.option.name
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        return f"{self.option.name} {value}"

    @property
    def refusal(self) -> SettingsError:
        """The same as an error of a device that is to have engine libzmq."""
        rule = f"{self.can} with engine libzmq ({self} needs engine zmtp)"
        return SettingsError(self.option.field, rule, self.value)

    @property
    def can(self) -> str:
        """What engine libzmq can do in its place."""
        return " or ".join(_told(self.option, one) for one in self.option.on_libzmq or ())


def needs(options: Iterable[Option], values: Mapping[str, Any]) -> Iterator[Need]:
    """Which of a device's settings engine zmtp alone can do.

    :param options: the device's.
    :param values: the settings that are right one by one, by field.
    """
    for option in options:
        can = option.on_libzmq
        if can is not None and option.field in values and values[option.field] not in can:
            yield Need(option, _written(values[option.field]))


def _written(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    return value.value if isinstance(value, enum.Enum) else value


def _told(option: Option, value: Any) -> str:
    return f"no {option.name}" if value is None or value is False else str(_written(value))


def misfits(values: Mapping[str, Any], types: Mapping[str, str], need: Need | None = None) -> Iterator[SettingsError]:
    """What of a device's settings engine zmtp has not.

    :param values: the settings that are right one by one, by field.
    :param types: the type of each socket of the pattern, as far as it is known, by key.
    :param need: why the device is to have this engine, if that was not asked for itself.
    """
    engine = "with engine zmtp" if need is None else f"with engine zmtp ({need} needs it)"
    there = {key: kind for key, kind in types.items() if values.get(key)}
    unknown = list(dict.fromkeys(kind for kind in there.values() if kind not in SPOKEN))
    if unknown:
        rule = f"engine zmtp speaks {', '.join(SPOKEN)}, and not {', '.join(unknown)}"
        if need is None:
            yield SettingsError("engine", f"auto or libzmq, since {rule}", "zmtp")
        else:
            can = f"{need.can} here ({need} needs engine zmtp)"
            yield SettingsError(need.option.field, f"{can}, since {rule}", need.value)
    for key in there:
        yield from _inproc(key, values[key], engine)
        yield from _options(key, values.get("socket_options", {}).get(key, {}), engine)
    secrets = [rules.curve_secret for key in there if (rules := rules_of(values, key)) and rules.curve_secret]
    if secrets and not _has_pynacl():
        yield SettingsError("curve_secret", f"no CURVE {engine} without PyNaCl ({_INSTALL})", secrets[0])
    if values.get("io_threads", 1) != 1:
        yield SettingsError("io_threads", f"1 {engine}, which has no I/O threads", values["io_threads"])


def _inproc(key: str, endpoints: Iterable[Endpoint], engine: str) -> Iterator[SettingsError]:
    for endpoint in endpoints:
        if endpoint.transport == "inproc":
            yield SettingsError(key, f"tcp or ipc {engine}, which has no inproc", str(endpoint))


def _options(key: str, options: Mapping[int, Any], engine: str) -> Iterator[SettingsError]:
    for number, value in options.items():
        option = BY_NUMBER[number]
        name, shown = f"{key}.{option.name}", option.shown(value)
        if option.name not in OPTIONS:
            yield SettingsError(name, f"no {option.written} {engine}, which does not have it", shown)
        elif option.name in _OF_PYNACL and not _has_pynacl():
            yield SettingsError(name, f"no {option.written} {engine} without PyNaCl ({_INSTALL})", shown)


def _has_pynacl() -> bool:
    try:
        return importlib.util.find_spec("nacl") is not None
    except ValueError:
        # A program has put something else in its place.
        return False
