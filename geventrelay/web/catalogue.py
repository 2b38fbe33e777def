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
class Scope:
    """What values belong to.

    :ivar name: what it is called in the JSON: ``server``, ``device``, ``socket``, ``pump``, ``outlet``, ``peer``,
        ``user`` or ``backbone``.
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
SCOPES = (SERVER, DEVICE, SOCKET, PEER, USER, BACKBONE, PUMP, OUTLET)


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
