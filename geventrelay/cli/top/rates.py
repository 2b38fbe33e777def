"""Counters of two moments -> what each device does in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Flow:
    """One device at one moment.

    :ivar peers: connected peers by socket; None where they cannot be seen (inproc).
    :ivar received: messages so far; likewise `sent`, summed over its outlets, and `dropped`, by reason.
    :ivar received_per_s: messages in a second; likewise `sent_per_s` and `dropped_per_s`.
    :ivar held: messages in hand. :ivar failure: of what it failed last. :ivar next_start_in_s: when it starts again.
    """

    name: str
    pattern: str
    state: str
    restarts: int
    failure: str | None
    next_start_in_s: float | None
    peers: Mapping[str, int | None]
    received: int
    sent: int
    dropped: Mapping[str, int]
    held: int
    received_per_s: float = 0.0
    sent_per_s: float = 0.0
    dropped_per_s: float = 0.0

    @property
    def dropped_total(self) -> int:
        """Messages dropped so far, whatever the reason."""
        return sum(self.dropped.values())

    @property
    def needs_a_look(self) -> bool:
        """Whether it is not simply running."""
        return self.state != "running" or self.dropped_per_s > 0 or self.held > 0

    def since(self, before: Flow | None, seconds: float) -> Flow:
        """The same with rates.

        :param before: the device `seconds` ago; None if it was not there, which leaves the rates at 0.
        """
        if before is None or seconds <= 0:
            return self
        return dataclasses.replace(
            self,
            received_per_s=_rate(before.received, self.received, seconds),
            sent_per_s=_rate(before.sent, self.sent, seconds),
            dropped_per_s=_rate(before.dropped_total, self.dropped_total, seconds),
        )


def flows(answer: Mapping[str, Any], before: Mapping[str, Flow], seconds: float) -> dict[str, Flow]:
    """The devices of an answer of ``/api/devices``, by name and in its order.

    :param answer: the decoded answer. :param before: what this gave `seconds` ago; empty for the first time.
    """
    made = (_flow(device) for device in answer["devices"])
    return {one.name: one.since(before.get(one.name), seconds) for one in made}


def _flow(device: Mapping[str, Any]) -> Flow:
    outlets = [outlet for pump in device["pumps"] for outlet in pump["outlets"]]
    dropped: dict[str, int] = {}
    for outlet in outlets:
        for reason, messages in outlet["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + messages
    return Flow(
        name=device["name"],
        pattern=device["pattern"],
        state=device["state"],
        restarts=device["restarts"],
        failure=device["failure"],
        next_start_in_s=device["next_start_in_s"],
        peers={socket["key"]: socket["peers"] for socket in device["sockets"]},
        received=sum(pump["received"]["messages"] for pump in device["pumps"]),
        sent=sum(outlet["sent"]["messages"] for outlet in outlets),
        dropped=dropped,
        held=device["held"],
    )


def _rate(before: int, now: int, seconds: float) -> float:
    # Counters go back only when the server was started again.
    return max(0.0, round((now - before) / seconds, 2))


def short(value: float) -> str:
    """A figure that can be read at a glance: 0.4, 310, 1.2k, 54k, 3.1M.

    :param value: 0 or more.
    """
    for step, letter in _STEPS:
        if value >= step * 0.9995:
            return f"{value / step:.{0 if value >= step * 9.95 else 1}f}{letter}"
    return f"{value:.1f}" if 0 < value < 9.95 and value != int(value) else f"{value:.0f}"
