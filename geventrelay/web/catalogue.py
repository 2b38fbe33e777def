"""Every measured value of a server, by what it belongs to. Metrics, ``/api/values`` and docs come from this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..backbone.values import OF_BACKBONE
from ..devices.snapshot import State
from ..engine.counters import OF_OUTLET, OF_PUMP, Drop
from ..engine.peeraccount import OF_PEER
from ..engine.peertable import OF_SOCKET
from ..engine.useraccount import OF_USER
from ..engine.values import Kind, Value, counter, gauge, values_of
from .http.door import REFUSED

PREFIX = "geventrelay_"
BUILD = "geventrelay_build_info"
"""The metric whose labels say what the server runs on. It measures nothing: it is 1."""


@dataclass(frozen=True, slots=True)
class ServerValues:
    """What is measured of the server itself."""

    ready: bool = gauge("servers", "1 if every device is up, else 0.", path=("ready",), metric="ready")
    hub_delay_s: float = gauge(
        "seconds",
        "Seconds by which a timer was late, the last time.",
        path=("hub_delay_s",),
        metric="hub_delay_seconds",
    )
    hub_delay_max_s: float = gauge(
        "seconds", "Seconds by which a timer was late, at most in the last minute.", metric="hub_delay_max_seconds"
    )
    log_dropped: int = counter(
        "lines", "Lines of the log that standard error did not take: its reader stalled, or writing failed.",
        path=("log_dropped",), metric="log_dropped_lines",
    )  # fmt: skip
    http_refused: Mapping[str, int] = counter(
        "requests", "HTTP requests that were refused and connections that were ended, because of a limit or a rule.",
        by="reason", known=REFUSED, path=("http_refused",), metric="http_refused",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeviceValues:
    """What is measured of a device, beside its sockets and pumps."""

    states: Mapping[State, int] = gauge(
        "devices", "1 for the state that the device is in, 0 for the others.", metric="device_state", by="state"
    )
    restarts: int = counter(
        "starts", "Times that the device was started again after a failure.",
        path=("restarts",), metric="device_restarts",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TopicsValues:
    """What is measured of all topics of a socket that counts them."""

    messages: int = counter(
        "messages", "Messages that the socket has published since its device started last.", path=("messages",)
    )
    lost: int = counter(
        "deliveries", "Deliveries that its subscribers have lost since then, whatever the reasons.", path=("lost",)
    )
    counted: int = gauge(
        "topics", "Topics that are counted now (engine zmtp).", path=("counted",), metric="topics_counted"
    )
    most_error: int = gauge(
        "messages", "The largest error of any topic: no count is too high by more.", path=("most_error",)
    )


@dataclass(frozen=True, slots=True)
class TopicValues:
    """What is measured of a topic, with the attributes of `geventrelay.switch.core_values.TopicCount`."""

    messages: int = counter(
        "messages", "Messages that were published with the topic, and maybe up to its error too many (engine zmtp).",
        path=("messages",), metric="topic_messages",
    )  # fmt: skip
    error: int = gauge(
        "messages", "By how much the messages may be too many: 0 if they were counted from the first on.",
        path=("error",),
    )  # fmt: skip
    nbytes: int = counter(
        "bytes", "Bytes of these messages, without those that the error speaks of (engine zmtp).",
        path=("bytes",), metric="topic_bytes",
    )  # fmt: skip
    per_s: float = gauge("messages a second", "Messages a second, of late.", path=("messages_per_s",))
    bytes_per_s: float = gauge("bytes a second", "Bytes a second, of late.", path=("bytes_per_s",))
    lost: int = counter(
        "deliveries",
        "Deliveries of the topic that subscribers have lost, and maybe up to its error too many (engine zmtp).",
        path=("lost",), metric="topic_lost",
    )  # fmt: skip
    lost_error: int = gauge(
        "deliveries", "By how much these may be too many: 0 if they were counted from the first on.",
        path=("lost_error",),
    )  # fmt: skip
    subscribers: int = gauge("peers", "Peers that get the topic now.", path=("subscribers",))


@dataclass(frozen=True, slots=True)
class Scope:
    """What values belong to.

    :ivar name: what it is called in the JSON: ``server``, ``device``, ``socket``, ``pump``, ``outlet``, ``peer``,
        ``user``, ``topics`` (all of a socket), ``topic`` or ``backbone``.
    :ivar labels: the labels that each of its metrics has. The socket of a pump is the one that it reads.
    :ivar values: its values.
    """

    name: str
    labels: tuple[str, ...]
    values: tuple[Value, ...]


SERVER = Scope("server", (), values_of(ServerValues))
DEVICE = Scope("device", ("device",), values_of(DeviceValues))
SOCKET = Scope("socket", ("device", "socket"), OF_SOCKET)
PUMP = Scope("pump", ("device", "socket"), OF_PUMP)
OUTLET = Scope("outlet", ("device", "socket"), OF_OUTLET)
# Without metrics: there may be very many peers.
PEER = Scope("peer", (), OF_PEER)
USER = Scope("user", ("device", "socket", "user"), OF_USER)
BACKBONE = Scope("backbone", ("device",), OF_BACKBONE)
TOPICS = Scope("topics", ("device", "socket"), values_of(TopicsValues))
TOPIC = Scope("topic", ("device", "socket", "topic"), values_of(TopicValues))
SCOPES = (SERVER, DEVICE, SOCKET, PEER, USER, BACKBONE, PUMP, OUTLET, TOPICS, TOPIC)


def metric_name(value: Value) -> str:
    """The name that Prometheus knows a `value` by. Does not yield."""
    return f"{PREFIX}{value.metric}{'_total' if value.kind is Kind.COUNTER else ''}"


def descriptions() -> dict[str, Any]:
    """The answer of ``/api/values`` without its version: every value, and every reason to drop. Does not yield."""
    return {
        "values": [
            {
                "of": scope.name,
                "path": list(value.path),
                "metric": metric_name(value) if value.metric else None,
                "kind": value.kind.value,
                "unit": value.unit,
                "by": value.by or None,
                "help": value.help,
            }
            for scope in SCOPES
            for value in scope.values
        ],
        "drops": {reason.value: {"label": reason.label, "help": reason.help} for reason in Drop},
    }
