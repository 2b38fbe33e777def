"""What a user may set of a device, whatever its pattern: a frozen dataclass, validated when it is made."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..endpoints import Endpoint, Taken, parse_endpoints
from ..errors import SettingsError
from .checks import device_name, flag, one_of, seconds, whole, word
from .option import setting
from .socket_options import check_options

Endpoints = str | int | Endpoint | Sequence[str | int | Endpoint]
"""One endpoint or several, as a user writes them; see `geventrelay.endpoints.Endpoint.parse`."""


class ControlType(enum.Enum):
    """What a device's control socket is; a PULL or SUB follows commands and answers nothing."""

    REP = "REP"
    PAIR = "PAIR"
    ROUTER = "ROUTER"
    PULL = "PULL"
    SUB = "SUB"


SocketOptions = Mapping[str, Mapping[int, int | bytes]]
"""Socket key -> libzmq's number of an option -> its value."""

Checked = tuple[dict[str, Any], list[SettingsError]]
"""Settings by name as they are kept, and what is wrong with those that are not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """What every pattern can be told. All are keywords.

    :param name: what the device is called in logs; by default its pattern's name.
    :param interface: the host or network interface that bare ports bind; ``*`` is every one.
    :param sndhwm: high-water mark of each socket's outgoing queue per peer, in messages; 0 is no limit.
    :param rcvhwm: the same for incoming queues.
    :param linger_ms: how long a closing socket goes on delivering what it has queued, in ms.
    :param drain_s: how long `stop` goes on moving what has already come in, in seconds.
    :param io_threads: libzmq's io threads; devices on one hub that ask for as many share them.
    :param ipv6: whether sockets speak IPv6 too; on by itself for a socket with an IPv6 address.
    :param max_message_size_bytes: a peer that sends a larger part is disconnected; None is no limit.
    :param heartbeat_ms: how often silent tcp connections are probed, in ms; 0 turns that off. By TCP keepalive, in
        whole seconds; after three probes without an answer the peer is given up. ZMTP's own PING would also cut off
        a peer that is merely busy, see docs/design.rst.
    :param control: where commands come in; None for nowhere. See `geventrelay.components.control`.
    :param control_type: a `ControlType` or its value.
    :param tap: where a copy of the traffic can be watched; None for nowhere. See `geventrelay.components.tap`.
    :param socket_options: what libzmq is told about single sockets, after all that the other settings make of them: by
        the socket's key, libzmq's numbers of options with their values. See `geventrelay.settings.socket_options`.
    """

    pattern: ClassVar[str] = ""
    """The pattern's name on the command line."""

    name: str = setting("--name", device_name, default="")
    interface: str = setting("--interface", word, default="*")
    sndhwm: int = setting("--sndhwm", whole(0), default=10_000)
    rcvhwm: int = setting("--rcvhwm", whole(0), default=10_000)
    linger_ms: int = setting("--linger", whole(0), default=1_000)
    drain_s: float = setting("--drain", seconds, default=1.0)
    io_threads: int = setting("--io-threads", whole(1, 64), default=1)
    ipv6: bool = setting("--ipv6", flag, default=False)
    max_message_size_bytes: int | None = setting("--max-message-size", whole(1, 2**63 - 1), default=None)
    heartbeat_ms: int = setting("--heartbeat", whole(0), default=10_000)
    control: Endpoints | None = setting("--control", default=None)
    control_type: ControlType | str = setting("--control-type", one_of(ControlType), default=ControlType.REP)
    tap: Endpoints | None = setting("--tap", default=None)

    socket_options: SocketOptions = dataclasses.field(
        default_factory=dict, metadata={"option": None}, repr=False, hash=False
    )

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
        for field in dataclasses.fields(cls):
            if field.metadata["option"] is not None and field.name not in passed_over:
                try:
                    kept[field.name] = _checked(field, values, kept.get("interface", "*"))
                except SettingsError as error:
                    errors.append(error)
        if kept.get("name") == "":
            kept["name"] = cls.pattern
        errors += [*cls._check_together(kept), *cls._check_pattern(kept)]
        types = cls._types(kept)
        kept["socket_options"], wrong = check_options(values.get("socket_options", {}), cls.socket_keys(), types)
        errors += wrong
        for key in kept["socket_options"]:
            if kept.get(key, ()) is None:
                errors.append(SettingsError(key, "an endpoint for a socket that is given options", None))
        return kept, errors

    @classmethod
    def socket_keys(cls) -> tuple[str, ...]:
        """The key of each socket that the pattern can have."""
        return tuple(field.name for field in dataclasses.fields(cls) if _holds_endpoints(field))

    @property
    def endpoints(self) -> dict[str, tuple[Endpoint, ...]]:
        """The endpoints of each socket, by the socket's key."""
        return {key: getattr(self, key) for key in self.socket_keys() if getattr(self, key) is not None}

    @property
    def socket_types(self) -> dict[str, str]:
        """The ZeroMQ type of each socket, e.g. ``"ROUTER"``, by the socket's key."""
        types = self._types({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        return {key: types[key] for key in self.endpoints}

    @classmethod
    def _types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """The type of each socket as far as `values`, which are some settings, tell it."""
        types = {**cls._pattern_types(values), "tap": "XPUB"}
        if "control_type" in values:
            types["control"] = values["control_type"].value
        return types

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {}

    @classmethod
    def _check_together(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What is wrong with how `values` go together, which are right each by itself."""
        if values.get("control", ()) is None and values.get("control_type", ControlType.REP) is not ControlType.REP:
            yield SettingsError("control", "an endpoint where control_type is given", None)
        taken = Taken()
        for key in cls.socket_keys():
            for endpoint in values.get(key) or ():
                if taken.owner(endpoint) is not None:
                    yield SettingsError(key, "an endpoint that is bound once", str(endpoint))
                taken.add(endpoint, key)

    @classmethod
    def _check_pattern(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """The same for the pattern's own rules."""
        return iter(())


def _holds_endpoints(field: dataclasses.Field[Any]) -> bool:
    return field.metadata["option"] is not None and field.metadata["check"] is None


def _checked(field: dataclasses.Field[Any], values: Mapping[str, Any], interface: str) -> Any:
    value = values.get(field.name, None if field.default is dataclasses.MISSING else field.default)
    if value is None and field.default is None:
        return None
    if _holds_endpoints(field):
        return parse_endpoints(value, name=field.name, interface=interface)
    return field.metadata["check"](field.name, value)
