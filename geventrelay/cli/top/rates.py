"""Counters of two moments -> what each device does in a second.

Which values there are is taken from their descriptions. A server may be older or newer than this program: what it does
not send is None, and what is not known here is passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...engine.counters import OF_OUTLET, OF_PUMP
from ...engine.peertable import OF_SOCKET
from ...engine.values import Value, added
from . import mesh
from .mesh import RelayRates

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

_OF_PUMP, _OF_OUTLET, _OF_SOCKET = (
    [value for value in values if value.top] for values in (OF_PUMP, OF_OUTLET, OF_SOCKET)
)

COUNTERS = tuple(value.attribute for value in (*_OF_PUMP, *_OF_OUTLET, *_OF_SOCKET))
"""The values that have a rate, by their attributes: `received`, `sent`, `dropped` and so on."""

Count = int | Mapping[str, int] | None
"""What has been counted: a number, numbers by reason, or None where the server does not send it."""


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """One device at one moment.

    :ivar name: what it is called.
    :ivar pattern: its pattern.
    :ivar state: where it is in its life.
    :ivar restarts: how often it was started again after a failure.
    :ivar failure: why it failed last.
    :ivar next_start_in_s: in how many seconds it is started again; None also if it is not.
    :ivar peers: connected peers by socket; None where they are not seen (inproc).
    :ivar held: messages in hand.
    :ivar counts: what its pumps, outlets and sockets have counted so far, added up, by the values' attributes.
    :ivar per_s: the rates of these, per second; None where they are not known.
    :ivar uncertain: the sockets whose number of peers is not certain.
    :ivar last_values: what it keeps for later subscribers, as the server sends it; None if it keeps nothing.
    :ivar log: what it keeps for replay, likewise.
    :ivar topics: how many topics it counts at most; 0 or None if it counts none.
    :ivar mesh: the device as a relay of its mesh, and then the others; empty if it is part of none.
    """

    name: str
    pattern: str | None
    state: str | None
    restarts: int | None
    failure: str | None
    next_start_in_s: float | None
    peers: Mapping[str, int | None]
    held: int | None
    counts: Mapping[str, Count]
    per_s: Mapping[str, float | None]
    uncertain: Sequence[str] = ()
    last_values: Mapping[str, Any] | None = None
    log: Mapping[str, Any] | None = None
    topics: int | None = None
    mesh: Sequence[RelayRates] = ()

    def total(self, name: str) -> int | None:
        """What has been counted, whatever the reasons; None if that is not known.

        :param name: the value's attribute.
        """
        count = self.counts.get(name)
        return sum(count.values()) if isinstance(count, Mapping) else count

    @property
    def needs_a_look(self) -> bool:
        """Whether it does anything but run."""
        return self.state != "running" or self.missing_per_s > 0 or (self.held or 0) > 0

    @property
    def missing_per_s(self) -> float:
        """Messages that it drops in a second, and deliveries that it loses (engine zmtp)."""
        return (self.per_s["dropped"] or 0) + (self.per_s.get("lost") or 0)

    def since(self, before: DeviceRates | None, seconds: float) -> DeviceRates:
        """The same with rates.

        :param before: the device `seconds` ago; None if it was not there, which leaves the rates at 0.
        :param seconds: the time between.
        """
        if before is None or seconds <= 0:
            return self
        per_s = {name: _rate(before.total(name), self.total(name), seconds) for name in COUNTERS}
        return dataclasses.replace(self, per_s=per_s, mesh=mesh.since(self.mesh, before.mesh, seconds))

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it; docs/page.rst describes it."""
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del fields["counts"], fields["per_s"], fields["mesh"]
        return {**fields, **self.counts, **{f"{name}_per_s": rate for name, rate in self.per_s.items()}}


def rates(answer: Mapping[str, Any], before: Mapping[str, DeviceRates], seconds: float) -> dict[str, DeviceRates]:
    """The devices of an answer of ``/api/devices``, by name and in its order.

    :param answer: the decoded answer.
    :param before: what this function returned `seconds` ago; empty for the first time.
    :param seconds: the time between.
    """
    made = (_device(device) for device in answer["devices"])
    return {one.name: one.since(before.get(one.name), seconds) for one in made}


def _device(device: Mapping[str, Any]) -> DeviceRates:
    pumps = device.get("pumps", ())
    outlets = [outlet for pump in pumps for outlet in pump.get("outlets", ())]
    counts = {
        value.attribute: _sum(value, several) if several is not None else None
        for values, several in (
            (_OF_PUMP, device.get("pumps")),
            (_OF_OUTLET, outlets if "pumps" in device else None),
            (_OF_SOCKET, device.get("sockets")),
        )
        for value in values
    }
    return DeviceRates(
        name=device["name"],
        pattern=device.get("pattern"),
        state=device.get("state"),
        restarts=device.get("restarts"),
        failure=device.get("failure"),
        next_start_in_s=device.get("next_start_in_s"),
        peers={socket["key"]: socket.get("peers") for socket in device.get("sockets", ())},
        uncertain=[socket["key"] for socket in device.get("sockets", ()) if socket.get("certain") is False],
        held=device.get("held"),
        last_values=_kept(outlets, "last_values"),
        log=_kept(outlets, "log"),
        topics=device.get("topics"),
        mesh=mesh.mesh_of(device),
        counts=counts,
        per_s={name: None if counts[name] is None else 0.0 for name in COUNTERS},
    )


def _kept(outlets: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """What the one of the `outlets` that keeps something under `name` sends of it; None if there is none."""
    return next((found for outlet in outlets if (found := outlet.get(name)) and found.get("bytes") is not None), None)


def _sum(value: Value, several: Iterable[Mapping[str, Any]]) -> Count:
    """A value of several pumps, outlets or sockets together; None if one of them does not have it."""
    total: Any = {} if value.by else 0
    for one in several:
        found: Any = one
        for key in value.path:
            found = found.get(key)
            if found is None:
                return None
        total = added(total, found) if value.by else total + found
    return total  # type: ignore[no-any-return]


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    if before is None or now is None:
        return None
    # Counters go back only when the server was started again.
    return max(0.0, round((now - before) / seconds, 2))


def short(value: float | None) -> str:
    """A number that is read at a glance: 0.4, 310, 1.2k, 54k, 3.1M; ``?`` for None.

    :param value: 0 or more.
    """
    if value is None:
        return "?"
    for step, letter in _STEPS:
        if value >= step * 0.9995:
            return f"{value / step:.{0 if value >= step * 9.95 else 1}f}{letter}"
    return f"{value:.1f}" if 0 < value < 9.95 and value != int(value) else f"{value:.0f}"
