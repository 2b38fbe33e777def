"""What a stop leaves behind: accounts of every message, and no files."""

import os
import socket

import gevent
import pytest
import zmq
from support.engines import is_held_back

from geventrelay import Device, Drop, Queue, StartError, Streamer
from geventrelay.testing import LOCAL, Peers, eventually


@pytest.mark.parametrize("pattern", [Streamer, Queue])
def test_what_nobody_took_is_counted_as_stopped_or_held(run, peers: Peers, pattern):
    device = run(pattern(frontend=LOCAL, backend=LOCAL, drain_s=0))
    kind = zmq.PUSH if pattern is Streamer else zmq.DEALER
    sender = peers.connect(kind, *device.endpoints["frontend"])
    for number in range(100):
        sender.send(b"%d" % number, b"part")
    # How many of them are in the device's queue by now is up to libzmq's io threads.
    eventually(lambda: is_held_back(device), "the first message to be in hand")
    device.stop()
    pump = device.snapshot().pumps[0]
    (outlet,) = pump.outlets
    assert outlet.held == (device.engine == "libzmq")
    assert outlet.dropped.get(Drop.STOPPED, 0) == pump.received - outlet.held
    assert pump.received
    assert pump.received_parts == pump.received * (2 if pattern is Streamer else 3)
    assert pump.balanced


def test_replies_to_nobody_do_not_hide_one_that_is_awaited(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL, drain_s=20))
    worker = peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"])
    client.send(b"question")
    envelope = worker.recv()
    for _ in range(5):
        worker.send(b"nobody", b"", b"?")
    eventually(
        lambda: device.snapshot().pumps[1].outlets[0].dropped.get(Drop.UNROUTABLE) == 5,
        "the stray replies to come",
    )
    stopping = gevent.spawn(device.stop)
    eventually(lambda: not device.started, "the stop to begin")
    worker.send(*envelope[:-1], b"answer")
    assert client.recv() == [b"answer"]
    stopping.get(timeout=5)


def test_ipc_file_goes_with_its_device(tmp_path):
    path = tmp_path / "front.sock"
    with Device(Streamer(frontend=f"ipc://{path}", backend=LOCAL)):
        assert path.exists()
    assert not path.exists()


def test_ipc_file_that_is_no_socket_is_refused_and_kept(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear reader")
    with pytest.raises(StartError, match="not a socket"):
        Device(Streamer(frontend=f"ipc://{path}", backend=LOCAL)).start()
    assert path.read_text() == "dear reader"


def test_ipc_file_that_nobody_listens_on_any_more_is_replaced(tmp_path):
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    assert os.path.exists(path)
    with Device(Streamer(frontend=f"ipc://{path}", backend=LOCAL)) as device:
        assert device.endpoints["frontend"] == [f"ipc://{path}"]
