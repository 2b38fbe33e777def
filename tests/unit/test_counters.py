"""Snapshots balance when every message is accounted for at every outlet."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import DeviceSnapshot, Drop, OutletSnapshot, PumpSnapshot, State
from geventrelay.engine.counters import OF_OUTLET, OF_PUMP, OutletCounters, PumpCounters
from geventrelay.engine.values import values_of


def outlet(sent: int, held: int = 0, socket: str = "push", **dropped: int) -> OutletSnapshot:
    drops = {Drop(reason): count for reason, count in dropped.items()}
    return OutletSnapshot(socket, sent=sent, sent_parts=sent, sent_bytes=0, dropped=drops, held=held)


def pump(received: int, *outlets: OutletSnapshot) -> PumpSnapshot:
    return PumpSnapshot("sub", outlets, received=received, received_parts=received, bursts=1)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 1), st.integers(-1, 1))
def test_a_pump_balances_if_received_is_sent_and_dropped_and_held(sent, full, no_peer, held, off):
    total = sent + full + no_peer + held
    both = (outlet(total), outlet(sent, held, full=full, no_peer=no_peer))
    assert pump(total + off, *both).balanced == (off == 0)


def test_one_outlet_out_of_balance_is_enough():
    assert not pump(3, outlet(3), outlet(2)).balanced


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(-1, 1))
def test_a_pump_balances_only_if_deliveries_add_up_too(delivered, slow, waiting, off):
    matched = delivered + slow + waiting + off
    one = dataclasses.replace(
        outlet(1), matched=matched, delivered=delivered, lost={Drop.SLOW: slow}, waiting=waiting, waiting_bytes=0
    )
    assert pump(1, one).balanced == (off == 0)


def test_lives_of_engines_that_count_deliveries_and_do_not_are_not_added_up():
    known, unknown = (dataclasses.replace(outlet(1), matched=one) for one in (2, None))
    assert (known.merged_with(known).matched, known.merged_with(unknown).matched) == (4, None)
    assert unknown.merged_with(known).matched is None
    past, later = (DeviceSnapshot("relay", State.RUNNING, (pump(1, one),)) for one in (unknown, known))
    assert past.merged_with(later).pumps == later.pumps


def test_a_message_that_two_outlets_wait_for_is_held_once():
    assert pump(1, outlet(0, held=1), outlet(0, held=1)).held == 1
    assert pump(1, outlet(1)).held == 0
    assert pump(0).held == 0


def test_drops_add_up_by_reason():
    counters = OutletCounters()
    counters.drop(Drop.FULL)
    counters.drop(Drop.FULL, 4)
    counters.drop(Drop.NO_PEER)
    assert counters.dropped == {Drop.FULL: 5, Drop.NO_PEER: 1}


def test_counters_start_at_nothing_and_do_not_share_their_drops():
    one, other = OutletCounters(), OutletCounters()
    one.drop(Drop.FULL)
    assert other.dropped == {}
    assert PumpCounters((one,)).received == 0


def test_a_snapshot_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        pump(0).received = 1


def test_the_accounting_line_names_every_number():
    snapshot = DeviceSnapshot("relay", State.RUNNING, (pump(7, outlet(7, socket="pub"), outlet(4, 1, full=2)),))
    assert snapshot.accounting() == ("device=relay sub.received=7 pub.sent=7 push.sent=4 push.dropped.full=2 held=1")
    assert snapshot.held == 1


def test_the_accounting_line_says_if_messages_may_have_been_left_unread_in_any_life():
    left, read = (dataclasses.replace(pump(1, outlet(1, socket="pub")), left_unread=one) for one in (True, False))
    for pumps in ((left, read), (read, left), (left.merged_with(read), read), (read.merged_with(left), read)):
        assert DeviceSnapshot("relay", State.STOPPED, pumps).accounting().endswith(" held=0 unread=unknown")
    assert "unread" not in DeviceSnapshot("relay", State.STOPPED, (read.merged_with(read),)).accounting()


def test_what_was_read_beside_the_burst_is_dropped_at_every_outlet():
    counters = PumpCounters((OutletCounters(), OutletCounters()))
    counters.add_unmoved(PumpCounters(()), Drop.STOPPED)
    assert all(one.dropped == {} for one in counters.outlets)
    read = PumpCounters(())
    read.received, read.received_parts, read.received_bytes = 2, 5, 70
    counters.add_unmoved(read, Drop.STOPPED)
    assert (counters.received, counters.received_parts, counters.received_bytes) == (2, 5, 70)
    assert all(one.dropped == {Drop.STOPPED: 2} for one in counters.outlets)


COUNTS = st.integers(0, 10**12)


@st.composite
def lives(draw: st.DrawFn) -> PumpSnapshot:
    """A pump with two outlets in which everything is accounted for."""
    outlets = []
    received = draw(COUNTS)
    for socket in ("pub", "push"):
        held = draw(st.integers(0, min(1, received)))
        full = draw(st.integers(0, received - held))
        sent = received - held - full
        outlets.append(outlet(sent, held, socket, full=full))
    return pump(received, *outlets)


@given(lives(), lives())
def test_two_lives_add_up_and_stay_accounted_for(past, later):
    both = past.merged_with(later)
    assert both.balanced
    assert (both.received, both.bursts, both.held) == (past.received + later.received, 2, later.held)
    for one, first, second in zip(both.outlets, past.outlets, later.outlets, strict=True):
        assert (one.socket, one.sent) == (first.socket, first.sent + second.sent)
        assert one.dropped.get(Drop.STOPPED, 0) == first.held


def test_a_snapshot_is_a_copy():
    counters = PumpCounters((OutletCounters(),))
    snapshot = PumpSnapshot.of("sub", counters, (OutletSnapshot.of("push", counters.outlets[0], held=0),))
    counters.received = counters.outlets[0].sent = 5
    counters.outlets[0].drop(Drop.FULL)
    assert snapshot == PumpSnapshot("sub", (OutletSnapshot("push", held=0),))


def test_every_number_that_is_counted_is_described_and_so_is_every_reason():
    for cls, own in ((OutletSnapshot, {"socket"}), (PumpSnapshot, {"source", "outlets", "left_unread"})):
        assert {one.name for one in dataclasses.fields(cls)} - own == {value.attribute for value in values_of(cls)}
    for described in (*OF_OUTLET, *OF_PUMP, *Drop):
        assert described.help.endswith("."), described
    assert {Drop(one.value) for one in Drop} == set(Drop)
