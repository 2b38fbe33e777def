"""The lives of a device and of a supervised one, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.devices.lifecycle import CLOSING, NEXT, STATES, UP, Event, Phase, allows, next_phase
from geventrelay.devices.snapshot import State
from geventrelay.server import lifecycle as supervised


def reachable(table, first):
    """Every phase that can follow from `first`, itself among them."""
    found, new = set(), {first}
    while new:
        found |= new
        new = {after for (before, _), after in table.items() if before in found} - found
    return found


def test_a_device_can_come_into_every_phase_and_out_of_it_again():
    assert reachable(NEXT, Phase.STOPPED) == set(Phase)
    assert all(Phase.STOPPED in reachable(NEXT, phase) for phase in Phase)


def test_every_phase_shows_as_a_state():
    assert set(STATES) == set(Phase)
    assert set(STATES.values()) == set(State)


@given(st.lists(st.sampled_from(Event)))
def test_whatever_happens_a_device_that_is_open_is_closed_before_it_is_down(events):
    phase, is_open = Phase.STOPPED, False
    for event in events:
        if not allows(phase, event):
            with pytest.raises(RuntimeError, match=f"a device that is {phase.value} .* {event.value}$"):
                next_phase(phase, event)
            continue
        phase = next_phase(phase, event)
        is_open = (is_open or event is Event.OPENED) and event is not Event.CLOSED
        assert is_open == (phase in UP | CLOSING)


@given(st.lists(st.sampled_from(Event)))
def test_a_device_has_failed_if_a_greenlet_died_since_it_was_opened(events):
    phase, died = Phase.STOPPED, False
    for event in events:
        if not allows(phase, event):
            continue
        phase = next_phase(phase, event)
        died = (died or event is Event.FAIL) and event is not Event.START
        assert (phase in (Phase.FAILING, Phase.FAILED)) == died


def test_a_supervised_device_can_come_into_every_stage_and_out_of_it_again():
    assert reachable(supervised.NEXT, supervised.Stage.DOWN) == set(supervised.Stage)
    assert all(supervised.Stage.DOWN in reachable(supervised.NEXT, stage) for stage in supervised.Stage)


@given(st.lists(st.sampled_from(supervised.Event)))
def test_whatever_happens_a_supervised_device_stays_stopped_until_it_is_renewed(events):
    stage = supervised.Stage.DOWN
    for event in events:
        if not supervised.allows(stage, event):
            with pytest.raises(RuntimeError, match=f"a supervised device that is {stage.value} .* {event.value}$"):
                supervised.next_stage(stage, event)
            continue
        before, stage = stage, supervised.next_stage(stage, event)
        assert before is not supervised.Stage.STOPPED or event is supervised.Event.RENEW
        # Only one that is down is started, and one that has come up ends before anything else.
        assert (event is supervised.Event.START) == (stage is supervised.Stage.STARTING)
        assert before is not supervised.Stage.RUNNING or event is supervised.Event.END
