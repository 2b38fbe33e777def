"""The groups of options that a device of every pattern has.

A feature's own group stands in the feature's folder, as ``options.py``, and is one more base of `DeviceSettings`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..endpoints import LOOPBACK, Endpoint
from ..errors import SettingsError
from ..terms import LONGEST_TOPIC_BYTES, Engine
from .checks import (
    LARGEST_TOPIC_LIMIT_BYTES,
    LONGEST_KEEPALIVE_S,
    SMALLEST_MESSAGE_LIMIT_BYTES,
    device_name,
    endpoints,
    flag,
    one_of,
    seconds,
    whole,
    word,
)
from .option import Group, Scope, option

Endpoints = str | int | Endpoint | Sequence[str | int | Endpoint]
"""One endpoint or several, as a user writes them; see `geventrelay.endpoints.Endpoint.parse`."""


class ControlType(enum.Enum):
    """The type of a device's control socket. A PULL or SUB follows commands and answers nothing."""

    REP = "REP"
    PAIR = "PAIR"
    ROUTER = "ROUTER"
    PULL = "PULL"
    SUB = "SUB"


class DeviceGroup(Group):
    """A group of a device's options."""

    __slots__ = ()

    scope = Scope.DEVICE


@dataclass(frozen=True, kw_only=True)
class Common(DeviceGroup):
    """What a device is called, and what its sockets have in common."""

    __slots__ = ()

    title = "Device"

    name: str = option(
        device_name, "what to call this device in logs", default="", unset="the pattern's name", metavar="NAME"
    )
    # `live`: it is not used once the endpoints are complete. One that changes with it is a difference of its own.
    interface: str | None = option(
        word,
        "address or network interface that every bare port binds; * is every one",
        default=None,
        unset="127.0.0.1 for control, tap and replay-port, else *",
        metavar="HOST",
        live=True,
    )
    ipv6: bool = option(
        flag,
        "IPv6 too, and first for names that have both; addresses of IPv6 do not need this",
        default=False,
    )
    engine: Engine | str = option(
        one_of(Engine),
        "what moves the messages: libzmq, zmtp, or auto, as options need",
        default=Engine.AUTO,
        metavar="ENGINE",
    )
    io_threads: int = option(
        whole(1, 64), "I/O threads of libzmq; devices with the same number share them", default=1, metavar="N"
    )
    legacy_peers: bool = option(
        flag,
        "let in ZMTP 1.0 and 2.0 (libzmq 2 and 3); then other bytes may pass for messages",
        default=False,
    )


@dataclass(frozen=True, kw_only=True)
class Limits(DeviceGroup):
    """How much is queued, and for how long a device waits."""

    __slots__ = ()

    title = "Limits"

    sndhwm: int = option(
        whole(0),
        "messages queued for each peer that receives; 0 is no limit",
        default=10_000,
        unit="messages",
        bound=True,
    )
    rcvhwm: int = option(
        whole(0),
        "messages queued from each peer that sends; 0 is no limit",
        default=10_000,
        unit="messages",
        bound=True,
    )
    sndhwm_bytes: int = option(
        whole(0, 2**62),
        "bytes queued for each peer that receives; 0 is no limit (engine zmtp)",
        default=0,
        name="sndhwm-bytes",
        bound=True,
        rare=True,
        on_libzmq=(0,),
    )
    rcvhwm_bytes: int = option(
        whole(0),
        "bytes that wait from each peer that sends; 0 leaves it to the kernel (engine zmtp)",
        default=0,
        name="rcvhwm-bytes",
        bound=True,
        rare=True,
        on_libzmq=(0,),
    )
    max_message_size_bytes: int | None = option(
        whole(SMALLEST_MESSAGE_LIMIT_BYTES, 2**63 - 1, besides=0),
        "disconnect a peer that sends a larger part; 1024 or more, or 0 for no limit",
        default=None,
        unset="67108864; no limit where libzmq connects",
        bound=True,
    )
    max_parts: int = option(
        whole(0),
        "drop a message that has more parts, and end its sender's connection; 0 is no limit",
        default=1_000,
        unit="parts",
        live=True,
        bound=True,
        rare=True,
    )
    heartbeat_ms: int = option(
        whole(0, LONGEST_KEEPALIVE_S * 1000),
        "how often TCP keepalive probes silent connections; 0 is never",
        default=10_000,
    )
    immediate: bool = option(
        flag, "a PUSH or PUB that connects queues messages only for a peer that is connected", default=False
    )
    drain_s: float = option(
        seconds, "when stopping, go on moving what has come in for up to this long", default=1.0, live=True
    )
    linger_ms: int = option(
        whole(0), "then wait up to this long for peers to take what is queued", default=1_000, live=True
    )


