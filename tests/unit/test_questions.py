"""What a reader asks a tap, as bytes."""

from __future__ import annotations

from geventrelay.recording.questions import RESERVED, Questions, is_question


def test_no_two_questions_are_alike():
    readers = [Questions() for _ in range(10)]
    asked = [reader.new() for reader in readers for _ in range(10)]
    assert len(set(asked)) == 100
    assert all(map(is_question, asked))


def test_a_reader_knows_the_answers_to_its_own_questions():
    one, other = Questions(), Questions()
    first, second = one.new(), one.new()
    assert one.answered_by(first)
    assert one.answered_by(second)
    assert not one.answered_by(other.new())
    assert not one.answered_by(b"frontend")


def test_other_topics_are_no_questions():
    for topic in (b"", b"frontend", RESERVED[:-1], RESERVED + b"x" * 64):
        assert not is_question(topic)


def test_a_question_is_sorted_behind_each_text():
    assert Questions().new() > chr(0x10FFFF).encode()
