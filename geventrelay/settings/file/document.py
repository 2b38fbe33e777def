"""A configuration as a TOML reader gives it -> a server's settings, or everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import SettingsError
from ..concealed import ConcealedText, Unshown
from ..patterns import PATTERNS
from ..places import place_of
from ..server import ServerSettings, apart, clashes, loops_between, open_to_all
from .device import DeviceTable
from .keys import WRONG, Faults, Path, fault, keys_of, secret, shown, unknown

MOST_DEVICES = 5000
"""The number of devices in a file. One process has sockets for fewer: `components.contexts.MAX_SOCKETS`."""

# TOML promises no more; Python's reader takes larger integers.
_INTEGERS = range(-(2**63), 2**63)


def read(tables: Mapping[str, Any], environ: Mapping[str, str], faults: Faults) -> ServerSettings | None:
    """What a configuration asks for; None if anything is wrong with it.

    :param tables: what the TOML reader gave.
    :param environ: the environment variables that it may name.
    :param faults: gets all that is wrong.
    :raises TooManyFaults: if they are more than it takes.
    """
    top = {key: _expanded((key,), value, environ, faults) for key, value in tables.items()}
    process = _process({key: value for key, value in top.items() if key != "device"}, faults)
    tables = _tables(top.get("device", {}), faults, any(_is_device(*one) for one in top.items()))
    devices = {name: DeviceTable(name, table, faults) for name, table in tables.items()}
    endpoints = {name: device.endpoints for name, device in devices.items()}
    for (name, key), error in clashes(process.get("http"), endpoints):
        faults.append((devices[name].place(key), error))
    settings = [device.settings for device in devices.values() if device.settings is not None]
    for name, error in apart(settings):
        faults.append((devices[name].place("io_threads"), error))
    for (name, key), error in open_to_all(settings) if process.get("require_auth") else ():
        faults.append((devices[name].place(key), error))
    for (name, key), error in loops_between(settings):
        faults.append((devices[name].place(key), error))
    return None if faults else ServerSettings(devices=tuple(settings), **process)


def _expanded(path: Path, value: Any, environ: Mapping[str, str], faults: Faults) -> Any:
    """The value with environment variables put in, and `WRONG` in place of each part that cannot be read."""
    if isinstance(value, str):
        try:
            text = expand(shown(path), value, environ)
            return ConcealedText(text) if type(text) is str and secret(path) else text
        except SettingsError as error:
            faults.append((path, error))
            return WRONG
    if isinstance(value, list):
        elements = [_expanded((*path, index), one, environ, faults) for index, one in enumerate(value)]
        return WRONG if any(one is WRONG for one in elements) else elements
    if isinstance(value, Mapping):
        return {key: _expanded((*path, key), one, environ, faults) for key, one in value.items()}
    if isinstance(value, int) and value not in _INTEGERS:
        faults.append(fault(path, "an integer of 64 bits", f"one of {value.bit_length()} bits"))
        return WRONG
    return value


def _process(table: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """The settings of the process, by field."""
    options = keys_of(ServerSettings)
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if _is_device(key, value):
            rule = f'a table [device.NAME] with pattern = "{key}" in it'
            faults.append(fault((key,), rule, value))
        elif key not in options and isinstance(value, Mapping) and "pattern" in value:
            faults.append(fault((key,), f"a table [{shown(('device', key))}]", value))
        elif key not in options:
            faults.append(unknown((key,), [*options, "device"], "the process"))
        elif value is not WRONG:
            try:
                kept[options[key].field] = options[key].read(key, value)
            except SettingsError as error:
                faults.append(((key,), error))
    return kept


def _is_device(key: str, value: Any) -> bool:
    """Whether a key at the top is the name of a pattern, with the table of a device or tables of devices."""
    return key in PATTERNS and isinstance(value, Mapping)


def _tables(tables: Any, faults: Faults, elsewhere: bool) -> dict[str, Mapping[str, Any]]:
    """The devices' tables by name; there is to be one, unless devices stand `elsewhere` in the file."""
    if tables is WRONG:
        return {}
    if not isinstance(tables, Mapping):
        got = Unshown("[[device]]") if isinstance(tables, list) else tables
        faults.append(fault(("device",), "tables [device.NAME]", got))
        return {}
    if len(tables) > MOST_DEVICES:
        faults.append(fault(("device",), f"at most {MOST_DEVICES} tables [device.NAME]", len(tables)))
        return {}
    if not tables and not elsewhere:
        faults.append(fault((), "at least one table [device.NAME]", None))
    kept = {}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            kept[name] = table
        elif table is not WRONG:
            if name == "pattern" or place_of(name):
                rule = f"{name} in a table [device.NAME]; this one has no NAME"
            else:
                rule = f"a table {shown(('device', name))}"
            faults.append(fault(("device", name), rule, table))
    return kept


_MARK = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


def expand(name: str, text: str, environ: Mapping[str, str]) -> str:
    """The text with each variable's value in its place; ``$${`` stands for ``${``.

    :param name: what to call the input in an error.
    :param text: what was written.
    :param environ: the variables. A variable that is empty gets the default too, as in a shell.
    :returns: text whose ``repr`` names the variables only, where there are any.
    :raises SettingsError: naming a variable that is not set, or a ``${`` that names none. It does not show `text`.
    """
    variables: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        variable = match["name"]
        if variable is None:
            raise SettingsError(name, "${NAME} or ${NAME:-text}, or $${ for ${ itself", Unshown("a ${ without a name"))
        variables.append("${" + variable + "}")
        default = match["default"]
        if default is not None:
            return environ.get(variable) or default
        if variable not in environ:
            raise SettingsError(name, f"the environment variable {variable} to be set", None)
        return environ[variable]

    expanded = _MARK.sub(value, text)
    return ConcealedText(expanded, "text with " + " and ".join(variables)) if variables else expanded
