"""How long a probe was where: each device with its own clock, and what is left of the time is NATS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backbone.trace.hops import Outcome, Place
from geventrelay.backbone.trace.tracing import Flow, Passage, ProbeAnswers, Way
from geventrelay.backbone.words.trace import Probe, Step, Traced

ME, OTHER, THIRD = b"me345678", b"other678", b"third678"
EMPTY = [Flow(0, 0, 0)]


def way(now: float = 0.0, waiting: int = 0, sent: bool | None = None, is_older: bool = False) -> Way:
    return Way(OTHER, "far", is_older=is_older, sent=sent, now=now, waiting=waiting)


def found(one: Way, now: float, silent_s: float | None = 0.5, stays: str = ""):
    return one.found(now, silent_s=silent_s, limit_s=3, stays=stays, credit=None)


def traced(step: Step, **more) -> Traced:
    return Traced(relay=OTHER, number=1, step=step, **more)


def times(one) -> dict[Place, float]:
    return {hop.place: pytest.approx(hop.seconds) for hop in one.hops}


def test_what_waits_for_nothing_has_come_through_at_once():
    passage = Passage(1.0, [Flow(5, 5, 5), Flow(0, 0, 0)])
    assert (passage.came, passage.handed, passage.taken) == (1.0, 1.0, 1.0)


def test_what_comes_later_keeps_no_probe_waiting():
    passage = Passage(1.0, [Flow(arrived=10, handed=7, taken=4)])
    assert (passage.incoming, passage.untaken) == (3, 3)
    passage.look(2.0, [Flow(20, 9, 9)])
    assert (passage.handed, passage.taken) == (None, None)
    passage.look(3.0, [Flow(20, 11, 9)])
    assert (passage.handed, passage.taken) == (3.0, None)
    passage.look(4.0, [Flow(20, 20, 10)])
    passage.look(5.0, [Flow(20, 20, 20)])
    assert (passage.handed, passage.taken) == (3.0, 4.0)


def test_a_probe_waits_for_all_ways_into_the_device():
    passage = Passage(0.0, [Flow(2, 2, 2), Flow(3, 1, 0)])
    passage.look(1.0, [Flow(9, 9, 9), Flow(3, 2, 2)])
    assert passage.handed is None
    passage.look(2.0, [Flow(9, 9, 9), Flow(3, 3, 3)])
    assert passage.handed == passage.taken == 2.0


@given(st.floats(0, 1e6))
def test_it_is_looked_after_the_less_often_the_longer_it_takes(age):
    pause = Passage(0.0, [Flow(1, 0, 0)]).pause_s(age)
    assert 0.001 <= pause <= 0.05
    # What is found late is found late by little.
    assert pause <= max(0.001, age / 10)


def test_each_device_measures_with_its_own_clock_and_the_rest_is_nats():
    here = way(now=100.0, waiting=7)
    here.gone(100.5)
    there = ProbeAnswers(OTHER, lambda topic: (topic == b"a", 2), lambda: None)
    # Another clock.
    word = there.hear(Probe(ME, 1, b"a"), 9000.0, [Flow(3, 1, 0)])
    assert (word.step, word.incoming, word.untaken, word.wanted, word.subscriptions) == (Step.CAME, 2, 1, True, 2)
    here.hear(word, 100.75, EMPTY)
    assert times(found(here, 101.0)) == {Place.OUTBOX: 0.5, Place.NATS: 0.25, Place.INBOX_THERE: 0.25}
    ((to, word),) = there.look(9001.0, [Flow(3, 3, 0)])
    assert (to, word.step) == (ME, Step.HANDED)
    ((_, word),) = there.look(9003.0, [Flow(3, 3, 3)])
    assert word.step is Step.TAKEN
    here.hear(word, 103.75, EMPTY)
    assert times(found(here, 104.0)) | {Place.OUTBOX_THERE: 0.25} == times(found(here, 104.0))
    assert there.turn(ME, 9003.0) is None
    there.waits(ME, 9003.0, 11)
    back = there.turn(ME, 9007.5)
    assert back is not None and back.step is Step.BACK
    there.gone(ME, 1)
    assert there.turn(ME, 9007.5) is None
    # 8 s less the 7.5 s that the other one tells of.
    here.hear(back, 108.5, [Flow(4, 2, 2)])
    assert not here.is_over
    assert here.passage is not None
    here.passage.look(110.5, [Flow(4, 4, 2)])
    assert found(here, 110.5).stays is Place.DEVICE
    here.passage.look(111.5, [Flow(4, 4, 4)])
    assert here.is_over
    one = found(here, 200.0)
    assert (one.outcome, one.reason, one.stays) == (Outcome.ANSWERED, "", None)
    assert times(one) == {
        Place.OUTBOX: 0.5, Place.NATS: 0.5, Place.INBOX_THERE: 1, Place.DEVICE_THERE: 2, Place.OUTBOX_THERE: 4.5,
        Place.INBOX: 2, Place.DEVICE: 1,
    }  # fmt: skip
    assert [hop.messages for hop in one.hops] == [7, None, 2, 1, 11, 2, 0]
    assert one.seconds == pytest.approx(11.5)
    assert (one.wanted, one.subscriptions) == (True, 2)


STEPS = (
    (None, Place.OUTBOX, Outcome.WAITS, "it waits here to go, behind 1,200 messages: not connected"),
    ([], Place.NATS, Outcome.SILENT, "no answer within 3 s; it was heard of 0.5 s ago"),
    ([Step.CAME], Place.INBOX_THERE, Outcome.WAITS, "it waits there for the device, behind 1 message"),
    ([Step.CAME, Step.HANDED], Place.DEVICE_THERE, Outcome.WAITS,
     "the device there has not taken all that it was handed before, behind 2 messages"),
    ([Step.CAME, Step.TAKEN], Place.OUTBOX_THERE, Outcome.WAITS, "the answer waits there to go"),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "place", "outcome", "reason"), STEPS)
def test_where_it_stays_is_told(steps, place, outcome, reason):
    one = way(waiting=1200)
    if steps is not None:
        one.gone(0.5)
    for step in steps or ():
        one.hear(traced(step, incoming=1, untaken=2), 1.0, EMPTY)
    now = found(one, 3.0, stays="not connected")
    assert (now.stays, now.outcome, now.reason) == (place, outcome, reason)
    assert now.stays.look_at
    assert not one.is_over
    one.has_left = True
    assert one.is_over
    assert found(one, 3.0, silent_s=None).outcome is Outcome.LEFT


def test_the_answer_may_stay_here():
    one = way()
    one.gone(0.5)
    one.hear(traced(Step.BACK), 1.0, [Flow(3, 0, 0)])
    now = found(one, 3.0)
    assert (now.stays, now.outcome) == (Place.INBOX, Outcome.WAITS)
    assert now.reason == "the answer is back, and waits here for this device, behind 3 messages"


def test_one_that_knows_no_probes_is_sent_none_and_told_apart():
    one = way(is_older=True)
    assert one.is_over
    now = found(one, 3.0)
    assert (now.outcome, now.hops, now.stays) == (Outcome.OLDER, (), None)


def test_words_that_come_late_or_twice_or_too_early_change_nothing():
    one = way()
    one.hear(traced(Step.BACK), 0.5, EMPTY)
    assert found(one, 1.0).stays is Place.OUTBOX
    one.gone(1.0)
    one.gone(9.0)
    one.hear(traced(Step.TAKEN), 2.0, EMPTY)
    one.hear(traced(Step.CAME), 3.0, EMPTY)
    one.hear(traced(Step.TAKEN, inbox_us=7), 4.0, EMPTY)
    assert times(found(one, 5.0)) == {
        Place.OUTBOX: 1, Place.NATS: 1, Place.INBOX_THERE: 0, Place.DEVICE_THERE: 0, Place.OUTBOX_THERE: 3,
    }  # fmt: skip


def test_an_answer_may_come_before_it_is_known_that_the_question_has_gone():
    one = way()
    one.going(1.0)
    assert found(one, 2.0).stays is Place.OUTBOX
    one.going(3.0)
    one.hear(traced(Step.BACK), 4.0, EMPTY)
    one.gone(5.0)
    assert one.is_over
    assert times(found(one, 6.0))[Place.OUTBOX] == 3
    assert times(found(one, 6.0))[Place.NATS] == 1


def test_another_device_that_says_more_than_the_whole_time_makes_none_negative():
    one = way()
    one.gone(0.0)
    one.hear(traced(Step.BACK, inbox_us=10**9, outbox_us=2**62), 1.0, EMPTY)
    assert all(hop.seconds >= 0 for hop in found(one, 1.0).hops)


def test_of_each_device_the_last_probe_is_answered():
    there = ProbeAnswers(OTHER, lambda topic: None, lambda: 3, lambda: 5)
    there.hear(Probe(ME, 1), 0.0, [Flow(1, 0, 0)])
    word = there.hear(Probe(ME, 2, b"a"), 1.0, [Flow(1, 0, 0)])
    assert (word.number, word.wanted, word.room, word.dropped) == (2, None, 3, 5)
    there.hear(Probe(THIRD, 9), 1.0, [Flow(1, 0, 0)])
    assert there.pause_s(1.0) is not None
    assert sorted((to, word.number) for to, word in there.look(2.0, [Flow(1, 1, 1)])) == [(ME, 2), (THIRD, 9)]
    assert there.pause_s(2.0) is None
    there.waits(ME, 2.0, 0)
    # The first one may have been on its way when the second came.
    there.gone(ME, 1)
    assert there.turn(ME, 2.0) is not None
    there.left(ME)
    there.left(b"unknown8")
    there.waits(ME, 3.0, 0)
    assert there.turn(ME, 3.0) is None