@dataclass(frozen=True, kw_only=True)
class PeerLimits(DeviceGroup):
    """What a peer may send, beside messages that are read. docs/operating.rst has the table of all bounds."""

    __slots__ = ()

    title = "Limits of peers"

    max_topic_size_bytes: int = option(
        whole(1, LARGEST_TOPIC_LIMIT_BYTES),
        "refuse subscriptions to a longer topic, up to 65536; also bounds parts that an XSUB sends upstream",
        default=LONGEST_TOPIC_BYTES,
        bound=True,
        rare=True,
    )
    subscriber_burst_bytes: int = option(
        whole(0),
        "end a TCP connection that brings more subscriptions at once to a PUB, XPUB or PUSH; 0 is no limit",
        default=4 * 1024 * 1024,
        bound=True,
        rare=True,
    )
    subscriber_rate: int = option(
        whole(0),
        "how much more a connection may bring there, in a second",
        default=64 * 1024,
        unit="bytes",
        bound=True,
        rare=True,
    )
    max_unfinished_bytes: int | None = option(
        whole(0, 2**63 - 1),
        "end a connection that sends more of a message that does not end; 0 is no limit",
        default=None,
        unset="268435456; 67108864 with engine zmtp",
        bound=True,
        rare=True,
    )
    max_peers: int = option(
        whole(0),
        "let no more connections in to a socket; 0 is no limit",
        default=0,
        unit="connections",
        bound=True,
        rare=True,
    )
    max_connections_per_address: int = option(
        whole(0),
        "let no more connections of one address in to a socket, loopback aside; 0 is no limit",
        default=0,
        unit="connections",
        bound=True,
        rare=True,
    )
    handshake_timeout_s: float = option(
        seconds,
        "end a connection whose handshake takes longer; 0 is no limit",
        default=10.0,
        bound=True,
        rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class SubscriberLimits(DeviceGroup):
    """What subscribers may ask for, and what waits for them. A base of the patterns that may have a PUB or XPUB."""

    __slots__ = ()

    title = "Subscribers of relay, forwarder and custom"

    max_subscriptions: int = option(
        whole(0),
        "end a connection that subscribes to more topics; 0 is no limit (engine zmtp)",
        default=100_000,
        unit="topics",
        bound=True,
        rare=True,
        on_libzmq=(100_000,),
    )
    subscriber_max_age_s: float = option(
        seconds,
        "drop a message that has waited longer for a slow subscriber; 0 is no limit (engine zmtp)",
        default=0.0,
        unset="no limit",
        bound=True,
        rare=True,
        on_libzmq=(0,),
    )


@dataclass(frozen=True, kw_only=True)
class ControlOptions(DeviceGroup):
    """Where commands come in. See `geventrelay.components.control`."""

    __slots__ = ()

    title = "Control"

    control: Endpoints | None = option(
        endpoints,
        "where commands such as PAUSE and DISCONNECT come in",
        default=None,
        unset="nowhere",
        metavar="ENDPOINT",
        interface=LOOPBACK,
    )
    control_type: ControlType | str = option(
        one_of(ControlType),
        "the type of that socket: REP, PAIR, ROUTER, PULL or SUB",
        default=ControlType.REP,
        metavar="TYPE",
    )

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """A type without a socket is a mistake.

        :param values: those settings that are right, by field.
        """
        if values.get("control", ()) is None and values.get("control_type", ControlType.REP) is not ControlType.REP:
            yield SettingsError("control", "an endpoint where control-type is given", None)


@dataclass(frozen=True, kw_only=True)
class TapOptions(DeviceGroup):
    """Where a copy of the traffic can be watched. See `geventrelay.components.tap`."""

    __slots__ = ()

    title = "Watching"

    tap: Endpoints | None = option(
        endpoints,
        "where a copy of the traffic can be watched with geventrelay tap",
        default=None,
        unset="nowhere",
        metavar="ENDPOINT",
        interface=LOOPBACK,
    )
