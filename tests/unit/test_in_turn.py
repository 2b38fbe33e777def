"""Answers over HTTP are made one at a time: what becomes of one whose connection is ended before its turn is over."""

from __future__ import annotations

from collections.abc import Iterator

import gevent

from geventrelay.testing import within
from geventrelay.web.in_turn import in_turn

WANTED = {"REQUEST_METHOD": "GET", "RAW_URI": "/api/devices/a/tap"}


class Body:
    """An answer without an end, which holds a place until it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"\n"

    def close(self) -> None:
        self.closed += 1


def asked(app) -> gevent.Greenlet:
    with within("an answer"):
        asking = gevent.spawn(in_turn(app), WANTED, None)
        asking.join()
    return asking


def test_an_answer_whose_connection_is_ended_before_it_is_given_is_closed():
    body = Body()

    def app(environ, start_response):
        # As one over a limit is: it takes effect as soon as this yields.
        gevent.getcurrent().kill(block=False)
        return body

    assert isinstance(asked(app).value, gevent.GreenletExit)
    assert body.closed == 1


def test_an_answer_that_is_given_is_left_to_the_server_to_close():
    body = Body()
    assert asked(lambda environ, start_response: body).value is body
    assert body.closed == 0


def test_an_answer_that_cannot_be_closed_may_be_ended_too():
    def app(environ, start_response):
        gevent.getcurrent().kill(block=False)
        return [b"all of it"]

    assert isinstance(asked(app).value, gevent.GreenletExit)
