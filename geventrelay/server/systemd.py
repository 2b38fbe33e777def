"""Notifications to systemd: ready, reloading, stopping, a line of status, and that the hub is alive (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Mapping

import gevent

from ..log import event

log = logging.getLogger("geventrelay")

# systemd writes an unsigned integer of 64 bits.
_USEC = re.compile("0*[1-9][0-9]{0,19}")
# No time-out below twice the shortest can be met; the longest is what every event loop's timers take.
_SHORTEST_S, _LONGEST_S = 0.01, 86400.0


class Systemd:
    """Sends notifications to systemd; does nothing if systemd does not expect any.

    :param environment: has ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; None takes this process's own.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._status = ""
        self._watchdog: gevent.Greenlet[..., None] | None = None

    def ready(self) -> None:
        """Everything is up, or the reload is done."""
        self.notify("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self.notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The stop begins."""
        self.notify("STOPPING=1")

    def status(self, line: str) -> None:
        """Send one `line` of status; the same line is not sent twice."""
        if line != self._status:
            self._status = line
            self.notify(f"STATUS={line}")

    def notify(self, state: str) -> None:
        """Send a `state`, e.g. ``READY=1``. A failure is only logged, because it must not stop the devices."""
        address = self._environment.get("NOTIFY_SOCKET")
        if not address:
            return
        target = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            # A manager that does not read must not block the hub either.
            notify.setblocking(False)
            try:
                notify.connect(target)
                notify.sendall(state.encode())
            except OSError as error:
                log.warning(event("notify-failed", state=state, NOTIFY_SOCKET=address, reason=error.strerror or error))

    def start_watchdog(self) -> None:
        """Report from now on that the hub is alive, twice as often as required. Does not yield."""
        interval_s = watchdog_interval_s(self._environment)
        if interval_s is not None and self._watchdog is None:
            self._watchdog = gevent.spawn(self._watch, interval_s)

    def stop_watchdog(self) -> None:
        """End what `start_watchdog` began. Yields."""
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog = None

    def _watch(self, interval_s: float) -> None:
        # In a greenlet, so that a blocked hub sends nothing.
        while True:
            self.notify("WATCHDOG=1")
            gevent.sleep(interval_s)


def watchdog_interval_s(environment: Mapping[str, str]) -> float | None:
    """The time between two reports to the watchdog, in seconds: half of its time-out; None if it expects none.

    It is from 0.01 to 86400 seconds. What is no number of 64 bits counts as none.

    :param environment: has ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; see sd_watchdog_enabled(3).
    """
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not _USEC.fullmatch(usec) or pid not in ("", str(os.getpid())):
        return None
    return min(max(_SHORTEST_S, int(usec) / 2e6), _LONGEST_S)
