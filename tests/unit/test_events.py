"""What an event reads like as text and as JSON, and what storms do to lines."""

from __future__ import annotations

import io
import json
import logging
import shlex

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.log import event
from geventrelay.server.logs import EventHandler, JsonFormatter

NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("geventrelay", level, __file__, 1, message, None, None)


def test_an_event_is_its_name_and_its_keys():
    assert str(event("bound", device="prices", endpoint="tcp://127.0.0.1:5555")) == (
        "bound device=prices endpoint=tcp://127.0.0.1:5555"
    )


def test_values_that_need_quotes_have_them():
    assert str(event("failed", reason='no "such" host', name="", n=3, line="a\nb")) == (
        'failed reason="no \\"such\\" host" name="" n=3 line="a\\nb"'
    )


@given(st.dictionaries(NAMES, st.text(st.characters(codec="utf-8"))))
def test_an_event_is_one_line_that_can_be_taken_apart_again(keys):
    text = str(event("happened", **keys))
    assert len(text.splitlines()) <= 1
    found = {}
    rest = text.removeprefix("happened")
    while rest:
        key, _, rest = rest[1:].partition("=")
        if rest.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(rest)
        else:
            value, end = rest.partition(" ")[0], len(rest.partition(" ")[0])
        found[key], rest = value, rest[end:]
    assert found == keys
    assert shlex.split(str(event("a", b="c d"))) == ["a", "b=c d"]


@given(st.dictionaries(NAMES, st.one_of(st.text(), st.integers(), st.none())))
def test_json_has_the_same_keys_without_parsing(keys):
    line = JsonFormatter().format(record(event("happened", **keys)))
    assert len(line.splitlines()) == 1
    read = json.loads(line)
    assert (read["event"], read["level"]) == ("happened", "info")
    for key, value in keys.items():
        assert key in ("time", "level", "event") or read[key] == value


def test_what_is_no_event_is_a_message_in_json():
    read = json.loads(JsonFormatter().format(record("hello")))
    assert (read["event"], read["logger"], read["text"]) == ("message", "geventrelay", "hello")


def test_an_exception_is_a_traceback_in_json():
    try:
        raise ValueError("bad luck")
    except ValueError as error:
        one = logging.LogRecord("x", logging.ERROR, __file__, 1, event("failed"), None, (ValueError, error, None))
    assert "bad luck" in json.loads(JsonFormatter().format(one))["traceback"]


def test_lines_of_a_storm_are_summed_up_and_the_rest_comes_at_the_end():
    stream, clock = io.StringIO(), Clock()
    handler = EventHandler(stream, clock)
    handler._thread = 0  # no greenlet that counts: time is an argument here
    for number in range(100):
        handler.emit(record(event("connected", device="q", socket="frontend", address=str(number))))
    handler.emit(record(event("connected", device="q", socket="backend", address="other")))
    handler.emit(record("something else"))
    clock.now = 1.0
    handler.emit(record(event("connected", device="q", socket="frontend", address="100")))
    handler.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10 + 1 + 1 + 1 + 1
    assert lines[12].startswith("connected device=q socket=frontend more=90 last=")
    assert "more=1 " in lines[13]
