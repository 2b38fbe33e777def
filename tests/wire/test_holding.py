"""A connection that is held back: what its peer sends comes in once it is let go, and nothing of it is lost."""

from __future__ import annotations

import sys

import pytest
from gevent import socket

from geventrelay.engine.connections import received_bytes
from geventrelay.engine.holding import HOLD_S, Holding
from geventrelay.engine.peertable import Connection
from geventrelay.testing import within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these filters")


@pytest.fixture
def ends():
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    yield near, far
    for one in (listener, near, far):
        one.close()


@pytest.fixture
def holding():
    made = Holding()
    yield made
    made.let_all_go()


def connection():
    return Connection("tcp://127.0.0.1:1", 0.0)


@pytest.mark.parametrize("why", ["certain", "time"])
def test_it_is_let_go_once_it_is_certain_or_its_time_is_over(ends, holding, why):
    near, far = ends
    assert holding.wait_s is None
    holding.hold(far.fileno(), connection(), 10.0)
    near.sendall(b"one")
    holding.look(lambda descriptor: False, 10.0 + HOLD_S - 0.1)
    assert holding.wait_s is not None
    assert received_bytes(far.fileno()) == 0
    holding.look(lambda descriptor: why == "certain", 10.0 + (HOLD_S if why == "time" else 0))
    assert holding.wait_s is None
    with within("what was sent meanwhile"):
        assert far.recv(10) == b"one"


def test_a_later_message_holds_it_longer_and_another_connection_anew(ends, holding):
    near, far = ends
    one = connection()
    holding.hold(far.fileno(), one, 10.0)
    holding.hold(far.fileno(), one, 11.0)
    holding.look(lambda descriptor: False, 10.0 + HOLD_S)
    assert holding.wait_s is not None
    holding.hold(far.fileno(), connection(), 20.0)
    near.sendall(b"one")
    assert received_bytes(far.fileno()) == 0
    holding.let_all_go()
    with within("what was sent meanwhile"):
        assert far.recv(10) == b"one"


def test_a_descriptor_that_has_gone_is_no_error(holding):
    holding.hold(1_000_000, connection(), 0.0)
    assert holding.wait_s is None
