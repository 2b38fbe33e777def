"""The busiest topics, as ``top`` shows them: of which devices they are asked for, and in which order. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rates import DeviceRates

MOST_DEVICES = 10
"""The topics of so many devices are asked for, those with the most traffic: each is a request."""

MOST_TOPICS = 100
"""How many topics of a device are asked for."""


@dataclass(frozen=True, slots=True)
class TopicRates:
    """One topic at one moment. What a server does not send is None.

    :ivar device: the device.
    :ivar socket: the socket that publishes it.
    :ivar topic: the topic as text; `hex` has its bytes.
    :ivar messages: how many messages there were, maybe up to `error` too many.
    :ivar bytes: their bytes.
    :ivar messages_per_s: how many a second of late, and `bytes_per_s` their bytes.
    :ivar last_seen: when the last one came, as Unix time.
    :ivar lost: how many deliveries of it subscribers have lost, maybe up to `lost_error` too many.
    :ivar subscribers: how many get it.
    """

    device: str
    socket: str
    topic: str
    hex: str | None = None
    messages: int | None = None
    error: int | None = None
    bytes: int | None = None
    messages_per_s: float | None = None
    bytes_per_s: float | None = None
    last_seen: float | None = None
    lost: int | None = None
    lost_error: int | None = None
    subscribers: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it, within its device."""
        found = dataclasses.asdict(self)
        del found["device"]
        return found


_SENT = tuple(one.name for one in dataclasses.fields(TopicRates) if one.name not in ("device", "socket"))


def to_ask(devices: Iterable[DeviceRates]) -> list[str]:
    """The names of those `devices` whose topics are asked for. Does not yield."""
    counting = [one for one in devices if one.topics]
    counting.sort(key=lambda one: -(one.per_s.get("received") or 0))
    return [one.name for one in counting[:MOST_DEVICES]]


def topics_of(device: str, answer: Mapping[str, Any]) -> list[TopicRates]:
    """The topics of a `device` in an `answer` of ``/api/devices/NAME/topics``, which was checked. Does not yield."""
    return [
        TopicRates(device, key, **{name: row.get(name) for name in _SENT})
        for key, socket in answer["sockets"].items()
        for row in socket.get("topics", ())
    ]


def by_rate(topics: Iterable[TopicRates]) -> Sequence[TopicRates]:
    """The `topics`, those with the most messages a second first. Does not yield."""
    return sorted(topics, key=lambda one: (-(one.messages_per_s or 0), -(one.messages or 0), one.device, one.topic))
