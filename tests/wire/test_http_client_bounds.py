"""What a hostile server can do to a client: every answer ends, and what it costs is bounded."""

from __future__ import annotations

import http.client

import pytest
from support.hostile_server import CHUNKED, HEAD, dripping, flooding, hostile_server

from geventrelay.cli.api_answer import StrangeAnswer
from geventrelay.cli.http_client import FAILURES, HttpClient, Refused
from geventrelay.testing import within

BYTES = 1000
SHORT_S, LONG_S = 0.2, 20.0

OK = HEAD % b"application/json"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

DRIPS = {
    "a status line": lambda: dripping(b"HTTP/1.1 200 "),
    "a field of the head": lambda: dripping(OK + b"X: "),
    "100 Continue": lambda: dripping(b"", CONTINUE),
    "a body": lambda: dripping(OK + b"\r\n"),
    "a body of a length": lambda: dripping(OK + b"Content-Length: 900\r\n\r\n"),
    "the size of a chunk": lambda: dripping(OK + CHUNKED, b"0"),
    "the extension of a chunk": lambda: dripping(OK + CHUNKED + b"5;"),
    "a chunk": lambda: dripping(OK + CHUNKED + b"384\r\n"),
    "a trailer": lambda: dripping(OK + CHUNKED + b"0\r\nX: "),
    "trailers": lambda: dripping(OK + CHUNKED + b"0\r\n", b"a:b\r\n"),
    "the body of an error": lambda: dripping(b"HTTP/1.1 500 No\r\n\r\n"),
    "nothing": lambda: [b""],
}
FLOODS = {
    "a status line": lambda: flooding(b"HTTP/1.1 200 ", b"x"),
    "fields of the head": lambda: flooding(OK, b"X: y\r\n"),
    "a field of the head": lambda: flooding(OK + b"X: ", b"x"),
    "100 Continue": lambda: flooding(b"", CONTINUE),
    "a body": lambda: flooding(OK + b"\r\n", b"x"),
    "small chunks": lambda: flooding(OK + CHUNKED, b"1\r\nx\r\n"),
    "a large chunk": lambda: flooding(OK + CHUNKED + b"fffffffff\r\n", b"x"),
    "the size of a chunk": lambda: flooding(OK + CHUNKED, b"0"),
    "the extension of a chunk": lambda: flooding(OK + CHUNKED + b"5;", b"x"),
    "trailers": lambda: flooding(OK + CHUNKED + b"0\r\n", b"a:b\r\n"),
    "a body behind a chunk of -1 bytes": lambda: flooding(OK + CHUNKED + b"-1\r\n", b"x"),
}
BROKEN = {
    "a chunk of -5 bytes": OK + CHUNKED + b"-5\r\nabcdefghijk\r\n",
    "a chunk of more bytes than memory has": OK + CHUNKED + b"f" * 60 + b"\r\nx\n",
    "a chunk without a size": OK + CHUNKED + b"\r\nx\r\n",
    "a chunk that ends early": OK + CHUNKED + b"64\r\nabc",
    "a size that ends early": OK + CHUNKED + b"6",
    "a chunk that is longer than its size": OK + CHUNKED + b"1\r\nabcdefgh\r\n",
    "two chunks of which the second ends early": OK + CHUNKED + b"3\r\nabc\r\n9\r\nd",
}


def ask(port: int, how: str, *, time_s: float, green: bool) -> None:
    """Read an answer whole, or line by line as long as these are lines; returns at its end."""
    client = HttpClient(f"http://127.0.0.1:{port}", time_s, green=green)
    with client.get("/", kind="application/json") as answer:
        if how == "body":
            answer.body(BYTES)
            return
        while line := answer.line(BYTES, time_s):
            if not line.endswith(b"\n"):
                raise StrangeAnswer("a line without an end")


@pytest.fixture(params=["body", "line"])
def how(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["blocking", "green"])
def green(request):
    return request.param


@pytest.mark.parametrize("name", DRIPS)
def test_one_time_is_for_all_that_comes_a_byte_at_a_time(name, how, green):
    with hostile_server(DRIPS[name], pause_s=0.02) as port, within("the end"):
        with pytest.raises((*FAILURES, StrangeAnswer, Refused)) as raised:
            ask(port, how, time_s=SHORT_S, green=green)
        if name not in ("nothing", "the body of an error"):
            assert raised.type is TimeoutError


@pytest.mark.parametrize("name", FLOODS)
def test_what_comes_without_end_is_taken_up_to_a_bound(name, how, green):
    with hostile_server(FLOODS[name]) as port, within("the end"), pytest.raises((StrangeAnswer, *FAILURES)) as raised:
        ask(port, how, time_s=LONG_S, green=green)
    assert not isinstance(raised.value, TimeoutError)


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_http_or_is_cut_off_is_an_error_of_its_own(name, how, green):
    expected = pytest.raises((StrangeAnswer, http.client.HTTPException))
    with hostile_server(lambda: [BROKEN[name]]) as port, within("the end"), expected:
        ask(port, how, time_s=LONG_S, green=green)


def test_a_line_that_is_cut_off_by_the_length_that_was_told_is_lost(green):
    answer = OK + b"Content-Length: 50\r\n\r\nfirst\nsec"
    with hostile_server(lambda: [answer]) as port, within("the end"), pytest.raises(http.client.IncompleteRead):
        ask(port, "line", time_s=LONG_S, green=green)


def test_a_name_that_is_none_has_no_address(green):
    for name in ("a..b", "a" * 70):
        client = HttpClient(f"http://{name}", LONG_S, green=green)
        with pytest.raises(FAILURES) as raised:
            client.get("/")
        assert client.reason(raised.value) == "no such host"
