"""How a thread waits until one of its sockets is readable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import zmq

LONGEST_S = 600.0
"""The longest wait at a time, in seconds; ZeroMQ's is 24 days."""


class Wait(Protocol):
    """A way to wait."""

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> None:
        """Return when one of `sockets` is readable, or after `timeout_s` seconds, or before."""

    def let_others_run(self) -> None:
        """Let all others run that share this thread."""


class Poll:
    """With ZeroMQ's own poll, as all of a thread waits."""

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> None:
        """Return when one of `sockets` is readable, or after `timeout_s` seconds."""
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        poller.poll(milliseconds(timeout_s))

    def let_others_run(self) -> None:
        """There are no others."""


def milliseconds(seconds: float) -> int:
    """A time of so many `seconds` as ZeroMQ takes it, rounded up: what is due is over when the wait is."""
    return math.ceil(max(0.0, min(seconds, LONGEST_S)) * 1000)
