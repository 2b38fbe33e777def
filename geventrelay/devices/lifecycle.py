"""The life of a device as a table: which event leads from which phase to which. No sockets, no greenlets, no clock.

::

    STOPPED --START--> STARTING --OPENED--> RUNNING <--RESUME-- PAUSED
       ^   <--UNDONE--    |                 |     --PAUSE-->      |
       |                                    |                     |
       +--CLOSED-- STOPPING <-----STOP------+---------------------+
                      |                     |                     |
                     FAIL                  FAIL                  FAIL
                      v                     v                     v
    FAILED <--CLOSED-- FAILING <------------+---------------------+

A failed device can be started again. A failing one stays so until it is closed: the first error wins.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from .snapshot import State


class Phase(enum.Enum):
    """Where a device is in its life, in finer steps than `State` shows."""

    STOPPED = "stopped"
    STARTING = "starting"
    """Sockets are made, bound and connected."""
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    """It moves what has come in, then it closes."""
    FAILING = "failing"
    """A greenlet has died; it closes."""
    FAILED = "failed"


class Event(enum.Enum):
    """What happens to a device."""

    START = "start"
    OPENED = "opened"
    """Every component is open and has its greenlet."""
    UNDONE = "undone"
    """The start was interrupted or impossible; all that it had opened is closed again."""
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    FAIL = "fail"
    """A greenlet of it has ended, and not because the device ended it."""
    CLOSED = "closed"
    """Every component is closed."""


NEXT: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.STOPPED, Event.START): Phase.STARTING,
    (Phase.FAILED, Event.START): Phase.STARTING,
    (Phase.STARTING, Event.OPENED): Phase.RUNNING,
    (Phase.STARTING, Event.UNDONE): Phase.STOPPED,
    (Phase.RUNNING, Event.PAUSE): Phase.PAUSED,
    (Phase.PAUSED, Event.RESUME): Phase.RUNNING,
    (Phase.RUNNING, Event.STOP): Phase.STOPPING,
    (Phase.PAUSED, Event.STOP): Phase.STOPPING,
    (Phase.RUNNING, Event.FAIL): Phase.FAILING,
    (Phase.PAUSED, Event.FAIL): Phase.FAILING,
    (Phase.STOPPING, Event.FAIL): Phase.FAILING,
    (Phase.STOPPING, Event.CLOSED): Phase.STOPPED,
    (Phase.FAILING, Event.CLOSED): Phase.FAILED,
}
"""The phase that follows when an event meets a phase. What is not here cannot happen."""

STATES: Mapping[Phase, State] = {
    Phase.STOPPED: State.STOPPED,
    Phase.STARTING: State.STOPPED,
    Phase.RUNNING: State.RUNNING,
    Phase.PAUSED: State.PAUSED,
    Phase.STOPPING: State.STOPPING,
    Phase.FAILING: State.STOPPING,
    Phase.FAILED: State.FAILED,
}
"""What a user sees of each phase."""

UP = frozenset({Phase.RUNNING, Phase.PAUSED})
"""Everything is open and stays so."""

CLOSING = frozenset({Phase.STOPPING, Phase.FAILING})
"""Everything is open and does not stay so."""


def next_phase(phase: Phase, event: Event) -> Phase:
    """The phase of a device in `phase` after `event`. Does not yield.

    :raises RuntimeError: if the event cannot happen in that phase; the caller is wrong then.
    """
    try:
        return NEXT[phase, event]
    except KeyError:
        raise RuntimeError(f"a device that is {phase.value} cannot take the event {event.value}") from None


def allows(phase: Phase, event: Event) -> bool:
    """Whether `event` can happen to a device in `phase`. Does not yield."""
    return (phase, event) in NEXT
