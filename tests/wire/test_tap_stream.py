"""Messages from a publisher that may mean harm, as `geventrelay tap` and `record` read them."""

from __future__ import annotations

import gevent
import pytest
import zmq

from geventrelay.cli import subscriber, tap_stream
from geventrelay.cli.room import LEAST_MESSAGES, MOST_MESSAGES
from geventrelay.cli.tap_stream import TapStream
from geventrelay.endpoints import Endpoint
from geventrelay.testing import Peers, within


@pytest.fixture
def watched(peers: Peers, monkeypatch):
    """A publisher that is no tap, and the stream of its messages."""
    monkeypatch.setattr(tap_stream, "_ANSWER_S", 0.1)
    publisher = peers.bind(zmq.XPUB)
    stream = TapStream(Endpoint.parse(">" + publisher.endpoint), None, b"", {})
    with within("the connection"):
        assert not stream.begin()
    # What is sent before its subscription has come would be lost.
    while publisher.recv() != [b"\1"]:
        pass
    yield publisher, stream
    stream.close()


@pytest.mark.parametrize("part", [b"", b"x" * 100])
def test_a_message_of_very_many_parts_is_whole_and_lets_everything_else_run(watched, part):
    publisher, stream = watched
    turns = 0

    def count():
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    parts = [part] * 100_000
    publisher.send(*parts)
    publisher.send(b"next")
    counting = gevent.spawn(count)
    records = []
    with within("both messages"):
        while len(records) < 2:
            records += stream.receive()
    counting.kill()
    assert [record.parts for record in records] == [tuple(parts), (b"next",)]
    # It reads 1,000 parts at a time.
    assert turns >= 90


def test_a_limit_of_time_that_ends_within_a_message_glues_nothing_together(watched, monkeypatch):
    publisher, stream = watched
    monkeypatch.setattr(subscriber, "_PARTS_AT_A_TIME", 1)
    publisher.send(*[b"%d" % number for number in range(1000)])
    publisher.send(b"next", b"one")
    records = []
    with within("both messages"):
        while len(records) < 2:
            records += gevent.with_timeout(0.001, stream.receive, timeout_value=[])
    assert [len(record.parts) for record in records] == [1000, 2]
    assert records[1].parts == (b"next", b"one")


def test_few_large_messages_are_handed_out_at_a_time(watched):
    publisher, stream = watched
    for _ in range(20):
        publisher.send(bytes(1 << 20))
    sizes = []
    with within("every message"):
        while sum(sizes) < 20:
            sizes.append(len(stream.receive()))
    assert max(sizes) <= 4


def test_of_large_messages_fewer_may_wait(watched):
    publisher, stream = watched
    hwm = lambda: stream._subscriber._socket.get(zmq.RCVHWM)  # noqa: E731
    assert hwm() == MOST_MESSAGES
    for _ in range(300):
        publisher.send(b"small")
    publisher.send(bytes(1 << 20))
    for number in range(200):
        publisher.send(b"%d" % number)
    records = []
    with within("all of them"):
        while len(records) < 501:
            records += stream.receive()
    assert LEAST_MESSAGES < hwm() < MOST_MESSAGES // 2
    assert [len(one.parts[0]) for one in records[299:302]] == [5, 1 << 20, 1]
