"""Each bound of engine zmtp: a peer above it is disconnected, counted by reason, and the log names the option."""

from __future__ import annotations

import contextlib

import pytest
import zmq
from support.strangers import MORE, frame, stranger

from geventrelay import Forwarder, Streamer
from geventrelay.components.plan import SocketPlan
from geventrelay.components.terms import side_plan, terms
from geventrelay.engine.peerlimit import HandshakeTime
from geventrelay.testing import LOCAL, Peers, connected, eventually, within

ZMTP = {"frontend": LOCAL, "backend": LOCAL, "engine": "zmtp"}


def head(size: int, flags: int = 0) -> bytes:
    """The head of a frame whose body never comes."""
    return bytes([2 | flags]) + size.to_bytes(8, "big")


def topics(count: int) -> bytes:
    return b"".join(frame(b"\1%d" % number) for number in range(count))


BOUNDS = [
    ("PUSH", {"max_message_size_bytes": 2000}, head(2001), "too_large", "max-message-size"),
    ("PUSH", {}, head(64 * 1024 * 1024 + 1), "too_large", "max-message-size"),
    ("PUSH", {"max_message_size_bytes": 0}, head(64 * 1024 * 1024 + 1), "unfinished", "max-unfinished"),
    ("PUSH", {"max_unfinished_bytes": 3000}, 4 * frame(b"x" * 1000, MORE), "unfinished", "max-unfinished"),
    ("PUSH", {}, 1001 * frame(b"", MORE), "too_many_parts", "max-parts"),
    ("PUSH", {"max_parts": 3}, 4 * frame(b"", MORE), "too_many_parts", "max-parts"),
    ("SUB", {}, frame(b"\1" + b"t" * 8193), "topic_too_long", "max-topic-size"),
    ("SUB", {"max_subscriptions": 5}, topics(6), "too_many_subscriptions", "max-subscriptions"),
]


@pytest.mark.parametrize(("type", "settings", "data", "reason", "option"), BOUNDS)
def test_who_exceeds_a_bound_is_ended_and_counted_and_no_other_waits(
    run, peers: Peers, caplog, type, settings, data, reason, option
):
    pattern, key = (Streamer, "frontend") if type == "PUSH" else (Forwarder, "backend")
    device = run(pattern(**ZMTP, **settings))
    good, taker = (zmq.PUSH, zmq.PULL) if type == "PUSH" else (zmq.PUB, zmq.SUB)
    with stranger(device.endpoints[key][0], type.encode()) as bad, within("its end"), contextlib.suppress(OSError):
        bad.sendall(data)
        while bad.recv(1000):
            pass
    eventually(lambda: device.peers()[key].cut_off == {reason: 1}, "the count")
    eventually(lambda: f"option={option}" in caplog.text, "the log")
    assert f"cut-off device={device.name} socket={key}" in caplog.text
    assert f"reason={reason}" in caplog.text
    options = {"subscribe": b""} if taker == zmq.SUB else {}
    sink = peers.connect(taker, *device.endpoints["backend"], **options)
    source = peers.connect(good, *device.endpoints["frontend"])
    connected(source, sink)
    source.send(b"fine")
    assert sink.recv() == [b"fine"]


def test_these_are_the_bounds_by_default():
    settings = Forwarder(**ZMTP)
    plan = SocketPlan("backend", zmq.XPUB, settings.backend)
    bounds = side_plan(plan, settings).bounds
    assert (bounds.message_bytes, bounds.parts, bounds.topic_bytes) == (64 * 1024 * 1024, 1000, 8192)
    assert side_plan(plan, settings).max_subscriptions == 100_000
    assert bounds.frame_bytes == 64 * 1024 * 1024
    found = terms(plan, settings)
    assert (found.handshake, found.most_peers, found.most_per_address) == (HandshakeTime(10), 0, 0)
