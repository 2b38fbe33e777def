"""Connections of engine zmtp that are cut, reset or stall at each byte of a handshake and of a message."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import pytest
import zmq
from gevent import socket as green_socket
from support.strangers import GREETING, frame, ready
from support.traffic import pump

from geventrelay import Forwarder, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.zmtp.frames import encode_message

PARTS = [b"a", b"", b"x" * 300]
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
SAID = {
    "3.0": (GREETING + ready(b"PUSH"), encode_message(PARTS)),
    "2.0": (SIGNATURE + b"\1\x08" + frame(b"me"), encode_message(PARTS)),
    "1.0": (b"\3\0me", encode_message(PARTS, v1_0=True)),
}
VERSIONS = pytest.mark.parametrize("version", SAID)
FAULTS = pytest.mark.parametrize("fault", ["cut", "reset"])
# A long frame's body is all the same but at its ends.
WITHIN = 290
TOPIC = frame(b"\x09SUBSCRIBE" + b"topic", 4)


def places(version):
    """How many bytes are sent before something goes wrong."""
    hello, message = SAID[version]
    size = len(hello) + len(message)
    return [at for at in range(size + 1) if not 5 < size - at < WITHIN]


@pytest.fixture(params=["native", "python"])
def serve(request, relay_device, monkeypatch):
    """Starts a device of engine zmtp with either core."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    return lambda settings, **options: relay_device(settings, engine="zmtp", legacy_peers=True, **options)


class Raw:
    """A connection that says a part of `data`, then does wrong, or says the rest."""

    def __init__(self, connection, data, at):
        self.connection, self.data, self.at = connection, data, at
        # So it has been accepted.
        with within("a signature"):
            assert connection.recv(10)[:1] == b"\xff"
        # It may have been ended already, where its time is short.
        with contextlib.suppress(ConnectionError):
            connection.sendall(data[:at])

    def harm(self, fault):
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            # To close it with something unread would reset it.
            self.connection.shutdown(socket.SHUT_WR)

    def go_on(self):
        self.connection.sendall(self.data[self.at :])


def raw(device, key, data, at):
    host, _, port = device.endpoints[key][0].removeprefix("tcp://").rpartition(":")
    return Raw(green_socket.create_connection((host, int(port))), data, at)


def sockets():
    """Each open socket of this process, under a name that no other ever has."""
    folder, names = "/proc/self/fd", set()
    for number in os.listdir(folder):
        # Threads of libzmq close some at any time.
        with contextlib.suppress(FileNotFoundError):
            names.add(os.readlink(f"{folder}/{number}"))
    return {name for name in names if name.startswith("socket:")}


def failures(device):
    return device.peers()["frontend"].handshake_failures


@VERSIONS
@FAULTS
def test_a_sender_that_ends_anywhere_brings_whole_messages_or_none(serve, peers: Peers, version, fault):
    device = serve(Streamer(frontend=LOCAL, backend=LOCAL))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    before = sockets()
    hello, message = SAID[version]
    strangers = [raw(device, "frontend", hello + message, at) for at in places(version)]
    through = sum(one.at >= len(hello) for one in strangers)
    eventually(lambda: device.peers()["frontend"].connected_total == through, "the handshakes")
    assert worker.recv() == PARTS
    for one in strangers:
        one.harm(fault)
    eventually(lambda: sum(failures(device).values()) == len(strangers) - through, lambda: f"{failures(device)}")
    eventually(lambda: not device.peers()["frontend"].peers, "the end of each")
    assert set(failures(device)) <= ({"EPIPE"} if fault == "cut" else {"ECONNRESET", "EPIPE"})
    assert device.peers()["frontend"].cut_off == {}
    for one in strangers:
        one.connection.close()
    assert sockets() <= before
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"next")
    assert worker.recv() == [b"next"]
    assert (pump(device, "frontend").received, pump(device, "frontend").received_parts) == (2, 4)


@VERSIONS
def test_one_that_stalls_anywhere_holds_no_other_up_and_may_go_on(serve, peers: Peers, version):
    device = serve(Streamer(frontend=LOCAL, backend=LOCAL))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    hello, message = SAID[version]
    strangers = [raw(device, "frontend", hello + message, at) for at in places(version)]
    assert worker.recv() == PARTS
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"next")
    assert worker.recv() == [b"next"]
    for one in strangers:
        one.go_on()
    assert worker.recv_all(len(strangers) - 1) == [PARTS] * (len(strangers) - 1)
    for one in strangers:
        one.connection.close()
    eventually(lambda: len(device.peers()["frontend"].peers) == 1, "the end of each")
    assert failures(device) == {}


def test_one_that_stalls_within_its_handshake_is_ended_when_its_time_is_over(relay_device):
    # Each has said a part only: a whole handshake might take longer on a busy machine.
    options = {"frontend": {int(zmq.HANDSHAKE_IVL): 50}}
    device = relay_device(
        Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", legacy_peers=True, socket_options=options)
    )
    before, count = sockets(), 0
    for hello, _ in SAID.values():
        strangers = [raw(device, "frontend", hello, at) for at in range(len(hello))]
        count += len(hello)
        eventually(lambda count=count: failures(device) == {"too_slow": count}, "the end of each")
        for one in strangers:
            one.connection.close()
    assert sockets() <= before


@FAULTS
def test_a_subscriber_that_ends_anywhere_has_subscribed_or_not(serve, peers: Peers, fault):
    device = serve(Forwarder(frontend=LOCAL, backend=LOCAL))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    hello = GREETING.replace(b"\3\0", b"\3\1", 1) + ready(b"SUB")
    strangers = [raw(device, "backend", hello + TOPIC, len(hello) + at) for at in range(len(TOPIC) + 1)]
    assert publisher.recv() == [b"\1topic"]
    eventually(lambda: len(device.peers()["backend"].peers) == len(strangers), "the handshakes")
    for one in strangers:
        one.harm(fault)
    assert publisher.recv() == [b"\0topic"]
    eventually(lambda: not device.peers()["backend"].peers, "the end of each")
    assert device.subscriptions() == ()
    for one in strangers:
        one.connection.close()


@pytest.mark.slow
@FAULTS
def test_an_endpoint_that_ends_anywhere_is_connected_again(serve, peers: Peers, fault):
    at_once = {"frontend": {int(zmq.RECONNECT_IVL): 1}}
    with green_socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        device = serve(
            Streamer(frontend=f">127.0.0.1:{listener.getsockname()[1]}", backend=LOCAL), socket_options=at_once
        )
        worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
        hello, message = SAID["3.0"]
        tried = [*places("3.0")]
        connections = []
        for at in tried:
            with within(f"the connection for {at} bytes"):
                connection, _ = listener.accept()
            one = Raw(connection, hello + message, at)
            if at == len(hello) + len(message):
                assert worker.recv() == PARTS
            one.harm(fault)
            connections.append(connection)
        eventually(lambda: device.peers()["frontend"].retries >= len(tried), "the last retry")
        counted = device.peers()["frontend"]
        for connection in connections:
            connection.close()
        assert sum(counted.handshake_failures.values()) >= len(hello)
        assert pump(device, "frontend").received == 1
        assert not worker.recv_now()
