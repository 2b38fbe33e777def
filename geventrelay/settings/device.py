"""What a user may set of a device, whatever its pattern: a frozen dataclass, validated when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..access.options import AccessOptions, check_own
from ..access.rights_options import RightsOptions
from ..access.rights_rules import problems_with_rights, rules_with_rights
from ..access.socket_rules import SocketRules, problems, rules_of
from ..endpoints import Endpoint, Taken, parse_endpoints
from ..errors import SettingsError
from ..terms import Engine
from .device_options import Common, ControlOptions, Limits, PeerLimits, TapOptions
from .engines import Need, misfits, needs
from .loops import RULE, loops
from .option import Group, Option, options_of
from .rate_options import RateOptions
from .socket_options import AFFINITY, check_options

SocketOptions = Mapping[str, Mapping[int, int | bytes]]
"""Socket key -> libzmq's number of an option -> its value."""

Checked = tuple[dict[str, Any], list[SettingsError]]
"""Settings by name as they are kept, and what is wrong with those that are not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings(TapOptions, ControlOptions, RightsOptions, AccessOptions, RateOptions, PeerLimits, Limits, Common):
    """What can be set for a device of every pattern. All are keywords.

    Each base is a group of options, which are described where they are declared; docs/configuration.rst lists them all.
    The last base comes first, as dataclasses order their fields.

    :param socket_options: ZeroMQ's own options for single sockets, by the socket's key and libzmq's number of the
        option. They are set last, so they win over the device's. See `geventrelay.settings.socket_options`.
    :param socket_access: options of `geventrelay.access.options.AccessOptions` for single sockets, by the socket's key
        and the option's field; they win over the device's, and ``"none"`` leaves one out.
    """

    pattern: ClassVar[str] = ""
    """The pattern's name on the command line."""

    summary: ClassVar[str] = ""
    """Which sockets the pattern joins, in one line."""
    about: ClassVar[str] = ""
    """What the pattern is for, in a few sentences."""

    socket_options: SocketOptions = dataclasses.field(default_factory=dict, repr=False, hash=False)

    socket_access: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        kept, errors = self.check({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        if errors:
            raise errors[0]
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @classmethod
    def check(cls, values: Mapping[str, Any], passed_over: Collection[str] = ()) -> Checked:
        """Hold settings against every rule, those too that are about several of them.

        :param values: the settings by name; each that is not there has its default.
        :param passed_over: names of settings that are neither looked at nor missed.
        :returns: the settings that are right, as they are kept, and all that is wrong with the others.
        """
        kept: dict[str, Any] = {}
        errors: list[SettingsError] = []
        for option in options_of(cls):
            if option.field not in passed_over:
                try:
                    kept[option.field] = _checked(option, values, kept.get("interface"))
                except SettingsError as error:
                    errors.append(error)
        errors += cls._check_together(kept)
        if kept.get("name") == "":
            kept["name"] = cls.pattern
        types = cls._types(kept)
        kept["socket_options"], wrong = check_options(values.get("socket_options", {}), cls.socket_keys(), types)
        kept["socket_access"], wrong_access = check_own(values.get("socket_access", {}), cls.socket_keys())
        engine = list(cls._check_engine(kept))
        # One line for one option: what the engine has not needs nothing beside it.
        without = {error.name for error in engine}
        errors += (error for error in (*wrong, *wrong_access) if error.name not in without)
        errors += problems(kept, cls.socket_keys())
        own = {key: (types[key], kept[key]) for key in cls.socket_keys() if kept.get(key) and key in types}
        errors += (SettingsError(key, RULE, way) for (_, key), way in loops({kept.get("name", cls.pattern): own}))
        errors += _without_thread(kept["socket_options"], kept.get("io_threads"))
        errors += engine
        told = {error.name for error in errors}
        for key in kept["socket_options"]:
            if kept.get(key, ()) is None and key not in told:
                errors.append(SettingsError(key, "an endpoint for a socket that is given options", None))
        return kept, errors

    @classmethod
    def socket_keys(cls) -> tuple[str, ...]:
        """The key of each socket that the pattern can have."""
        return tuple(option.field for option in options_of(cls) if option.is_socket)

    @property
    def endpoints(self) -> dict[str, tuple[Endpoint, ...]]:
        """The endpoints of each socket, by the socket's key."""
        return {key: getattr(self, key) for key in self.socket_keys() if getattr(self, key) is not None}

    @property
    def socket_types(self) -> dict[str, str]:
        """The ZeroMQ type of each socket, e.g. ``"ROUTER"``, by the socket's key."""
        types = self._types({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        return {key: types[key] for key in self.endpoints}

    @property
    def access_rules(self) -> dict[str, SocketRules]:
        """Who may connect, by the key of each socket that has rules for it; see `geventrelay.access.socket_rules`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        found = {key: rules_of(values, key) for key in self.endpoints}
        return {key: rules for key, rules in found.items() if rules is not None}

    @property
    def rights_rules(self) -> dict[str, SocketRules]:
        """How engine libzmq asks who a peer is, by the key of each socket of the pattern whose peers have rights."""
        if self.rights is None:
            return {}
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        found = {key: rules_with_rights(values, key) for key in self._pattern_types(values) if values.get(key)}
        return {key: rules for key, rules in found.items() if rules is not None}

    @property
    def open_to_all(self) -> list[str]:
        """The keys of the sockets beyond loopback to which every peer may connect that can reach them."""
        return [
            key
            for key, endpoints in self.endpoints.items()
            if any(one.is_beyond_loopback for one in endpoints) and self.lets_all_in(key)
        ]

    def lets_all_in(self, key: str) -> bool:
        """Whether every peer may connect to the socket `key` that can reach it. Does not yield."""
        rules = self.access_rules.get(key)
        return rules is None or rules.lets_all_in

    def engine_needs(self) -> Iterator[Need]:
        """Which of these settings engine zmtp alone can do; nothing if engine libzmq can do all."""
        return needs(
            options_of(type(self)), {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        )

    def engine_misfits(self) -> Iterator[SettingsError]:
        """What of these settings engine zmtp has not; nothing if it can be had."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return misfits(values, self._pattern_types(values))

    @classmethod
    def _check_engine(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What of `values`, which are right one by one, the engine has not that they ask for or need."""
        found = list(needs(options_of(cls), values))
        types = cls._pattern_types(values)
        on_libzmq = list(problems_with_rights(values, types)) if values.get("rights") is not None else []
        if values.get("engine") is Engine.LIBZMQ:
            yield from (need.refusal for need in found)
            yield from on_libzmq
        elif values.get("engine") is Engine.ZMTP:
            yield from misfits(values, types)
        elif found:
            yield from misfits(values, types, found[0])
        elif on_libzmq and any(misfits(values, types)):
            yield from on_libzmq

    @classmethod
    def _types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """The type of each socket, as far as `values`, which are some settings, say."""
        types = {**cls._pattern_types(values), "tap": "XPUB"}
        if "control_type" in values:
            types["control"] = values["control_type"].value
        return types

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {}

    @classmethod
    def _check_together(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What is wrong with how `values` go together that are right one by one."""
        for group in cls.__mro__:
            if issubclass(group, Group) and "check_group" in vars(group):
                yield from group.check_group(values)
        taken = Taken()
        for key in cls.socket_keys():
            for endpoint in values.get(key) or ():
                owner = taken.owner(endpoint)
                if owner is not None:
                    yield SettingsError(key, f"an endpoint that is bound once ({owner} has it)", str(endpoint))
                taken.add(endpoint, key)


def _without_thread(socket_options: SocketOptions, io_threads: int | None) -> Iterator[SettingsError]:
    """Sockets whose affinity names none of the `io_threads`: libzmq would bind and connect nothing (EMTHREAD)."""
    for key, options in socket_options.items():
        affinity = options.get(AFFINITY)
        if affinity and io_threads is not None and not int(affinity) & (1 << io_threads) - 1:
            rule = f"a bit of one of the {io_threads} I/O threads (io-threads)"
            yield SettingsError(f"{key}.affinity", rule, affinity)


def _checked(option: Option, values: Mapping[str, Any], interface: str | None) -> Any:
    value = values.get(option.field, None if option.needed else option.default)
    if option.is_socket and not (value is None and option.default is None):
        return parse_endpoints(value, name=option.field, interface=interface or option.interface)
    return option.read(option.field, value)
