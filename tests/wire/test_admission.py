"""A new subscriber waits while the ends of others take very long, and the hub lets it in."""

from __future__ import annotations

import sys

import pytest
import zmq
from support.engines import libzmq_only
from support.strangers import frame, stranger

from geventrelay import Device, Forwarder
from geventrelay.engine import admission
from geventrelay.engine.libzmq import topics_count
from geventrelay.testing import LOCAL, Peers, eventually

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these filters"),
    libzmq_only("only libzmq takes long over the end of a subscriber"),
]


@pytest.fixture
def device():
    made = Device(Forwarder(frontend=LOCAL, backend=LOCAL), watch_peers=True)
    made.start()
    yield made
    made.stop(0)


@pytest.mark.slow
def test_a_new_subscriber_waits_while_the_ends_of_others_take_long_and_is_let_in(device, peers: Peers, monkeypatch):
    sockets, (endpoint,) = device._assembly.sockets, device.endpoints["backend"]
    guard = sockets.peers_of("backend")._admission
    with stranger(endpoint, b"SUB") as staying:
        staying.sendall(b"".join(frame(b"\x01%d" % number) for number in range(1000)))
        eventually(lambda: topics_count(sockets["backend"]) == 1000, "the topics")
        monkeypatch.setattr(admission, "END_S_PER_TOPIC", 1.0)
        stranger(endpoint, b"SUB").close()
        eventually(lambda: guard._closed, "the end that took long")
        peers.connect(zmq.SUB, endpoint, wait=False, subscribe=b"x")
        eventually(lambda: guard._waiting, "a subscriber that waits")
        assert len(device.peers()["backend"].peers) == 1
        monkeypatch.setattr(admission, "END_S_PER_TOPIC", 0.0)
        monkeypatch.setattr(guard._costs, "level_s", 0.0)
        eventually(lambda: len(device.peers()["backend"].peers) == 2, "the subscriber")
        eventually(lambda: topics_count(sockets["backend"]) == 1001, "its topic")
        eventually(lambda: not guard._closed, "the end of the waiting")


def test_a_subscriber_that_comes_and_goes_where_topics_are_few_makes_no_other_wait(device):
    (endpoint,) = device.endpoints["backend"]
    guard = device._assembly.sockets.peers_of("backend")._admission
    for _ in range(5):
        stranger(endpoint, b"SUB").close()
    eventually(lambda: device.peers()["backend"].disconnected_total == 5, "their ends")
    assert not guard._closed
