"""A peer that has sent a message of too many parts is ended, if it certainly was this one, and no other one ever is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import pytest
import zmq
from gevent import socket as green_socket
from support.engines import libzmq_only
from support.strangers import MORE, frame, send_until_ended, shake_hands, stranger
from support.traffic import pump

from geventrelay import Custom, Device
from geventrelay.engine.counters import Drop
from geventrelay.engine.native.choose import native_module
from geventrelay.testing import LOCAL, Peers, eventually, within

TOO_LONG = frame(b"", MORE) * 50 + frame(b"")


@pytest.fixture(params=["python", "native"], autouse=True)
def burst(request, monkeypatch):
    """Each test with each burst."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.engine.pump.native_module", lambda: None)
    elif native_module() is None:
        pytest.skip("the native burst is not built")


@pytest.fixture
def watch():
    devices = []

    def watch(frontend="PULL", backend="PUSH", at=LOCAL):
        device = Device(
            Custom(frontend_type=frontend, frontend=at, backend_type=backend, backend=LOCAL, max_parts=10),
            watch_peers=True,
        )
        devices.append(device)
        device.start()
        return device

    yield watch
    for device in devices:
        device.stop(0)


def cut_off(device):
    return device.peers()["frontend"].cut_off


@pytest.mark.parametrize(
    ("frontend", "backend", "kind"),
    [("PULL", "PUSH", b"PUSH"), ("SUB", "PUB", b"PUB"), ("XSUB", "XPUB", b"PUB"), ("XPUB", "XSUB", b"XSUB"),
     ("ROUTER", "DEALER", b"DEALER"), ("DEALER", "ROUTER", b"DEALER"), ("PAIR", "PAIR", b"PAIR")],
)  # fmt: skip
def test_the_sender_of_a_message_of_too_many_parts_is_ended(watch, frontend, backend, kind, caplog):
    device = watch(frontend, backend)
    first = b"" if kind != b"XSUB" else b"\2"
    with stranger(device.endpoints["frontend"][0], kind) as flood, within("the end of the flood"):
        send_until_ended(flood, iter(lambda: frame(first, MORE) + TOO_LONG, None))
    eventually(lambda: cut_off(device) == {"too_many_parts": 1}, "the count")
    eventually(lambda: "cut-off" in caplog.text, "the log")
    assert "reason=too_many_parts option=max-parts" in caplog.text
    eventually(lambda: device.peers()["frontend"].peers == (), "the end of the peer")


def test_what_it_sent_before_is_delivered_and_others_go_on(watch, peers: Peers):
    device = watch()
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    good = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    largest = frame(b"", MORE) * 9 + frame(b"")
    with stranger(device.endpoints["frontend"][0], b"PUSH") as bad, within("its end"):
        bad.sendall(largest)
        assert worker.recv() == [b""] * 10
        send_until_ended(bad, iter(lambda: TOO_LONG, None))
        for number in range(100):
            good.send(b"%d" % number)
            assert worker.recv() == [b"%d" % number]
    peers_now = device.peers()["frontend"]
    assert (peers_now.cut_off, peers_now.connected) == ({"too_many_parts": 1}, 1)


@contextlib.contextmanager
def lowest_free(descriptor: int) -> Iterator[None]:
    """Have the kernel give out `descriptor` next. It is not free at once: libzmq tells of an end before it closes."""
    eventually(lambda: not os.path.lexists(f"/dev/fd/{descriptor}"), "a free descriptor")
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while taken[-1] < descriptor:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        os.close(taken.pop())
        yield
    finally:
        for one in taken:
            os.close(one)


@libzmq_only("it finds out from which connection a message has come")
def test_a_message_that_came_over_an_earlier_connection_with_the_descriptor_ends_no_other(watch, peers: Peers):
    device = watch()
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    table = device._assembly.sockets.peers_of("frontend")._table
    device.pause()
    host, _, port = device.endpoints["frontend"][0].removeprefix("tcp://").rpartition(":")
    with green_socket.socket() as good:
        with stranger(device.endpoints["frontend"][0], b"PUSH") as bad:
            # Two wake-ups: the pump may be on its way into one wait before it sees that it is paused.
            bad.sendall(TOO_LONG * 2)
            eventually(lambda: table.ready, "the peer")
            earlier = list(table.connections)
        eventually(lambda: not device.peers()["frontend"].peers, "its end")
        with lowest_free(*earlier):
            good.connect((host, int(port)))
            shake_hands(good, b"PUSH")
        eventually(lambda: device.peers()["frontend"].peers, "the next peer")
        assert list(table.connections) == earlier, "the kernel was to use the number again"
        device.resume()
        for number in range(10):
            good.sendall(frame(b"%d" % number))
            assert worker.recv() == [b"%d" % number]
        eventually(lambda: pump(device, "frontend").outlets[0].dropped == {Drop.TOO_MANY_PARTS: 2}, "the drops")
        assert cut_off(device) == {}
        # Now that the socket had nothing to read meanwhile, it is certain.
        with within("its end"):
            send_until_ended(good, iter(lambda: TOO_LONG, None))
    assert cut_off(device) == {"too_many_parts": 1}


def test_a_flood_of_messages_with_as_many_parts_as_allowed_is_none(watch, peers: Peers):
    device = watch()
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    good = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for _ in range(20):
        for _ in range(100):
            good.send(*[b""] * 10)
        assert worker.recv_all(100) == [[b""] * 10] * 100
    assert cut_off(device) == {}


def test_over_ipc_it_is_ended_too(watch, peers: Peers, tmp_path):
    device = watch(at=f"ipc://{tmp_path}/f")
    bad = peers.connect(zmq.PUSH, f"ipc://{tmp_path}/f")
    bad.send(*[b""] * 11)
    eventually(lambda: cut_off(device) == {"too_many_parts": 1}, "the count")


@libzmq_only("engine zmtp ends it too")
def test_a_peer_to_which_the_device_connects_is_not_ended(watch, peers: Peers):
    bad = peers.bind(zmq.PUSH)
    device = watch(at=f">{bad.endpoint}")
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for number in range(10):
        bad.send(*[b""] * 11)
        bad.send(b"%d" % number)
        assert worker.recv() == [b"%d" % number]
    assert cut_off(device) == {}


def test_the_limit_is_what_it_is_now(watch, peers: Peers):
    device = watch()
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    good = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    device.adjust(dataclasses.replace(device.settings, max_parts=0))
    good.send(*[b""] * 11)
    assert worker.recv() == [b""] * 11
    assert cut_off(device) == {}
