"""The rules of one socket, from the options of its device and its own, and what is wrong with how they go together."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from ..endpoints import Endpoint
from ..errors import SettingsError
from ..settings.checks import Network
from ..terms import Mechanism
from .networks import covers_a_family
from .options import ANY, OPTIONS, Clients

_MISSING_CLIENTS = "a folder with the keys that may connect, or any, beside {} (geventrelay keygen makes keys)"
# libzmq's own options that would choose another mechanism, or other keys.
_OTHER_MECHANISMS = {
    zmq.CURVE_PUBLICKEY: "curve_publickey",
    zmq.CURVE_SERVERKEY: "curve_serverkey",
    zmq.PLAIN_USERNAME: "plain_username",
    zmq.PLAIN_PASSWORD: "plain_password",
}
_OWN_SERVER = {zmq.CURVE_SERVER: "curve_server", zmq.CURVE_SECRETKEY: "curve_secretkey"}


class Role(enum.Enum):
    """Which side of a handshake a socket is. With libzmq that is one for all of its endpoints."""

    SERVER = "server"
    """It binds, and asks who connects."""
    CLIENT = "client"
    """It connects, and is asked who it is."""


@dataclass(frozen=True, slots=True)
class SocketRules:
    """Who may connect to one socket, or how it connects itself: its options as they are kept, no file of them read yet.

    :ivar role: which side it is.
    :ivar mechanism: the mechanism of its handshakes.
    :ivar curve_secret: the file of its own keys; None without CURVE, and where libzmq's own option has the key.
    :ivar curve_clients: with CURVE, of a server: which keys it lets in.
    :ivar curve_serverkey: with CURVE, of a client: the file with the other's key.
    :ivar plain_passwords: with PLAIN: the file.
    :ivar allow: the networks of a server's peers; empty for every one.
    :ivar deny: the networks in which they must not be.
    """

    role: Role
    mechanism: Mechanism
    curve_secret: str | None
    curve_clients: Clients | None
    curve_serverkey: str | None
    plain_passwords: Path | None
    allow: tuple[Network, ...]
    deny: tuple[Network, ...]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What cannot change while the socket is open. Does not yield."""
        return self.role, self.mechanism, self.curve_secret, self.curve_serverkey

    @property
    def lets_each_key_in(self) -> bool:
        """Whether this is a server of CURVE by libzmq's own options alone, and nothing else. Does not yield."""
        by_options = self.mechanism is Mechanism.CURVE and self.curve_secret is None
        return by_options and self.curve_clients == ANY and not (self.allow or self.deny)

    @property
    def lets_all_in(self) -> bool:
        """Whether every peer may connect that can reach a server. Does not yield."""
        if self.allow and not covers_a_family(self.allow):
            return False
        return self.mechanism is Mechanism.NULL or (self.mechanism is Mechanism.CURVE and self.curve_clients == ANY)


def rules_of(values: Mapping[str, Any], key: str) -> SocketRules | None:
    """The rules of the socket `key`; None if it has none. Does not yield.

    :param values: the device's settings by field. Where they do not go together, `problems` says so.
    """
    role = role_of(values, key)
    if role is None:
        return None
    merged = _merged(values, key)
    if role is Role.CLIENT:
        if merged["curve_serverkey"] is None:
            return None
        return SocketRules(role, Mechanism.CURVE, merged["curve_secret"], None, merged["curve_serverkey"], None, (), ())
    mechanism = Mechanism.NULL
    if merged["plain_passwords"] is not None:
        mechanism = Mechanism.PLAIN
    elif merged["curve_secret"] is not None or _is_curve_server(values, key):
        mechanism = Mechanism.CURVE
    if mechanism is Mechanism.NULL and not (merged["allow"] or merged["deny"]):
        return None
    return SocketRules(role, mechanism, **{**merged, "curve_serverkey": None})


