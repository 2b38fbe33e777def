"""What a user may set of each pattern: a frozen dataclass for each, validated when it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import SettingsError
from ..terms import Payload, WhenFull
from .checks import one_of, prefixes
from .device import DeviceSettings, Endpoints
from .option import setting
from .socket_types import directions

Prefixes = str | bytes | Sequence[str | bytes]
"""One subscription prefix or several; text is encoded as UTF-8, and an empty one takes everything."""


SOCKET_TYPES = (
    "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "DEALER", "ROUTER", "REQ", "REP", "STREAM"
)  # fmt: skip
"""Every socket type that can be named; which of them can be joined is for `geventrelay.settings.socket_types`."""


def _socket_type(name: str, value: Any) -> str:
    text = value.upper() if isinstance(value, str) else value
    if text not in SOCKET_TYPES:
        raise SettingsError(name, "one of " + ", ".join(SOCKET_TYPES), value)
    return str(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(DeviceSettings):
    """SUB -> PUB and PUSH: every subscriber gets each message whole, one puller gets its payload.

    :param sub: where publishers connect their PUB.
    :param pub: where subscribers connect their SUB; None for none.
    :param push: where pullers connect their PULL; None for none. At least one of `pub` and `push` is needed.
    :param subscribe: the topics to take from the publishers; everything by default.
    :param push_payload: which part of a message is its payload: a `Payload` or its value.
    :param push_when_full: `WhenFull` or its value: with no puller, or all of them full, DROP counts the payload
        as dropped; BLOCK waits, and then subscribers wait too and the publishers' side fills up.
    """

    pattern: ClassVar[str] = "relay"

    sub: Endpoints = setting("--sub-port")
    pub: Endpoints | None = setting("--pub-port", default=None)
    push: Endpoints | None = setting("--push-port", default=None)
    subscribe: Prefixes = setting("--subscribe", prefixes, default=("",))
    push_payload: Payload | str = setting("--push-payload", one_of(Payload, but=(Payload.SWAP,)), default=Payload.AUTO)
    push_when_full: WhenFull | str = setting("--push-when-full", one_of(WhenFull), default=WhenFull.DROP)

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"sub": "SUB", "pub": "PUB", "push": "PUSH"}

    @classmethod
    def _check_pattern(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        if values.get("pub", ()) is None and values.get("push", ()) is None:
            yield SettingsError("push", "an endpoint, here or for pub or for both", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proxy(DeviceSettings):
    """Settings of every pattern with two sides.

    :param frontend: where traffic comes in.
    :param backend: where it goes out.
    """

    frontend: Endpoints = setting("--frontend")
    backend: Endpoints = setting("--backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder(_Proxy):
    """XSUB <-> XPUB: publishers at the frontend, subscribers at the backend, subscriptions travel upstream.

    :param frontend: where publishers connect. :param backend: where subscribers connect.
    :param subscribe: None forwards the subscribers' own subscriptions; prefixes make it SUB -> PUB, which takes
        these from the publishers whoever is there.
    :param slow_subscriber: `WhenFull` or its value, for a subscriber whose queue is full: DROP loses its
        messages inside libzmq, where nobody can count them; BLOCK (ZMQ_XPUB_NODROP) makes everybody wait for it.
    """

    pattern: ClassVar[str] = "forwarder"

    subscribe: Prefixes | None = setting("--subscribe", prefixes, default=None)
    slow_subscriber: WhenFull | str = setting("--slow-subscriber", one_of(WhenFull), default=WhenFull.DROP)

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        if "subscribe" not in values:
            return {}
        frontend, backend = ("XSUB", "XPUB") if values["subscribe"] is None else ("SUB", "PUB")
        return {"frontend": frontend, "backend": backend}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(_Proxy):
    """ROUTER <-> DEALER: any number of REQ clients at the frontend, of REP workers at the backend.

    :param frontend: where clients connect. :param backend: where workers connect.
    """

    pattern: ClassVar[str] = "queue"

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"frontend": "ROUTER", "backend": "DEALER"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamer(_Proxy):
    """PULL -> PUSH: tasks from any number of PUSH at the frontend, shared by the PULL workers at the backend.

    :param frontend: where tasks come from. :param backend: where workers connect.
    """

    pattern: ClassVar[str] = "streamer"

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"frontend": "PULL", "backend": "PUSH"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom(_Proxy):
    """Any two sockets that can be joined.

    :param frontend_type: a ZeroMQ socket type by name, e.g. ``"PULL"``; likewise `backend_type`.
    :param frontend: the frontend's endpoints. :param backend: the backend's.
    :param subscribe: the topics that a SUB takes; everything by default.
    :param slow_subscriber: as for `Forwarder`; for an XPUB or PUB.
    """

    pattern: ClassVar[str] = "custom"

    frontend_type: str = setting("--frontend-type", _socket_type)
    backend_type: str = setting("--backend-type", _socket_type)
    subscribe: Prefixes | None = setting("--subscribe", prefixes, default=None)
    slow_subscriber: WhenFull | str = setting("--slow-subscriber", one_of(WhenFull), default=WhenFull.DROP)

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {side: values[f"{side}_type"] for side in ("frontend", "backend") if f"{side}_type" in values}

    @classmethod
    def _check_pattern(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        types = tuple(cls._pattern_types(values).values())
        if len(types) < 2:
            return
        try:
            directions(*types)
        except SettingsError as error:
            yield error
        if values.get("subscribe") is not None and "SUB" not in types:
            yield SettingsError("subscribe", "a SUB among the two sides", " -> ".join(types))
        if values.get("slow_subscriber", WhenFull.DROP) is not WhenFull.DROP and not {"PUB", "XPUB"} & set(types):
            yield SettingsError("slow_subscriber", "a PUB or XPUB among the two sides", " -> ".join(types))


PATTERNS: dict[str, type[DeviceSettings]] = {cls.pattern: cls for cls in (Relay, Forwarder, Queue, Streamer, Custom)}
"""The settings class of each pattern, by the pattern's name."""
