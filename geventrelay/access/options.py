"""The options that say who may connect to a device's sockets, for all of them or for single ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..settings.checks import Network, networks, one_of, path
from ..settings.device_options import DeviceGroup
from ..settings.option import Option, option, options_of
from ..terms import OnRevoke

ANY = "any"
"""In the place of a folder of clients: each key is let in."""
NONE = "none"
"""In the place of each value: not this one. So a socket can be without what the device's other sockets have."""

Clients = Path | str | Callable[[str, str, bytes], "str | None"]
"""A folder, `ANY`, or a program's own function, see `geventrelay.access.policy.AskUser`."""


def _key_source(name: str, value: Any) -> str | None:
    """Take a file or ``env:VARIABLE``: `name` is what to call the input in an error, `value` what was given."""
    return None if value == NONE else str(path(name, value))


def _clients(name: str, value: Any) -> Clients | None:
    """Take a folder, ``any`` or a function: `name` is what to call the input in an error, `value` what was given."""
    if value == ANY or callable(value):
        return value  # type: ignore[no-any-return]
    return _file(name, value)


def _file(name: str, value: Any) -> Path | None:
    """Take a path: `name` is what to call the input in an error, `value` what was given."""
    return None if value == NONE else path(name, value)


def _networks(name: str, value: Any) -> tuple[Network, ...]:
    """Take networks: `name` is what to call the input in an error, `value` what was given."""
    return () if value in (NONE, [NONE], (NONE,)) else networks(name, value)


@dataclass(frozen=True, kw_only=True)
class AccessOptions(DeviceGroup):
    """Who may connect to a device's sockets, and which keys these have. docs/configuration.rst says more.

    They are for every socket of the device, control and tap too. In a file, the table of a socket may say otherwise.
    """

    __slots__ = ()

    title = "Access"

    curve_secret: str | None = option(
        _key_source,
        "a file with the secret CURVE key of this device, or env:VARIABLE",
        default=None,
        unset="no encryption",
        metavar="FILE",
        rare=True,
    )
    curve_clients: Clients | None = option(
        _clients,
        "where sockets bind: a folder with the public keys of all that may connect; any lets in each key",
        default=None,
        unset="none",
        metavar="DIR",
        live=True,
        rare=True,
    )
    curve_serverkey: str | None = option(
        _key_source,
        "where sockets connect: a file with the public key of the one that they connect to, or env:VARIABLE",
        default=None,
        unset="none",
        metavar="FILE",
        rare=True,
    )
    plain_passwords: Path | None = option(
        _file,
        "where sockets bind: a file with the users that may connect, and what their passwords make",
        default=None,
        unset="none",
        metavar="FILE",
        live=True,
        rare=True,
    )
    allow: tuple[Network, ...] = option(
        _networks,
        "where sockets bind: let in peers of this network alone",
        default=(),
        unset="every one",
        metavar="NETWORK",
        many=True,
        live=True,
        rare=True,
    )
    deny: tuple[Network, ...] = option(
        _networks,
        "where sockets bind: let in no peer of this network, even if it is allowed",
        default=(),
        unset="none",
        metavar="NETWORK",
        many=True,
        live=True,
        rare=True,
    )

    on_revoke: OnRevoke | str = option(
        one_of(OnRevoke),
        "what happens to connections that would not be let in any more after a reload, or have other rights",
        default=OnRevoke.KEEP,
        live=True,
        rare=True,
    )


OPTIONS: Mapping[str, Option] = {one.field: one for one in options_of(AccessOptions) if one.field != "on_revoke"}
"""The options that a single socket can have too, by field."""

FIELDS_BY_NAME: Mapping[str, str] = {one.name: one.field for one in OPTIONS.values()}
"""Their fields, by the key in the file."""


def check_own(given: Any, keys: Collection[str]) -> tuple[dict[str, dict[str, Any]], list[SettingsError]]:
    """The own options of several sockets as they are kept, and all that is wrong with them.

    :param given: socket key -> field -> value.
    :param keys: the sockets that there can be.
    """
    if not isinstance(given, Mapping) or not all(isinstance(own, Mapping) for own in given.values()):
        return {}, [SettingsError("socket_access", "options with values, for each socket", given)]
    kept: dict[str, dict[str, Any]] = {}
    errors = []
    for key, own in given.items():
        if key not in keys:
            errors.append(SettingsError("socket_access", "sockets out of " + ", ".join(keys), key))
            continue
        kept[key] = {}
        for field, value in own.items():
            try:
                if field not in OPTIONS:
                    raise SettingsError("socket_access", "options out of " + ", ".join(OPTIONS), field)
                kept[key][field] = OPTIONS[field].read(f"{key}.{field}", value)
            except SettingsError as error:
                errors.append(error)
    return kept, errors
