"""Whether the other end of a connection is alive (RFC 37, "Heartbeating"). Pure; time is an argument.

It is as in libzmq (stream_engine_base.cpp, zmtp_engine.cpp): a PING goes out at every interval, and anything that comes
after it is a sign of life. A PING of the other end may have a time to live: if nothing comes in that time, it is to be
taken for dead.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a socket does to know that its peers are alive; see zmq_setsockopt(3), ZMQ_HEARTBEAT_IVL and its kin.

    :ivar interval_s: how often a PING goes out, in seconds; 0 for never.
    :ivar timeout_s: how long to wait for a sign of life after it, in seconds; 0 for ever.
    :ivar ttl_ds: how long the other end is to wait for the next sign of life, in tenths of a second; 0 for ever.
    """

    interval_s: float = 0.0
    timeout_s: float = 0.0
    ttl_ds: int = 0


class Beat(enum.Enum):
    """What is to be done."""

    NOTHING = enum.auto()
    PING = enum.auto()
    """Send one, and say so with `Pulse.sent`."""
    END = enum.auto()
    """The other end has been silent for too long."""


@dataclass(slots=True)
class _Wait:
    """For a sign of life: until when, for how long in all, and how many bytes had come when it began."""

    until: float
    time_s: float
    heard: int


class Pulse:
    """What is known of one connection.

    :param heartbeat: of its socket.
    :param now: by `time.monotonic`, as all times here.
    :ivar what: one sentence about the silence, after `Beat.END`.
    """

    def __init__(self, heartbeat: Heartbeat, now: float) -> None:
        self.what = ""
        self._heartbeat = heartbeat
        self._next_ping = now + heartbeat.interval_s if heartbeat.interval_s else math.inf
        self._waits: dict[str, _Wait] = {}

    @property
    def due(self) -> float:
        """When to ask `beat` again."""
        return min((self._next_ping, *(wait.until for wait in self._waits.values())))

    def sent(self, now: float, heard: int) -> None:
        """A PING went out.

        :param now: the time.
        :param heard: how many bytes have come from the other end in all.
        """
        time_s = self._heartbeat.timeout_s
        if time_s and "a PING" not in self._waits:
            self._waits["a PING"] = _Wait(now + time_s, time_s, heard)

    def pinged(self, ttl_ds: int, now: float, heard: int) -> None:
        """A PING of the other end has come in.

        :param ttl_ds: its time to live, in tenths of a second; not 0.
        :param now: the time.
        :param heard: how many bytes have come from the other end in all, it among them.
        """
        time_s = ttl_ds / 10
        self._waits["its own PING"] = _Wait(now + time_s, time_s, heard)

    def beat(self, now: float, heard: int, *, hears: bool) -> Beat:
        """What is to be done now.

        :param now: the time.
        :param heard: how many bytes have come from the other end in all.
        :param hears: whether what comes is read. A silence in which nothing is read is not the other end's.
        """
        for after, wait in list(self._waits.items()):
            if heard > wait.heard:
                del self._waits[after]
            elif not hears:
                wait.until = now + wait.time_s
            elif now >= wait.until:
                self.what = f"nothing has come in {wait.time_s:g} s after {after}"
                return Beat.END
        if now < self._next_ping:
            return Beat.NOTHING
        self._next_ping = now + self._heartbeat.interval_s
        return Beat.PING
