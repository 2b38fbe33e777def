"""An option: what a user may set, described once where it is declared.

The command line, its help, the configuration file, the tables of docs/configuration.rst, what a reload can take without
a restart, and the errors are all made from this description.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar, TypeVar

from ..errors import SettingsError, raise_all
from .checks import Check, endpoints, flag
from .hints import in_unit

_KEY = "option"
_UNITS = {"ms": "ms", "s": "seconds", "bytes": "bytes"}
# An error has the room for it.
_SPELT = {"ms": "milliseconds"}
_METAVARS = {"ms": "MS", "seconds": "SECONDS", "bytes": "BYTES"}


class Scope(enum.Enum):
    """What an option belongs to."""

    PROCESS = "process"
    DEVICE = "device"
    SOCKET = "socket"
    """An option of ZeroMQ's for one socket of a device: see `geventrelay.settings.socket_options`."""
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Option:
    """The description of one option.

    :ivar check: turns a value into the one that is kept, and words the rule.
    :ivar help: what it does, without its default, unit and values.
    :ivar default: the value where none is given; `dataclasses.MISSING` if one has to be given.
    :ivar unset: what help says in place of a default that has no text, e.g. ``no limit``.
    :ivar unit: what a number counts.
    :ivar metavar: what help writes for the value.
    :ivar values: what each value does, where help explains them one by one.
    :ivar many: whether the command line takes it several times.
    :ivar live: whether a running device or process takes another value without a restart.
    :ivar interface: for a socket, the host that bare ports bind where the device has no ``interface``.
    :ivar bound: whether it bounds what a peer can cost; docs/operating.rst has a table of these.
    :ivar rare: whether help shows it only among the bounds.
    :ivar on_libzmq: the values that engine libzmq can do too, where the others need engine zmtp; None if it can do all.
    :ivar name: its key in the file, and its flag without the dashes.
    :ivar field: the field that holds it.
    :ivar scope: what it belongs to.
    """

    check: Check
    help: str
    default: Any
    unset: str
    unit: str
    metavar: str
    values: Mapping[str, str]
    many: bool
    live: bool
    interface: str
    bound: bool
    rare: bool
    on_libzmq: Collection[Any] | None
    name: str
    field: str = ""
    scope: Scope = Scope.COMMAND

    @property
    def flag(self) -> str:
        """The option on the command line, e.g. ``--linger``."""
        return "--" + self.name

    @property
    def needed(self) -> bool:
        """Whether a value has to be given."""
        return self.default is MISSING

    @property
    def takes_value(self) -> bool:
        """Whether the command line has a value after the flag."""
        return self.check is not flag

    @property
    def is_socket(self) -> bool:
        """Whether it holds the endpoints of a socket."""
        return self.check is endpoints

    @property
    def default_text(self) -> str:
        """The default in words; empty if a value has to be given."""
        if self.unset or self.needed:
            return self.unset
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, enum.Enum):
            return str(self.default.value)
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def read(self, name: str, value: Any) -> Any:
        """The value that is kept for one that was given.

        :param name: what to call the input in an error.
        :param value: what was given; None stands for itself where it is the default.
        :raises SettingsError: if it breaks the rule; the unit is named too.
        """
        if value is None and self.default is None:
            return None
        try:
            return self.check(name, value)
        except SettingsError as error:
            raise with_unit(error, self.unit) from None


def with_unit(error: SettingsError, unit: str) -> SettingsError:
    """The same `error`, whose rule names the `unit`, if there is one, and a value with another unit in this one."""
    if not unit:
        return error
    spelt = _SPELT.get(unit, unit)
    number = in_unit(error.value, spelt)
    meant = f"{spelt}, a number alone: {number}" if number else spelt
    return SettingsError(error.name, f"{error.rule} ({meant})", error.value)


