"""Starts and stops many devices at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import gevent
from gevent.event import Event

from .supervisor import SupervisedDevice


def start_all(devices: Collection[SupervisedDevice], stop: Event) -> None:
    """Start `devices` side by side, since names can take long to resolve. Yields.

    :param devices: they are not supervised yet.
    :param stop: ends it when it is set; those that are up then stay so.
    :raises StartError: if one of them cannot start, of several the first one's; none of them is up then.
    """
    failures: dict[str, Exception] = {}
    starts = [gevent.spawn(_try_to_start, one, failures) for one in devices]
    running = len(starts)
    either: list[Any] = [*starts, stop] if starts else []
    for ended in gevent.iwait(either):
        running -= ended is not stop
        if ended is stop or failures or not running:
            break
    gevent.killall(starts)
    first = next((failures[one.name] for one in devices if one.name in failures), None)
    if first is not None:
        stop_all(devices, 0)
        raise first


def stop_all(devices: Iterable[SupervisedDevice], timeout: float | None = None) -> None:
    """Stop `devices` side by side. Yields until they have ended.

    :param timeout: for how long they may drain, in seconds; None as their settings say.
    """
    gevent.joinall([gevent.spawn(one.stop, timeout) for one in devices])


def _try_to_start(supervised: SupervisedDevice, failures: dict[str, Exception]) -> None:
    try:
        supervised.start()
    except Exception as error:
        failures[supervised.name] = error