def problems(values: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[SettingsError]:
    """What is wrong with how the rules of a device's sockets go together.

    :param values: its settings that are right one by one, by field.
    :param keys: the sockets that there can be.
    """
    there = [key for key in keys if values.get(key)]
    # What is wrong with an option of the device is told once, and not for each socket.
    yield from {str(error): error for key in there for error in _problems_of(values, key)}.values()
    roles = {role_of(values, key) for key in there}
    if values.get("curve_serverkey") is not None and Role.CLIENT not in roles:
        yield SettingsError("curve_serverkey", "a socket that connects", values["curve_serverkey"])
    has_key = values.get("curve_secret") is not None or any(_is_curve_server(values, key) for key in there)
    if values.get("curve_clients") is not None and not has_key:
        yield SettingsError("curve_clients", "curve-secret beside it", _shown(values["curve_clients"]))
    for field in ("curve_clients", "plain_passwords", "allow", "deny"):
        if values.get(field) and Role.SERVER not in roles:
            yield SettingsError(field, "a socket that binds tcp or ipc", _shown(values[field]))


def _problems_of(values: Mapping[str, Any], key: str) -> Iterator[SettingsError]:
    own = {field: value for field, value in values.get("socket_access", {}).get(key, {}).items() if value}
    merged, role = _merged(values, key), role_of(values, key)
    rules = {field: value for field, value in merged.items() if value}
    if role is None:
        if own:
            yield _error(key, own, next(iter(own)), "tcp or ipc (over inproc, no peer is asked who it is)", None)
        return
    if is_of_both_kinds(values[key]) and (rules or _is_curve_server(values, key)):
        rule = "endpoints that all bind or all connect, where there are rules of who may connect"
        yield SettingsError(key, rule, ", ".join(map(str, values[key])))
    if role is Role.CLIENT:
        yield from _of_client(key, own, merged, values.get("socket_options", {}).get(key, {}))
    else:
        yield from _of_server(key, own, merged, is_server=_is_curve_server(values, key))
    yield from misfits_of_libzmq(values, key, own, rules_of(values, key))


def _of_client(
    key: str, own: Mapping[str, Any], merged: Mapping[str, Any], options: Mapping[int, Any]
) -> Iterator[SettingsError]:
    for field in ("curve_clients", "plain_passwords", "allow", "deny"):
        if field in own:
            yield _error(key, own, field, "a socket that binds", _shown(own[field]))
    secret, server = merged["curve_secret"], merged["curve_serverkey"]
    if server is not None and secret is None:
        yield _error(key, own, "curve_serverkey", "curve-secret beside it", server)
    if secret is not None and server is None and zmq.CURVE_SERVERKEY not in options:
        rule = f"curve-serverkey beside it, since {key} connects, and would not encrypt without"
        yield _error(key, own, "curve_secret", rule, secret)


def _of_server(
    key: str, own: Mapping[str, Any], merged: Mapping[str, Any], *, is_server: bool
) -> Iterator[SettingsError]:
    secret, clients = merged["curve_secret"], merged["curve_clients"]
    if "curve_serverkey" in own:
        yield _error(key, own, "curve_serverkey", "a socket that connects", own["curve_serverkey"])
    if secret is not None and merged["plain_passwords"] is not None:
        rule = "no curve-secret beside it: a socket asks for keys or for passwords"
        yield _error(key, own, "plain_passwords", rule, str(merged["plain_passwords"]))
    if is_server:
        if secret is not None or merged["plain_passwords"] is not None:
            yield SettingsError(f"{key}.curve_server", "no curve-secret and no plain-passwords beside it", 1)
        elif clients is None:
            yield SettingsError(f"{key}.curve_server", "curve-clients, " + _MISSING_CLIENTS.format("it"), 1)
    elif secret is not None and clients is None:
        yield _error(key, own, "curve_clients", _MISSING_CLIENTS.format("curve-secret"), None)
    elif "curve_clients" in own and secret is None:
        yield _error(key, own, "curve_clients", "curve-secret beside it", _shown(clients))


def misfits_of_libzmq(
    values: Mapping[str, Any],
    key: str,
    own: Mapping[str, Any],
    rules: SocketRules | None,
    where: str = "where there are rules of who may connect",
) -> Iterator[SettingsError]:
    """What of libzmq's own options, and of legacy peers, cannot be had beside the `rules` of a socket. Does not yield.

    :param values: the device's settings by field.
    :param key: the socket.
    :param own: its own options of who may connect.
    :param rules: its rules; None for none.
    :param where: the end of the sentence that says so.
    """
    if rules is None:
        return
    options = values.get("socket_options", {}).get(key, {})
    refused = (
        _OTHER_MECHANISMS
        if rules.curve_secret is None and _is_curve_server(values, key)
        else {**_OTHER_MECHANISMS, **_OWN_SERVER}
    )
    name = next((name for number, name in refused.items() if options.get(number)), None)
    if name is not None:
        written = name.replace("_", "-")
        yield SettingsError(f"{key}.{name}", f"no {written} {where}", written)
    legacy = options.get(zmq.ZAP_DOMAIN)
    if legacy == b"":
        yield SettingsError(f"{key}.legacy_peers", f"false {where}", True)
    elif legacy is None and values.get("legacy_peers") and key not in ("control", "tap"):
        yield SettingsError("legacy_peers", f"false {where} ({key} has some)", True)


def _merged(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    own = values.get("socket_access", {}).get(key, {})
    return {field: own.get(field, values.get(field, one.default)) for field, one in OPTIONS.items()}


def role_of(values: Mapping[str, Any], key: str) -> Role | None:
    """Which side of a handshake the socket `key` is, by the `values` of settings; None if none. Does not yield."""
    kinds = {endpoint.binds for endpoint in _on_a_network(values.get(key) or ())}
    if not kinds:
        return None
    return Role.SERVER if True in kinds else Role.CLIENT


def _on_a_network(endpoints: tuple[Endpoint, ...]) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints if endpoint.transport != "inproc"]


def is_of_both_kinds(endpoints: tuple[Endpoint, ...]) -> bool:
    """Whether some `endpoints` of tcp and ipc bind and others connect. Does not yield."""
    return len({endpoint.binds for endpoint in _on_a_network(endpoints)}) > 1


def _is_curve_server(values: Mapping[str, Any], key: str) -> bool:
    options = values.get("socket_options", {}).get(key, {})
    # Without a key, it is an error of its own.
    return bool(options.get(zmq.CURVE_SERVER) and options.get(zmq.CURVE_SECRETKEY))


def _error(key: str, own: Mapping[str, Any], field: str, rule: str, value: Any) -> SettingsError:
    return SettingsError(f"{key}.{field}" if field in own else field, rule, value)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