def option(
    check: Check,
    help: str,
    *,
    default: Any = MISSING,
    unset: str = "",
    name: str = "",
    unit: str = "",
    metavar: str = "",
    values: Mapping[str, str] | None = None,
    many: bool = False,
    live: bool = False,
    interface: str = "*",
    bound: bool = False,
    rare: bool = False,
    on_libzmq: Collection[Any] | None = None,
) -> Any:
    """A field of a `Group` that holds an option. The parameters are those of `Option`.

    :param check: turns a value into the one that is kept.
    :param help: what it does.
    :param default: the value where none is given; without it, one has to be given.
    :param unset: what help says in place of the default.
    :param name: its key in the file; by default the field's name with dashes, without a unit at its end
        (``drain_s`` is ``drain``).
    :param unit: by default the one at the end of the field's name.
    :param metavar: by default it follows from the unit.
    :param values: what each value does.
    :param many: whether the command line takes it several times.
    :param live: whether it needs no restart.
    :param interface: for a socket, the host that bare ports bind where the device has no ``interface``.
    :param bound: whether it bounds what a peer can cost.
    :param rare: whether help shows it only among the bounds.
    :param on_libzmq: the values that engine libzmq can do too.
    """
    described = Option(
        check, help, default, unset, unit, metavar, values or {}, many, live, interface, bound, rare, on_libzmq, name
    )
    return dataclasses.field(default=default, metadata={_KEY: described})


class Group:
    """Options that belong together. A group is a frozen dataclass whose fields are made by `option`.

    A group of a device's options has ``__slots__ = ()`` and is a base of `geventrelay.settings.DeviceSettings`.
    """

    __slots__ = ()

    title: ClassVar[str] = "Options"
    """The heading of the group in help."""
    scope: ClassVar[Scope] = Scope.COMMAND
    """What its options belong to."""

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What is wrong with how values go together that are right one by one.

        :param values: those settings that are right, by field.
        """
        return iter(())


G = TypeVar("G", bound=Group)


_GROUPS: dict[type[Group], dict[type[Group], tuple[Option, ...]]] = {}


def groups_of(cls: type[Group]) -> dict[type[Group], tuple[Option, ...]]:
    """The groups that `cls` consists of, each with the options that it declares, in the order of dataclass fields."""
    if cls not in _GROUPS:
        _GROUPS[cls] = {
            group: tuple(_resolved(field, cls.scope) for field in own)
            for group in reversed(cls.__mro__)
            if issubclass(group, Group) and (own := _own_fields(group))
        }
    return _GROUPS[cls]


def options_of(cls: type[Group]) -> tuple[Option, ...]:
    """All options of `cls`, in the order of its fields."""
    return tuple(option for options in groups_of(cls).values() for option in options)


def _own_fields(group: type[Group]) -> list[dataclasses.Field[Any]]:
    """The fields with options that `group` does not inherit."""
    inherited = {name for base in group.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())}
    fields: dict[str, dataclasses.Field[Any]] = getattr(group, "__dataclass_fields__", {})
    return [field for name, field in fields.items() if name not in inherited and _KEY in field.metadata]


def given_fields(cls: type[Group], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options`, which are values by flag, that belong to `cls`, by field."""
    return {one.field: options[one.flag] for one in options_of(cls) if one.flag in options}


def named_by_flag(cls: type[Group], error: SettingsError) -> SettingsError:
    """The same `error` under the flag of the field of `cls` that it names."""
    flags = {one.field: one.flag for one in options_of(cls)}
    return SettingsError(flags.get(error.name, error.name), error.rule, error.value)


def read_group(cls: type[G], options: Mapping[str, Any]) -> G:
    """The group `cls` as a command line asks for it.

    :param cls: a group of a command's options.
    :param options: values by flag; each that is not there has its default.
    :raises SettingsError: naming the flag whose rule is broken.
    """
    kept, errors = read_given(cls, options)
    raise_all(errors)
    return cls(**kept)


def read_given(cls: type[Group], options: Mapping[str, Any]) -> tuple[dict[str, Any], list[SettingsError]]:
    """Those options of `cls` that a command line gives, by field, and what is wrong with others of them.

    :param options: values by flag.
    """
    kept: dict[str, Any] = {}
    errors = []
    for one in options_of(cls):
        if one.flag in options:
            try:
                kept[one.field] = one.read(one.flag, options[one.flag])
            except SettingsError as error:
                errors.append(error)
    return kept, errors


def _resolved(field: dataclasses.Field[Any], scope: Scope) -> Option:
    """The option of a field, with all that follows from the field's name."""
    described: Option = field.metadata[_KEY]
    plain, _, suffix = field.name.rpartition("_")
    unit = described.unit or _UNITS.get(suffix, "")
    name = described.name or (plain if suffix in _UNITS and plain else field.name).replace("_", "-")
    metavar = described.metavar or _METAVARS.get(unit, "N" if unit else "VALUE")
    return dataclasses.replace(described, name=name, unit=unit, metavar=metavar, field=field.name, scope=scope)
