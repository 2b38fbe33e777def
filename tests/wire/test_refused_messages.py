"""Messages that a device drops as it reads them: too many parts, or broken off. The device goes on, and counts them."""

from __future__ import annotations

import dataclasses
import logging

import pytest
import zmq
from support.engines import libzmq_only
from support.traffic import pump

from geventrelay import Custom, Forwarder, Queue, Streamer
from geventrelay.engine.counters import Drop
from geventrelay.engine.native.choose import native_module
from geventrelay.testing import LOCAL, Peers, eventually

pytestmark = libzmq_only("it drops such messages; engine zmtp ends the connection, or passes them on")

XPUB_XSUB = {"frontend_type": "XPUB", "backend_type": "XSUB"}


@pytest.fixture(params=["python", "native"], autouse=True)
def burst(request, monkeypatch):
    """Each test with each burst."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.engine.pump.native_module", lambda: None)
    elif native_module() is None:
        pytest.skip("the native burst is not built")


def ends(device):
    return device.endpoints["frontend"][0], device.endpoints["backend"][0]


def dropped(device, source):
    (outlet,) = pump(device, source).outlets
    return outlet.dropped


@pytest.mark.parametrize("option", [None, zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER])
@pytest.mark.parametrize("pattern", ["forwarder", "custom"])
@pytest.mark.parametrize("parts", [[b"\x02hello", b"\x01a"], [b"", b"\x01a"], [b"\x02one", b"\x02two", b"\x01a"]])
def test_what_breaks_off_is_dropped_and_the_device_goes_on(run, peers: Peers, caplog, option, pattern, parts):
    xpub = "backend" if pattern == "forwarder" else "frontend"
    options = {} if option is None else {"socket_options": {xpub: {option: 1}}}
    if pattern == "forwarder":
        device = run(Forwarder(frontend=LOCAL, backend=LOCAL, **options))
        upstream, downstream = ends(device)
    else:
        device = run(Custom(frontend=LOCAL, backend=LOCAL, **XPUB_XSUB, **options))
        downstream, upstream = ends(device)
    publisher, subscriber = peers.connect(zmq.XPUB, upstream), peers.connect(zmq.XSUB, downstream)
    other = peers.connect(zmq.XSUB, downstream)
    subscriber.send(b"\x01a")
    assert publisher.recv() == [b"\x01a"]
    with caplog.at_level(logging.WARNING, "geventrelay"):
        subscriber.send(*parts)
        eventually(lambda: dropped(device, xpub) == {Drop.BROKEN_OFF: 1}, "a drop")
    assert "message-refused" in caplog.text
    other.send(b"\x01b")
    subscriber.send(b"\x02whole", b"message")
    assert sorted(publisher.recv_all(2)) == [[b"\x01b"], [b"\x02whole", b"message"]]
    publisher.send(b"a news")
    assert subscriber.recv() == [b"a news"]
    assert pump(device, xpub).balanced


def test_a_message_of_too_many_parts_is_dropped_and_the_log_names_the_option(run, peers: Peers, caplog):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    front, back = ends(device)
    sender, worker = peers.connect(zmq.PUSH, front), peers.connect(zmq.PULL, back)
    with caplog.at_level(logging.WARNING, "geventrelay"):
        sender.send(*[b""] * 1001)
        sender.send(*[b""] * 50_000)
        sender.send(*[b""] * 1000)
        assert worker.recv() == [b""] * 1000
    assert dropped(device, "frontend") == {Drop.TOO_MANY_PARTS: 2}
    assert pump(device, "frontend").received_parts == 52_001
    assert pump(device, "frontend").balanced
    assert "reason=too_many_parts" in caplog.text
    assert "--max-parts" in caplog.text


def test_the_limit_changes_while_the_device_runs_and_0_is_no_limit(run, peers: Peers):
    settings = Streamer(frontend=LOCAL, backend=LOCAL, max_parts=2)
    device = run(settings)
    front, back = ends(device)
    sender, worker = peers.connect(zmq.PUSH, front), peers.connect(zmq.PULL, back)
    sender.send(b"1", b"2", b"3")
    sender.send(b"1", b"2")
    assert worker.recv() == [b"1", b"2"]
    device.adjust(dataclasses.replace(device.settings, max_parts=0))
    sender.send(*[b""] * 5000)
    assert worker.recv() == [b""] * 5000
    assert dropped(device, "frontend") == {Drop.TOO_MANY_PARTS: 1}


def test_routing_ids_count_and_a_request_of_too_many_parts_does_not_disturb_the_next(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, max_parts=3))
    front, back = ends(device)
    client, worker = peers.connect(zmq.DEALER, front), peers.connect(zmq.REP, back)
    client.send(b"", b"one", b"two")
    client.send(b"", b"one")
    assert worker.recv() == [b"one"]
    worker.send(b"reply")
    assert client.recv() == [b"", b"reply"]
    assert dropped(device, "frontend") == {Drop.TOO_MANY_PARTS: 1}


def test_a_stop_within_such_a_message_reads_it_to_its_end_and_counts_it(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    front, _ = ends(device)
    sender = peers.connect(zmq.PUSH, front)
    sender.send(*[b""] * 200_000)
    eventually(lambda: pump(device, "frontend").received == 1, "the beginning of it")
    device.stop()
    one = pump(device, "frontend")
    assert one.received_parts == 200_000
    assert one.balanced
