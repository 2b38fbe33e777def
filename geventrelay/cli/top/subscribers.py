"""What subscribers lost, as ``top`` shows it: of which devices that is asked for, and in which order. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rates import DeviceRates

MOST_DEVICES = 10
"""The subscribers of so many devices are asked for, those that lose most: each is a request."""

MOST_SUBSCRIBERS = 100
"""How many subscribers of a device are asked for, besides those that have left."""


@dataclass(frozen=True, slots=True)
class SubscriberLosses:
    """One subscriber that has lost something. What a server does not send is None.

    :ivar device: the device.
    :ivar socket: the socket that it is connected to.
    :ivar address: where it is.
    :ivar user: who it is, where that was asked.
    :ivar left_at: when it left, as Unix time; None if it is there.
    :ivar lost: how many messages it has lost, by reason.
    :ivar lost_topics: how many of each topic, most first; `error` of them maybe too many.
    :ivar delivered: how many it has got.
    :ivar waiting: how many wait for it.
    """

    device: str
    socket: str
    address: str
    user: str | None = None
    left_at: float | None = None
    lost: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lost_topics: Sequence[Mapping[str, Any]] = ()
    delivered: int | None = None
    waiting: int | None = None

    @property
    def total(self) -> int:
        """How many messages it has lost, whatever the reasons."""
        return sum(self.lost.values())

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it, within its device."""
        found = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del found["device"]
        return found


_SENT = ("address", "user", "left_at", "delivered", "waiting")
_OF_TOPIC = ("topic", "hex", "lost", "error")


def to_ask(devices: Iterable[DeviceRates]) -> list[str]:
    """The names of those `devices` whose subscribers are asked for. Does not yield."""
    losing = [one for one in devices if one.total("lost")]
    losing.sort(key=lambda one: (-(one.per_s.get("lost") or 0), -(one.total("lost") or 0)))
    return [one.name for one in losing[:MOST_DEVICES]]


def losses_of(device: str, answer: Mapping[str, Any]) -> list[SubscriberLosses]:
    """The subscribers of a `device` that have lost something, in an `answer` of ``/api/devices/NAME/subscribers``.

    The answer was checked. Does not yield.
    """
    return [
        SubscriberLosses(
            device,
            key,
            **{name: row.get(name) for name in _SENT},
            lost=row["lost"],
            lost_topics=[{name: one.get(name) for name in _OF_TOPIC} for one in row.get("lost_topics", ())],
        )
        for key, socket in answer["sockets"].items()
        for row in (*socket.get("peers", ()), *socket.get("gone", ()))
        if sum((row.get("lost") or {}).values())
    ]


def by_loss(subscribers: Iterable[SubscriberLosses]) -> Sequence[SubscriberLosses]:
    """The `subscribers`, those that have lost most first. Does not yield."""
    return sorted(subscribers, key=lambda one: (-one.total, one.device, one.address))
