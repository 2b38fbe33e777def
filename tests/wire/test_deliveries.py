"""What engine zmtp tells of deliveries: a device's snapshot, its line of accounting and its metrics."""

from __future__ import annotations

import pytest
import zmq
from support.traffic import pump

from geventrelay import Drop, Forwarder, Streamer
from geventrelay.testing import LOCAL, Peers, eventually


@pytest.fixture(params=["native", "python"])
def either(request, run, monkeypatch):
    """Starts a device of engine zmtp with either core."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    return lambda settings: run(settings, engine="zmtp")


def test_what_a_slow_subscriber_misses_is_counted_while_it_is_there_when_it_leaves_and_in_the_end(either, peers: Peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, sndhwm=5))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    good, slow = (peers.connect(zmq.SUB, *device.endpoints["backend"], rcvhwm=1) for _ in range(2))
    slow.subscribe("")
    assert publisher.recv() == [b"\1"]
    good.subscribe("a")
    assert publisher.recv() == [b"\1a"]

    def deliveries():
        return pump(device, "frontend").outlets[0]

    for number in range(100):
        publisher.send(b"a" if number == 0 else b"b", b"x" * 100_000)
    assert len(good.recv()) == 2
    eventually(lambda: deliveries().sent == 100, "all to be moved")
    now = deliveries()
    # The kernel may take more of what waits at any time.
    assert now.matched == 101 == now.delivered + now.lost[Drop.SLOW] + now.waiting
    assert 0 < now.waiting <= 5
    slow.close()
    eventually(lambda: not deliveries().waiting, "the end of the slow one")
    assert deliveries().lost[Drop.LEFT] in range(1, 6)
    device.stop(0)
    last = deliveries()
    assert last.matched == 101 == last.delivered + sum(last.lost.values())
    keys = {key: value for key, value in device.snapshot().accounting_keys().items() if key.startswith("backend.")}
    lost = {f"backend.lost.{why.value}": count for why, count in last.lost.items()}
    wanted = {"backend.sent": 100, "backend.matched": 101, "backend.delivered": last.delivered, **lost}
    assert {key: value for key, value in keys.items() if key != "backend.received"} == wanted


def test_what_waits_for_an_endpoint_at_a_stop_is_lost_with_a_count(either, peers: Peers):
    device = either(Streamer(frontend=LOCAL, backend=">tcp://127.0.0.1:1", linger_ms=0))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"task")
    eventually(lambda: pump(device, "frontend").outlets[0].waiting == 1, "the task to wait")
    device.stop(0)
    assert "backend.sent=1 backend.delivered=0 backend.lost.stopped=1 held=0" in device.snapshot().accounting()
