"""The inner loop of a pump: what a burst promises, and which implementation runs.

A burst moves messages from one source to its outlets with non-blocking calls only. It never yields to the hub,
so what it moves at a time is bounded.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Sequence
from typing import Protocol

from ..errors import SettingsError
from ..events import event
from ._burst_py import PythonBurst
from .counters import PumpCounters
from .outlet import Outlet
from .port import Port
from .status import Status

log = logging.getLogger("geventrelay")


class Burst(Protocol):
    """The inner loop of one pump.

    By the time `run` returns or raises, every message that it has read is, for each outlet, counted as sent,
    counted as dropped, or in hand. A message in hand is offered again first thing in the next run, to the
    outlets that have not taken it yet; the others do not see it twice.

    :ivar waiting_for: the index of the first outlet that has yet to take the message in hand; None with none.
    """

    waiting_for: int | None

    @property
    def counters(self) -> PumpCounters:
        """What it has done so far."""

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield.

        The copy is no part of the accounting: a tap that cannot take it, or has gone, goes without. `outlet` is to have
        the policy DROP and a socket that nobody else writes to at the same time.
        """

    def run(self, messages: int, limit_bytes: int) -> Status:
        """Move up to `messages` messages, or the one with which `limit_bytes` is reached. Does not yield.

        Raises `zmq.ZMQError` for anything but EAGAIN and EHOSTUNREACH, among them ETERM (the context has gone)
        and ENOTSOCK (a socket was closed).
        """


class _Maker(Protocol):
    def __call__(self, source: Port, outlets: Sequence[Outlet]) -> Burst: ...


def new_burst(source: Port, outlets: Sequence[Outlet]) -> Burst:
    """Make the burst that this process uses, from `source` to `outlets`.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    make, _ = _chosen()
    return make(source, outlets)


def burst_name() -> str:
    """Which burst this process uses: ``native`` or ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    return _chosen()[1]


@functools.cache
def _chosen() -> tuple[_Maker, str]:
    wish = os.environ.get("GEVENTRELAY_BURST", "")
    if wish not in ("", "native", "python"):
        raise SettingsError("GEVENTRELAY_BURST", "native or python", wish)
    if wish != "python":
        try:
            # By name, since there may be no such file: it is built only where there is a compiler.
            return importlib.import_module("geventrelay.engine._burst").NativeBurst, "native"
        except ImportError as error:
            if wish == "native":
                raise SettingsError("GEVENTRELAY_BURST", f"python, for there is no other ({error})", wish) from None
            log.info(event("burst", burst="python", reason=error))
    return PythonBurst, "python"
