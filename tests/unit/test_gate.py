"""Permits to give a socket messages, and how many the workers of a queue get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.components.worker_gate import WorkerGate
from geventrelay.engine.gate import Gate, is_request


def test_it_tells_when_it_opens_and_only_then():
    gate, calls = Gate(), []
    gate.listeners.append(lambda: calls.append(gate.permits))
    gate.add(2)
    gate.add(1)
    assert calls == [2]
    assert gate.take_all() == 3
    assert gate.take_all() == 0
    gate.add(0)
    gate.add(-2)
    gate.add(2)
    assert calls == [2]
    assert gate.take_all() == 0
    gate.add(1)
    assert calls == [2, 1]


def test_the_listener_that_came_last_is_told_first_and_all_are_also_if_they_go():
    gate, told = Gate(), []

    def listener(name):
        def call():
            told.append(name)
            gate.listeners.remove(call)

        return call

    gate.listeners += map(listener, "abc")
    gate.add(1)
    assert told == ["c", "b", "a"]
    assert not gate.listeners


def test_workers_bring_permits_and_replies_give_them_back():
    workers = WorkerGate(2)
    assert workers.gate.permits == 0
    workers.note_workers(3, 0)
    assert workers.gate.permits == 6
    workers.gate.permits -= 5
    assert workers.unanswered == 5
    workers.note_replies(3)
    assert (workers.gate.permits, workers.unanswered) == (4, 2)
    # More than were asked for.
    workers.note_replies(30)
    assert (workers.gate.permits, workers.unanswered) == (6, 0)


@pytest.mark.parametrize("sent", range(7))
def test_a_worker_that_goes_may_have_had_all_requests_that_are_out(sent):
    workers = WorkerGate(2)
    workers.note_workers(3, 0)
    workers.gate.permits -= sent
    workers.note_workers(3, 1)
    assert workers.gate.permits == 4


def test_a_worker_that_goes_and_comes_again_between_two_looks_has_its_request_no_more():
    workers = WorkerGate(1)
    workers.note_workers(1, 0)
    workers.gate.permits -= 1
    workers.note_workers(2, 1)
    assert workers.gate.permits == 1


@given(
    st.integers(1, 3),
    st.lists(st.one_of(st.tuples(st.sampled_from(["come", "go", "answer"]), st.integers(0, 5)), st.just(("send", 1)))),
)
def test_permits_are_what_workers_may_have_without_what_they_have(limit, steps):
    workers, came, gone, replies = WorkerGate(limit), 0, 0, 0
    for step, count in steps:
        if step == "come":
            came += count
        elif step == "go":
            gone += min(count, came - gone)
        elif step == "answer":
            replies += count
        elif workers.gate.permits > 0:
            workers.gate.permits -= 1
        workers.note_workers(came, gone)
        workers.note_replies(replies)
        assert workers.unanswered >= 0
        assert workers.gate.permits + workers.unanswered == limit * (came - gone)
        assert workers.gate.permits >= 0
    # Once all have gone and others have come, none of them waits for what was lost.
    workers.note_workers(came + 1, came)
    assert workers.gate.permits == limit


@pytest.mark.parametrize(
    ("parts", "is_one"),
    [
        ([b"client", b"", b"request"], True),
        ([b"client", b"", b""], True),
        ([b"hop", b"client", b"", b"several", b"parts"], True),
        ([b"client", b"request"], False),
        ([b"client", b"request", b""], False),
        ([b""], False),
        ([], False),
    ],
)
def test_what_a_rep_answers_has_an_empty_part_before_its_last(parts, is_one):
    assert is_request(parts) is is_one
