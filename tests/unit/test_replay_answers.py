"""Answers from a log, held to a model: whatever is asked, however slow the reader is, and whatever is forgotten."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.retention.answers import OVER, narrowed
from geventrelay.retention.dialect import Question
from geventrelay.retention.numbered import Life, Numbered
from geventrelay.retention.replay_wire import (
    EndAnswer,
    EpochAnswer,
    ErrorAnswer,
    Fetch,
    Head,
    HeadAnswer,
    LostAnswer,
    MessageAnswer,
    number_bytes,
    read_answer,
)
from geventrelay.retention.sequenced import END_NUMBER, Runs, Sequenced

EPOCH = bytes(range(16))
LIFE = Life(EPOCH, True)


@dataclasses.dataclass
class State:
    oldest: int
    next: int


class Log:
    """A log that forgets as it is told, looks at a few messages at a time, and may forget when it is asked."""

    def __init__(self, first=1, looked_at=3):
        self.messages = {}
        self.oldest = self.next = first
        self.looked_at = looked_at
        self.aging = iter(())

    def append(self, *parts):
        self.messages[self.next] = list(parts)
        self.next += 1

    def forget(self, count):
        for _ in range(min(count, self.next - self.oldest)):
            del self.messages[self.oldest]
            self.oldest += 1

    def log_state(self):
        self.forget(next(self.aging, 0))
        return State(self.oldest, self.next)

    def logged(self, first, last, prefixes, most, until):
        self.forget(next(self.aging, 0))
        number, found = max(first, self.oldest), []
        end = min(last + 1, self.next, number + self.looked_at)
        while number < end and len(found) < most:
            if not prefixes or self.messages[number][0].startswith(prefixes):
                found.append((number, self.messages[number]))
            number += 1
        return found, max(number, first)


def everything(question, refusals=None, between=lambda: None):
    """What a reader gets, which has no room for a piece where `refusals` say so."""
    answer = question.answer() if callable(question.answer) else question.answer
    refusals, got = refusals or iter(()), []
    for _ in range(10_000):
        if answer.position == OVER:
            return got
        between()
        for piece in answer.pieces(0.0):
            if piece.frames is not None and next(refusals, False):
                break
            if piece.frames is not None:
                got.append([*question.front, *piece.frames])
            answer.position = piece.position
    raise AssertionError("it has no end")


def read(log, request, allowed=None):
    return Numbered(log, LIFE).read(request.frames(), allowed)


PREFIXES = st.lists(st.text("ab", max_size=3).map(str.encode), max_size=4).map(tuple)
ALLOWED = st.none() | PREFIXES.map(lambda prefixes: narrowed(prefixes, None) if prefixes else ())
TOPIC = st.text("abc", max_size=4).map(str.encode)


@given(PREFIXES, ALLOWED, TOPIC)
def test_what_is_wanted_and_allowed_is_what_begins_with_both(wanted, allowed, topic):
    found = narrowed(wanted, allowed)
    both = (not wanted or topic.startswith(wanted)) and (allowed is None or topic.startswith(allowed))
    assert (found is None or topic.startswith(found)) == both


@given(
    st.lists(TOPIC, max_size=30),
    st.integers(0, 35),
    st.none() | st.integers(0, 35),
    PREFIXES,
    ALLOWED,
    st.lists(st.booleans(), max_size=50),
    st.lists(st.integers(0, 3), max_size=20),
    st.lists(st.sampled_from(["append", "forget", ""]), max_size=20),
)
def test_each_number_is_given_or_lost_or_not_wanted(topics, first, more, prefixes, allowed, refusals, aging, meanwhile):
    log = Log(first=5)
    for topic in topics:
        log.append(topic, b"part")
    known = {number: parts[0] for number, parts in log.messages.items()}
    newest, last = log.next, None if more is None else first + more
    log.aging = iter(aging)
    steps = iter(meanwhile)

    def between():
        step = next(steps, "")
        if step == "append":
            log.append(b"a")
        elif step == "forget":
            log.forget(2)

    question = read(log, Fetch(b"tag", EPOCH, first, last, prefixes), allowed)
    *answers, end = map(read_answer, everything(question, iter(refusals), between))
    stop = newest if last is None else min(last + 1, newest)
    # What was forgotten before the answer began may also lie below all that there ever was.
    assert end == EndAnswer(b"tag", EPOCH, stop)
    number = min(first, stop)
    for answer in answers:
        if isinstance(answer, LostAnswer):
            assert number <= answer.first < answer.end <= stop
            skipped, number = range(number, answer.first), answer.end
        else:
            assert isinstance(answer, MessageAnswer)
            assert number <= answer.number < stop
            assert answer.parts == (known[answer.number], b"part")
            assert is_wanted(known[answer.number], prefixes, allowed)
            skipped, number = range(number, answer.number), answer.number + 1
        assert not any(is_wanted(known[one], prefixes, allowed) for one in skipped if one in known)
    assert not any(is_wanted(known[one], prefixes, allowed) for one in range(number, stop) if one in known)


def is_wanted(topic, prefixes, allowed):
    return (not prefixes or topic.startswith(prefixes)) and (allowed is None or topic.startswith(allowed))


def test_a_log_that_forgets_nothing_loses_nothing():
    log = Log()
    for number in range(1_000):
        log.append(b"%d" % number)
    answers = [read_answer(frames) for frames in everything(read(log, Fetch(b"", b"", 1)), iter([True, False] * 500))]
    assert [answer.number for answer in answers[:-1]] == list(range(1, 1_001))


def test_other_requests_have_one_answer():
    log = Log(first=7)
    log.append(b"a")
    assert [*map(read_answer, everything(read(log, Head(b"t"))))] == [HeadAnswer(b"t", EPOCH, 7, 8, True)]
    other = read(log, Fetch(b"t", bytes(16), 1))
    assert [*map(read_answer, everything(other))] == [EpochAnswer(b"t", EPOCH, 7, 8)]


def test_what_is_in_front_of_a_request_is_in_front_of_each_answer():
    log = Log()
    log.append(b"a")
    numbered = Numbered(log, LIFE)
    for request in ([b"", *Fetch(b"", b"", 0).frames()], [b"", b"GR01"], [b""]):
        assert all(frames[0] == b"" for frames in everything(numbered.read(request, None)))
    assert numbered.too_many([b"", *Head(b"t").frames()])[:3] == [b"", b"GR01", b"t"]
    assert read_answer(numbered.too_many([b"x"])).tag == b""


def test_a_peer_that_may_have_nothing_gets_the_end_alone():
    log = Log()
    log.append(b"a")
    answers = everything(read(log, Fetch(b"", b"", 1), ()))
    assert [*map(read_answer, answers)] == [EndAnswer(b"", EPOCH, 2)]


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"", b"GR01", b"FETCH", b"HEAD", bytes(8)]), max_size=8))
def test_any_request_has_an_answer(frames):
    question = Numbered(Log(), LIFE).read(frames, None)
    answers = everything(question)
    assert answers
    if question.wrong:
        assert isinstance(read_answer(answers[0][len(question.front) :]), ErrorAnswer)


# By the publisher's numbers -----------------------------------------------------------------------------------------


def event(topic, number, payload=b"payload"):
    return topic, number_bytes(number), payload


def ask(log, first, *, with_topic=True, allowed=None, dialect=None):
    dialect = dialect or Sequenced(log, with_topic=with_topic)
    return everything(dialect.read([b"", number_bytes(first)], allowed))


ROWS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b""]), st.integers(0, 6)).map(lambda row: event(*row))
    | st.sampled_from([(b"a",), (b"a", b"b", b"c"), (b"a", b"b"), (b"a", END_NUMBER, b"c")]),
    max_size=40,
)


@given(ROWS, ROWS, st.integers(0, 6), st.integers(0, 10), st.booleans(), st.lists(st.booleans(), max_size=50))
def test_of_each_topic_the_latest_run_is_given_from_a_number_on(before, rows, first, forgotten, with_topic, refusals):
    log = Log()
    dialect = Sequenced(log, with_topic=with_topic)
    for parts in before:
        log.append(*parts)
    ask(log, 0, dialect=dialect)
    for parts in rows:
        log.append(*parts)
    log.forget(forgotten)
    runs, newest = {}, {}
    for number, parts in enumerate([*before, *rows], 1):
        if len(parts) == 3 and len(parts[1]) == 8 and parts[1] != END_NUMBER:
            sequence = int.from_bytes(parts[1], "big")
            if sequence <= newest.get(parts[0], -1):
                runs[parts[0]] = []
            newest[parts[0]] = sequence
            runs.setdefault(parts[0], []).append((number, sequence, parts))
    kept = sorted(one for run in runs.values() for one in run if one[0] >= log.oldest and one[1] >= first)
    *answers, end = everything(dialect.read([b"", number_bytes(first)], None), iter(refusals))
    begin = 0 if with_topic else 1
    assert answers == [[b"", *parts[begin:]] for _, _, parts in kept]
    assert end == [b"", *[b""] * with_topic, b"\xff" * 8, b""]


def test_only_topics_that_a_peer_may_have_are_given():
    log = Log()
    for topic in (b"a", b"b", b"ab"):
        log.append(*event(topic, 1))
    assert [frames[1] for frames in ask(log, 0, allowed=(b"a",))] == [b"a", b"ab", b""]
    assert ask(log, 0, allowed=()) == [[b"", b"", END_NUMBER, b""]]


def test_runs_of_no_more_topics_than_the_bound_are_told_apart():
    log = Log(looked_at=100)
    runs = Runs(log, most=3)
    for topic in (b"a", b"b", b"c", b"d"):
        log.append(*event(topic, 5))
        log.append(*event(topic, 4))
    assert runs.look(log.next, 0.0)
    # Of the first one, it is not known any more.
    assert [runs.is_latest(2 * index + 1, topic) for index, topic in enumerate((b"a", b"b", b"c", b"d"))] == [
        True, False, False, False,
    ]  # fmt: skip


def test_long_topics_are_told_apart_too():
    log = Log()
    for topic in (b"x" * 100, b"x" * 101):
        log.append(*event(topic, 5))
        log.append(*event(topic, 4))
    assert [len(frames[1]) for frames in ask(log, 0)] == [100, 101, 0]


@pytest.mark.parametrize(
    "frames", [[], [b""], [b"x", bytes(8)], [b"", bytes(7)], [b"", bytes(8), b""], [b"", b"", b""]]
)
def test_a_bad_request_has_no_answer_but_a_reason(frames):
    found = Sequenced(Log(), with_topic=True).read(frames, None)
    assert isinstance(found, Question)
    assert found.answer is None
    assert "expected" in found.wrong
