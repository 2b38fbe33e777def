"""What a device says of itself once a second, besides what the others need to work with it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from ..components.component import Traffic
from ..version import version
from .words.mesh import About

_LEAST_S = 0.5
"""A rate over less time than this would jump: then the one before is still told."""


class Portrait:
    """Makes what a device says of itself from what it has counted.

    :param traffic: what has gone through its sockets; it does not yield.
    """

    def __init__(self, traffic: Callable[[], Traffic] = Traffic) -> None:
        self._traffic = traffic
        self._before: tuple[float, Traffic] | None = None
        self._rates = (0, 0)

    def at(self, now: float, *, server: str, waiting: int, incoming: int) -> About:
        """What there is to say `now`, in seconds of a clock that never goes back.

        :param server: the server of NATS that it is connected to.
        :param waiting: how many messages wait for other devices.
        :param incoming: how many messages from other devices wait.
        """
        traffic = self._traffic()
        if self._before is None:
            self._before = now, traffic
        seconds, before = now - self._before[0], self._before[1]
        if seconds >= _LEAST_S:
            # Counts begin anew where a device is started again.
            came, went = max(0, traffic.received - before.received), max(0, traffic.sent - before.sent)
            self._rates = round(came / seconds), round(went / seconds)
            self._before = now, traffic
        received, sent = self._rates
        return About(
            version=version(),
            server=server,
            peers=traffic.peers,
            received_per_s=received,
            sent_per_s=sent,
            waiting=waiting,
            incoming=incoming,
        )
