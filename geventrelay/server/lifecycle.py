"""The life of a supervised device as a table: which event leads from which stage to which. No greenlets, no clock.

::

             START             UP                 STOP
    DOWN ----------> STARTING ----> RUNNING    DOWN, WAITING, GIVEN_UP ----> STOPPED
     | ^                |             |
     | +------END-------+-----END-----+        WAITING, GIVEN_UP, STOPPED --RENEW--> DOWN
     |
     +--WAIT--> WAITING     +--GIVE_UP--> GIVEN_UP

From DOWN, what comes next is decided at once.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Stage(enum.Enum):
    """How far the supervision of a device has come."""

    DOWN = "down"
    """Not started yet, or just ended."""
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting for its next start"
    GIVEN_UP = "given up"
    """It has failed, and is not started again."""
    STOPPED = "stopped"
    """It was stopped on request, and stays so."""


class Event(enum.Enum):
    """What happens to a supervised device."""

    START = "start"
    UP = "up"
    END = "end"
    """Its start was impossible or interrupted, or it has ended after it was up."""
    WAIT = "wait"
    GIVE_UP = "give up"
    STOP = "stop"
    RENEW = "renew"
    """A new device takes the place of the one that has ended."""


NEXT: Mapping[tuple[Stage, Event], Stage] = {
    (Stage.DOWN, Event.START): Stage.STARTING,
    (Stage.STARTING, Event.UP): Stage.RUNNING,
    (Stage.STARTING, Event.END): Stage.DOWN,
    (Stage.RUNNING, Event.END): Stage.DOWN,
    (Stage.DOWN, Event.WAIT): Stage.WAITING,
    (Stage.DOWN, Event.GIVE_UP): Stage.GIVEN_UP,
    (Stage.DOWN, Event.STOP): Stage.STOPPED,
    (Stage.WAITING, Event.STOP): Stage.STOPPED,
    (Stage.GIVEN_UP, Event.STOP): Stage.STOPPED,
    (Stage.WAITING, Event.RENEW): Stage.DOWN,
    (Stage.GIVEN_UP, Event.RENEW): Stage.DOWN,
    (Stage.STOPPED, Event.RENEW): Stage.DOWN,
}
"""The stage that follows when an event meets a stage. What is not here cannot happen."""


def next_stage(stage: Stage, event: Event) -> Stage:
    """The stage of a supervised device in `stage` after `event`. Does not yield.

    :raises RuntimeError: if the event cannot happen in that stage; the caller is wrong then.
    """
    try:
        return NEXT[stage, event]
    except KeyError:
        raise RuntimeError(f"a supervised device that is {stage.value} cannot take the event {event.value}") from None


def allows(stage: Stage, event: Event) -> bool:
    """Whether `event` can happen to a supervised device in `stage`. Does not yield."""
    return (stage, event) in NEXT
