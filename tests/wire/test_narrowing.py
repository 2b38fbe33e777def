"""Connections that bring very many subscriptions are slowed down while others do; nothing of it is lost."""

from __future__ import annotations

import sys

import pytest
from gevent import socket
from support.engines import libzmq_only
from support.strangers import frame, stranger

from geventrelay import Device, Forwarder
from geventrelay.engine import limiter, waiting_line
from geventrelay.engine.connections import cookie
from geventrelay.engine.narrowing import Narrowing
from geventrelay.engine.peertable import Connection
from geventrelay.testing import LOCAL, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell such connections apart")


def test_a_connection_is_as_it_was_once_it_goes_on_and_another_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        narrowing, number = Narrowing(), near.fileno()

        def size():
            return near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
        narrowing.narrow(number, Connection("tcp://127.0.0.1:1", 0.0, cookie=cookie(number)))
        assert size() < 10_000
        narrowing.widen(number, Connection("tcp://127.0.0.1:1", 0.0, cookie=-1))
        assert size() < 10_000
        narrowing.narrow(number, Connection("tcp://127.0.0.1:1", 0.0, cookie=cookie(number)))
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
        this = Connection("tcp://127.0.0.1:1", 0.0, cookie=cookie(number))
        narrowing.narrow(number, this)
        narrowing.widen(number, this)
        assert size() == 100_000
        narrowing.narrow(number, Connection("tcp://127.0.0.1:1", 0.0))
        narrowing.narrow(1_000_000, this)
        assert size() == 100_000


@libzmq_only("engine zmtp takes back few topics at a time")
@pytest.mark.slow
def test_of_many_subscribers_with_very_many_topics_some_wait_and_all_are_heard(monkeypatch):
    monkeypatch.setattr(limiter, "_SUBSCRIBER_LOOK_S", 0.002)
    monkeypatch.setattr(waiting_line, "QUIET_S", 0.02)
    narrowed, narrow = [], Narrowing.narrow
    monkeypatch.setattr(
        Narrowing, "narrow", lambda self, one, connection: narrowed.append(one) or narrow(self, one, connection)
    )
    device = Device(Forwarder(frontend=LOCAL, backend=LOCAL, subscriber_burst_bytes=320_000), watch_peers=True)
    device.start()
    try:
        subscribers = [stranger(device.endpoints["backend"][0], b"SUB") for _ in range(4)]
        for number, subscriber in enumerate(subscribers):
            subscriber.sendall(b"".join(frame(b"\x01%d.%05d" % (number, topic)) for topic in range(3000)))
        eventually(lambda: len(device.subscriptions()) == 12_000, "all topics", 20)
        for subscriber in subscribers:
            subscriber.close()
        eventually(lambda: len(device.subscriptions()) == 0, "the end of all topics", 20)
    finally:
        device.stop(0)
    assert narrowed
