"""A table [device.NAME] of a configuration -> a device's settings, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...access.options import FIELDS_BY_NAME
from ...access.options import OPTIONS as ACCESS
from ...endpoints import FORMS, Endpoint
from ...errors import SettingsError
from ..checks import device_name, word
from ..device import DeviceSettings
from ..hints import pattern_called
from ..option import options_of
from ..patterns import PATTERNS
from ..socket_options import OPTIONS, option_of
from .keys import WRONG, Faults, Path, closest, fault, keys_of, nearest, shown, unknown


class DeviceTable:
    """Reads the table of a device.

    :param name: its name.
    :param table: what the TOML reader gave, environment variables put in.
    :param faults: gets all that is wrong.
    :ivar name: the same.
    :ivar settings: what the table asks for; None if anything is wrong with it.
    :ivar endpoints: the endpoints of each socket, as far as they are right.
    """

    def __init__(self, name: str, table: Mapping[str, Any], faults: Faults) -> None:
        self.name = name
        self.faults, before = faults, len(faults)
        self.settings: DeviceSettings | None = None
        self.endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._path: Path = ("device", name)
        self._values: dict[str, Any] = {"name": name}
        self._wrong: set[str] = set()
        # Where each setting is written, by the name that errors of settings have for it.
        self._places: dict[str, Path] = {"name": self._path}
        try:
            device_name("", name or " ")
        except SettingsError as error:
            self.faults.append((self._path, error))
            self._wrong.add("name")
        cls = self._pattern(table.get("pattern", "relay"))
        rest = {key: value for key, value in table.items() if key != "pattern"}
        if cls is None:
            self._check_keys(rest)
        else:
            self._keys = {key: option.field for key, option in keys_of(cls).items()}
            given = _interface(table.get("interface"))
            self._interfaces = {one.field: given or one.interface for one in options_of(cls) if one.is_socket}
            self._read(cls, rest)
            self._conclude(cls, before)

    def place(self, name: str) -> Path:
        """Where the setting called `name` is written, or would stand."""
        return self._places.get(name, self._path)

    def _pattern(self, pattern: Any) -> type[DeviceSettings] | None:
        if pattern is WRONG:
            return None
        if not isinstance(pattern, str) or pattern not in PATTERNS:
            meant = pattern_called(str(pattern), PATTERNS) or closest(str(pattern), PATTERNS)
            rule = "a pattern" + (f" (did you mean {meant}?)" if meant else nearest(str(pattern), PATTERNS))
            self.faults.append(fault((*self._path, "pattern"), rule, pattern))
            return PATTERNS[meant] if meant else None
        return PATTERNS[pattern]

    def _check_keys(self, table: Mapping[str, Any]) -> None:
        """Tell the keys that no pattern has, where it is not known which one is meant."""
        known = {key: None for cls in PATTERNS.values() for key in (*keys_of(cls), *cls.socket_keys())}
        for key, value in table.items():
            if key not in known and value is not WRONG:
                self.faults.append(unknown((*self._path, key), known, "a device"))

    def _read(self, cls: type[DeviceSettings], table: Mapping[str, Any]) -> None:
        sockets = cls.socket_keys()
        for key, value in table.items():
            path = (*self._path, key)
            if key in sockets and isinstance(value, Mapping):
                self._places.setdefault(key, path)
                self._read_socket(key, value)
            elif key in self._keys:
                self._read_option(path, self._keys[key], value)
            elif key in sockets:
                option = next((option for option, field in self._keys.items() if field == key), key)
                meant = f"; the endpoint is {option}" if option != key else ""
                self.faults.append(fault(path, f"a table [{shown((*self._path, key))}]{meant}", value))
                self._wrong.add(key)
            elif key == "name":
                self.faults.append(fault(path, "the device's name in the header of its table only", value))
            else:
                self.faults.append(unknown(path, [*self._keys, *sockets, "pattern"], cls.pattern))

    def _read_option(self, path: Path, field: str, value: Any) -> None:
        self._places[field] = path
        if field in self._values or field in self._wrong:
            self.faults.append(fault(path, f"endpoints here or in the table {field}, and not in both", value))
        elif value is WRONG:
            self._wrong.add(field)
        elif isinstance(value, Mapping):
            self._wrong.add(field)
            meant = f"; the table is [{shown((*self._path, field))}]" if field in self._interfaces else ""
            self.faults.append(fault(path, f"a value, and not a table{meant}", value))
        else:
            self._values[field] = value

    def _read_socket(self, key: str, table: Mapping[str, Any]) -> None:
        path = (*self._path, key)
        given_before = key in self._values or key in self._wrong
        endpoints: list[Endpoint] = []
        for verb in ("bind", "connect"):
            if verb in table:
                endpoints += self._read_endpoints(key, verb, table[verb])
        if endpoints and given_before:
            option = next(option for option, field in self._keys.items() if field == key)
            rule = f"endpoints here or in {option}, and not in both"
            self.faults.append(fault(path, rule, ", ".join(map(str, endpoints))))
        elif endpoints:
            self._values[key] = endpoints
        options: dict[str, int | bytes] = {}
        access: dict[str, Any] = {}
        if self._keys.get(key, key) != key:
            # What is missing is missed in this table.
            self._places.setdefault(self._keys[key], (*path, "size"))
            if not (given_before or "bind" in table or "connect" in table):
                self._places[key] = (*path, "bind")
        for name, value in table.items():
            if name == "size" and self._keys.get(key, key) != key:
                # TOML has no key of a value and of a table, and replay is both.
                self._read_option((*path, name), self._keys[key], value)
            elif name in FIELDS_BY_NAME and not _is_key(name, table):
                self._read_access(key, name, value, access)
            elif name not in ("bind", "connect"):
                self._read_socket_option(key, name, value, options)
        numbers = {OPTIONS[name].number: value for name, value in options.items()}
        self._values.setdefault("socket_options", {})[key] = numbers
        if access:
            self._values.setdefault("socket_access", {})[key] = access

    def _read_endpoints(self, key: str, verb: str, value: Any) -> Iterator[Endpoint]:
        path = (*self._path, key, verb)
        several = value if isinstance(value, list) else [value]
        if not several:
            self.faults.append(fault(path, "at least one endpoint", value))
        if value is WRONG or not several:
            self._wrong.add(key)
            return
        for index, one in enumerate(several):
            try:
                yield self._endpoint(key, verb, one)
            except SettingsError as error:
                self._wrong.add(key)
                self.faults.append(((*path, index) if isinstance(value, list) else path, error))

    def _endpoint(self, key: str, verb: str, value: Any) -> Endpoint:
        mark, other = ("@", ">") if verb == "bind" else (">", "@")
        text = value if isinstance(value, str) else str(value) if type(value) is int else None
        if text is None or text.startswith(other):
            raise SettingsError("", f"{FORMS} to {verb}", value)
        try:
            return Endpoint.parse(mark + text.removeprefix(mark), interface=self._interfaces[key])
        except SettingsError as error:
            raise SettingsError("", error.rule, value) from None

    def _read_access(self, key: str, written: str, value: Any, access: dict[str, Any]) -> None:
        path, field = (*self._path, key, written), FIELDS_BY_NAME[written]
        if value is WRONG:
            return
        self._places[f"{key}.{field}"] = path
        try:
            access[field] = ACCESS[field].read(written, value)
        except SettingsError as error:
            self.faults.append((path, error))

    def _read_socket_option(self, key: str, written: str, value: Any, options: dict[str, int | bytes]) -> None:
        path = (*self._path, key, written)
        if value is WRONG:
            return
        try:
            option = option_of(written, value)
        except KeyError:
            if written in ("type", "socket-type", "socket_type"):
                self.faults.append(fault(path, self._rule_of_type(key), value))
                return
            if (option_of_device := f"{key}-{written}") in self._keys:
                place = f"{option_of_device} stands in [device.{self.name}]"
                self.faults.append(fault(path, f"a key of a socket ({place})", written))
                return
            known = [*(name.replace("_", "-") for name in OPTIONS), *FIELDS_BY_NAME]
            self.faults.append(unknown(path, ["bind", "connect", *known], "a socket"))
            return
        except SettingsError as error:
            self.faults.append((path, error))
            return
        if option.name in options:
            self.faults.append(fault(path, f"{option.written} once", written))
            return
        self._places[f"{key}.{option.name}"] = path
        try:
            options[option.name] = option.read(written, value)
        except SettingsError as error:
            self.faults.append((path, error))

    def _rule_of_type(self, key: str) -> str:
        """Where the type of the socket `key` comes from."""
        if f"{key}-type" in self._keys:
            return f"no type in this table; [device.{self.name}] has {key}-type"
        return f"no type: that of {key} comes with the pattern (custom has frontend-type and backend-type)"

    def _conclude(self, cls: type[DeviceSettings], faults_before: int) -> None:
        kept, errors = cls.check(self._values, self._wrong)
        fields = {field: key for key, field in self._keys.items()}
        self._places = {field: (*self._path, key) for field, key in fields.items()} | self._places
        self.faults.extend((self.place(error.name), error) for error in errors)
        self.endpoints = {key: kept[key] for key in cls.socket_keys() if kept.get(key)}
        if not (len(self.faults) > faults_before or self._wrong):
            self.settings = cls(**self._values)


def _is_key(name: str, table: Mapping[str, Any]) -> bool:
    """Whether the option `name` of a socket's `table` is libzmq's own: a key, which needs two others beside it."""
    others = {key.replace("-", "_") for key in table} & {"curve_publickey", "curve_secretkey"}
    return name == "curve-serverkey" and bool(others)


def _interface(value: Any) -> str | None:
    """The host that all bare ports bind; None if there is none. Where it is wrong itself, its own error says so."""
    try:
        return None if value is None else word("", value)
    except SettingsError:
        return None
