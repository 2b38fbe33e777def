"""Lines of the log of which one in a while is enough."""

from __future__ import annotations

from geventrelay.engine.seldom import Seldom


def test_one_line_in_a_while_is_told_for_each_cause_and_the_rest_counted():
    lines = Seldom(every_s=10)
    assert [lines.line("a", now) for now in (0, 0, 5, 9.9)] == [0, None, None, None]
    assert lines.line("b", 5) == 0
    assert [lines.line("a", now) for now in (10, 11, 25, 40)] == [3, None, 1, 0]


def test_any_number_of_causes_is_bounded_and_all_are_counted():
    lines = Seldom(every_s=10)
    told = [lines.line(number, 0) for number in range(3000)]
    assert told == [0] * 1001 + [None] * 1999
    # Another time has room for other causes, and knows what the former have left out.
    assert lines.line(0, 1) is None
    later = [lines.line(number, 20) for number in range(5000, 8000)]
    assert later.count(0) + later.count(2000) == later.index(2000) + 1
