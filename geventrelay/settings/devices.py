"""What a user may set of a device: frozen dataclasses, one per pattern, validated when they are made."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..endpoints import Endpoint, parse_endpoints
from ..errors import SettingsError
from .checks import flag, one_of, prefixes, seconds, whole, word
from .fields import setting
from .pairs import directions

Endpoints = str | int | Endpoint | Sequence[str | int | Endpoint]
"""One endpoint or several, as a user writes them; see `geventrelay.endpoints.Endpoint.parse`."""

Prefixes = str | bytes | Sequence[str | bytes]
"""One subscription prefix or several; text is encoded as UTF-8, and an empty one takes everything."""


class PushPayload(enum.Enum):
    """What the relay's PUSH gets of each message."""

    AUTO = "auto"
    """SPACE for a message of one part, PARTS for a message of several."""
    SPACE = "space"
    """What follows the first space of the first part (all of it where there is none), and the other parts."""
    PARTS = "parts"
    """Every part but the first; a message of one part goes whole."""
    WHOLE = "whole"
    """The message as it came."""


class ControlType(enum.Enum):
    """What a device's control socket is; a PULL or SUB follows commands and answers nothing."""

    REP = "REP"
    PAIR = "PAIR"
    ROUTER = "ROUTER"
    PULL = "PULL"
    SUB = "SUB"


class WhenFull(enum.Enum):
    """What happens to a message that nobody can take now: it is dropped and counted, or it waits."""

    DROP = "drop"
    BLOCK = "block"


def _socket_type(name: str, value: Any) -> str:
    text = value.upper() if isinstance(value, str) else value
    if text not in SOCKET_TYPES:
        raise SettingsError(name, "one of " + ", ".join(SOCKET_TYPES), value)
    return str(text)


SOCKET_TYPES = (
    "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "DEALER", "ROUTER", "REQ", "REP", "STREAM"
)  # fmt: skip
"""Every socket type that can be named; which of them can be joined is for `geventrelay.settings.pairs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """What every pattern can be told. All are keywords.

    :param name: what the device is called in logs; by default its pattern's name.
    :param interface: the host or network interface that bare ports bind; ``*`` is every one.
    :param sndhwm: high-water mark of each socket's outgoing queue per peer, in messages; 0 is no limit.
    :param rcvhwm: the same for incoming queues.
    :param linger_ms: how long a closing socket goes on delivering what it has queued, in ms.
    :param drain_s: how long `stop` goes on moving what has already come in, in seconds.
    :param io_threads: libzmq's io threads, for a device that makes its own context.
    :param ipv6: whether sockets speak IPv6 too; on by itself for a socket with an IPv6 address.
    :param max_message_size_bytes: a peer that sends a larger part is disconnected; None is no limit.
    :param heartbeat_ms: how often silent tcp connections are probed, in ms; 0 turns that off. By TCP keepalive, in
        whole seconds; after three probes without an answer the peer is given up. ZMTP's own PING would also cut off
        a peer that is merely busy, see docs/design.rst.
    :param control: where commands come in; None for nowhere. See `geventrelay.devices.steering`.
    :param control_type: a `ControlType` or its value.
    """

    pattern: ClassVar[str] = ""

    name: str = setting("--name", word, default="")
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

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.pattern)
        for field in dataclasses.fields(self):
            value, check = getattr(self, field.name), field.metadata["check"]
            if value is None and field.default is None:
                continue
            if check is None:
                value = parse_endpoints(value, name=field.name, interface=self.interface)
            else:
                value = check(field.name, value)
            object.__setattr__(self, field.name, value)
        self._check_together()

    @property
    def endpoints(self) -> dict[str, tuple[Endpoint, ...]]:
        """The endpoints of each socket, by the socket's key."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["check"] is None and getattr(self, field.name) is not None
        }

    def _check_together(self) -> None:
        if self.control is None and self.control_type is not ControlType.REP:
            raise SettingsError("control", "an endpoint where control_type is given", None)
        taken: set[str] = set()
        for key, endpoints in self.endpoints.items():
            for endpoint in endpoints:
                if not endpoint.binds or endpoint.is_wildcard:
                    continue
                if endpoint.address in taken:
                    raise SettingsError(key, "an endpoint that is bound once", str(endpoint))
                taken.add(endpoint.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(DeviceSettings):
    """SUB -> PUB and PUSH: every subscriber gets each message whole, one puller gets its payload.

    :param sub: where publishers connect their PUB.
    :param pub: where subscribers connect their SUB; None for none.
    :param push: where pullers connect their PULL; None for none. At least one of `pub` and `push` is needed.
    :param subscribe: the topics to take from the publishers; everything by default.
    :param push_payload: which part of a message is its payload: a `PushPayload` or its value.
    :param push_when_full: `WhenFull` or its value: with no puller, or all of them full, DROP counts the payload
        as dropped; BLOCK waits, and then subscribers wait too and the publishers' side fills up.
    """

    pattern: ClassVar[str] = "relay"

    sub: Endpoints = setting("--sub-port")
    pub: Endpoints | None = setting("--pub-port", default=None)
    push: Endpoints | None = setting("--push-port", default=None)
    subscribe: Prefixes = setting("--subscribe", prefixes, default=("",))
    push_payload: PushPayload | str = setting("--push-payload", one_of(PushPayload), default=PushPayload.AUTO)
    push_when_full: WhenFull | str = setting("--push-when-full", one_of(WhenFull), default=WhenFull.DROP)

    def _check_together(self) -> None:
        if self.pub is None and self.push is None:
            raise SettingsError("push", "an endpoint, here or for pub or for both", None)
        DeviceSettings._check_together(self)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(_Proxy):
    """ROUTER <-> DEALER: any number of REQ clients at the frontend, of REP workers at the backend.

    :param frontend: where clients connect. :param backend: where workers connect.
    """

    pattern: ClassVar[str] = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamer(_Proxy):
    """PULL -> PUSH: tasks from any number of PUSH at the frontend, shared by the PULL workers at the backend.

    :param frontend: where tasks come from. :param backend: where workers connect.
    """

    pattern: ClassVar[str] = "streamer"


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

    def _check_together(self) -> None:
        DeviceSettings._check_together(self)
        types = (self.frontend_type, self.backend_type)
        directions(*types)
        if self.subscribe is not None and "SUB" not in types:
            raise SettingsError("subscribe", "a SUB among the two sides", " -> ".join(types))
        if self.slow_subscriber is not WhenFull.DROP and not {"PUB", "XPUB"} & set(types):
            raise SettingsError("slow_subscriber", "a PUB or XPUB among the two sides", " -> ".join(types))


PATTERNS: dict[str, type[DeviceSettings]] = {cls.pattern: cls for cls in (Relay, Forwarder, Queue, Streamer, Custom)}
"""The settings class of each pattern, by the pattern's name."""
