"""What a server may answer: any JSON is either refused with a sentence or can be shown."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.cli.api_answer import StrangeAnswer, check_devices, check_subscribers, check_topics, decoded
from geventrelay.cli.commands.tap import as_hex, as_text
from geventrelay.cli.top.rates import rates
from geventrelay.cli.top.screen import Screen
from geventrelay.cli.top.subscribers import losses_of
from geventrelay.cli.top.topics import topics_of
from geventrelay.errors import RecordingError
from geventrelay.printable import printable, printable_lines
from geventrelay.recording import from_line, to_line
from geventrelay.recording.format import pack

COUNT = {"messages": 1, "parts": 1, "bytes": 1}
ANSWER = {
    "version": 1,
    "server": {"geventrelay": "0.1", "burst": "native", "started_at": 1.0, "ready": True, "hub_delay_s": 0.0},
    "devices": [
        {
            "name": "a", "pattern": "queue", "state": "failed", "failure": "x", "restarts": 1, "next_start_in_s": 1.5,
            "held": 0, "topics": 5, "sockets": [{"key": "f", "peers": 1}],
            "backbone": {
                "relay": "1", "host": "h", "state": "connected", "server": "s", "reason": "", "sent": 1, "received": 1,
                "lost": 0, "waiting": 1, "incoming": 1, "round_trip_s": 0.5, "credit": 1, "promised": 1, "hungry": True,
                "work_sent": 1, "work_received": 1,
                "neighbours": [
                    {
                        "relay": "2", "host": "h", "silent_s": 0.5, "sent": 1, "received": 1, "lost": 0,
                        "round_trip_s": 0.5, "credit": 1, "promised": 1, "hungry": False,
                        "about": {
                            "version": "1", "server": "s", "peers": {"f": 1}, "received_per_s": 1, "sent_per_s": 1,
                            "waiting": 1, "incoming": 1,
                        },
                    }
                ],
            },
            "pumps": [
                {
                    "source": "f", "received": COUNT, "held": 0,
                    "outlets": [{"socket": "b", "sent": COUNT, "dropped": {"full": 1}, "held": 0}],
                }
            ],
        }
    ],
}  # fmt: skip
TOPICS = {
    "version": 1,
    "device": "a",
    "sockets": {
        "pub": {
            "messages": 5,
            "topics": [
                {
                    "topic": "t", "hex": "74", "messages": 5, "error": 1, "bytes": 9, "messages_per_s": 0.5,
                    "bytes_per_s": 1.5, "last_seen": 1.5, "lost": 2, "lost_error": 0, "subscribers": 1,
                }
            ],
        }
    },
}  # fmt: skip
SUBSCRIBER = {
    "address": "a:1", "user": "ann", "left_at": 1.5, "lost": {"slow": 2, "left": 1}, "delivered": 5, "waiting": 1,
    "lost_topics": [{"topic": "t", "hex": "74", "lost": 3, "error": 0}],
}  # fmt: skip
SUBSCRIBERS = {"version": 1, "sockets": {"pub": {"peers": [SUBSCRIBER], "gone": [SUBSCRIBER]}}}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([1e308, -1e308, 10**40, "\x1b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def places(value, path=()):
    """Every place in a JSON value, as a path."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(path, value, answer=ANSWER):
    """The answer with another value at one place."""
    if not path:
        return value
    answer = copy.deepcopy(answer)
    inner = answer
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return answer


def shown(data: bytes) -> str:
    answer = check_devices(decoded(data))
    devices = rates(answer, rates(answer, {}, 0), 1.0)
    mesh = [relay for one in devices.values() for relay in one.mesh]
    json.dumps([one.as_json() for one in (*devices.values(), *mesh)])
    return Screen("http://x").text(answer["server"], devices, None, None, mesh)


def test_the_answer_that_the_others_are_made_of_is_right():
    assert "failed" in shown(json.dumps(ANSWER).encode())


@given(st.sampled_from(list(places(ANSWER))), VALUES)
def test_any_value_at_any_place_is_refused_with_one_sentence_or_can_be_shown(path, value):
    try:
        text = shown(json.dumps(changed(path, value)).encode())
    except StrangeAnswer as error:
        assert str(error).isprintable()
    else:
        assert printable_lines(text) == text


@given(st.sampled_from(list(places(TOPICS))), VALUES)
def test_any_value_at_any_place_of_topics_is_refused_with_one_sentence_or_can_be_shown(path, value):
    try:
        found = topics_of("a", check_topics(decoded(json.dumps(changed(path, value, TOPICS)).encode())))
    except StrangeAnswer as error:
        assert str(error).isprintable()
    else:
        json.dumps([one.as_json() for one in found])
        text = Screen("http://x").text({}, {}, found)
        assert printable_lines(text) == text


@given(st.sampled_from(list(places(SUBSCRIBERS))), VALUES)
def test_any_value_at_any_place_of_subscribers_is_refused_with_one_sentence_or_can_be_shown(path, value):
    try:
        found = losses_of("a", check_subscribers(decoded(json.dumps(changed(path, value, SUBSCRIBERS)).encode())))
    except StrangeAnswer as error:
        assert str(error).isprintable()
    else:
        json.dumps([one.as_json() for one in found])
        text = Screen("http://x").text({}, {}, None, found)
        assert printable_lines(text) == text


def test_the_topics_that_the_others_are_made_of_are_right():
    (found,) = topics_of("a", check_topics(TOPICS))
    assert found.as_json() == TOPICS["sockets"]["pub"]["topics"][0] | {"socket": "pub"}
    there, _ = losses_of("a", check_subscribers(SUBSCRIBERS))
    assert there.as_json() == SUBSCRIBER | {"socket": "pub"}


@given(
    st.binary()
    | st.text().map(lambda text: text.encode(errors="surrogatepass"))
    | VALUES.map(lambda one: json.dumps(one).encode())
)
def test_any_bytes_are_refused_with_one_sentence_or_can_be_shown(data):
    with contextlib.suppress(StrangeAnswer):
        shown(data)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"NaN", b"-Infinity", b"1e999", b"", b"\xff", b'{"version": 1'],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_sane_json_is_refused(data):
    with pytest.raises(StrangeAnswer):
        decoded(data)
    with pytest.raises(RecordingError):
        from_line(data)


@given(VALUES, VALUES, VALUES | st.lists(st.text() | st.fixed_dictionaries({"hex": st.text()})))
def test_any_line_is_refused_or_a_message_that_can_be_shown_and_stored(time, source, parts):
    try:
        record = from_line(json.dumps({"time": time, "source": source, "parts": parts}))
    except RecordingError:
        return
    assert as_text(record).isprintable()
    assert as_hex(record).isprintable()
    assert to_line(record).isascii()
    assert pack(record)


@given(st.text())
def test_printable_leaves_nothing_that_steers_a_terminal(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\x1b[31m", r"\x1b[31m"), ("\x9b\x07", r"\x9b\x07"), ("a\nb\r\t", r"a\nb\r\t"),
        ("\u202e\u2066\u200f\u061c", r"\u202e\u2066\u200f\u061c"), ("\ud800", r"\ud800"), ("\U000e0001", r"\U000e0001"),
    ],
)  # fmt: skip
def test_what_is_not_printable_is_escaped(text, harmless):
    assert printable(text) == harmless


def test_markup_in_a_name_is_shown_as_it_is():
    answer = copy.deepcopy(ANSWER)
    answer["devices"][0]["name"] = "[link=http://evil.example]a[/x]"
    assert "[link=http" in shown(json.dumps(answer).encode())
