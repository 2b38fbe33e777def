"""What strangers do to engine zmtp before they are peers: each is counted by its reason, and no peer waits for it."""

from __future__ import annotations

import contextlib
import gc
import socket
import struct

import pytest
import zmq

from geventrelay import Streamer
from geventrelay.engine.handshake_failures import TOO_SLOW
from geventrelay.switch.handshake import Handshake
from geventrelay.testing import LOCAL, Peers, eventually, let_run
from geventrelay.zmtp.connection import Connection
from geventrelay.zmtp.mechanism import Null


def greeting(socket_type="PUSH", **how):
    """The bytes of a whole handshake, as far as one end can say them without hearing the other."""
    one, other = Connection(socket_type, **how), Connection({"PUSH": "PULL"}.get(socket_type, "SUB"), **how)
    said = b""
    while True:
        from_one, from_other = one.to_send(), other.to_send()
        said += from_one
        if not from_one and not from_other:
            return said
        for end, data in ((one, from_other), (other, from_one)):
            end.receive(data)
            while end.next_event():
                pass


class Plain(Null):
    name = "PLAIN"


WHOLE = greeting()
HOSTILE = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, "not_zmtp3"),
    "zeros": (bytes(100), "not_zmtp3"),
    "zmtp 2": (b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00", "not_zmtp3"),
    "another mechanism": (greeting().replace(b"NULL", b"XXXX"), "zmtp_mechanism_mismatch"),
    "a wrong type": (greeting("PUB"), "wrong_type"),
    "a message in place of READY": (WHOLE[:64] + b"\x00\x05hello", "bad_handshake"),
    "a command of no meaning": (WHOLE[:64] + b"\x04\x06\x05HELLO", "bad_handshake"),
    "a huge command": (WHOLE[:64] + b"\x06" + (1 << 40).to_bytes(8, "big"), "too_large"),
    "a frame with odd flags": (WHOLE[:64] + b"\xf8\x01x", "bad_frame"),
}


@contextlib.contextmanager
def stranger(device, *, send=b""):
    address = device.endpoints["frontend"][0].removeprefix("tcp://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as one:
        one.sendall(send)
        yield one


@pytest.fixture
def peers(peer):
    return peer


@pytest.fixture
def device(relay_device):
    return relay_device(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"))


def failures(device):
    return device.peers()["frontend"].handshake_failures


def works(device, peers):
    one, puller = (
        peers.connect(zmq.PUSH, *device.endpoints["frontend"]),
        peers.connect(zmq.PULL, *device.endpoints["backend"]),
    )
    one.send(b"task")
    return puller.recv() == [b"task"]


@pytest.mark.parametrize(("said", "reason"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_handshake_is_counted_by_its_reason(device, peers: Peers, said, reason):
    with stranger(device, send=said):
        eventually(lambda: failures(device) == {reason: 1}, "its end")
    assert device.peers()["frontend"].connected_total == 0
    assert works(device, peers)


def test_a_handshake_that_is_cut_anywhere_is_counted_and_leaves_nothing(device, peers: Peers):
    for size in range(len(WHOLE)):
        with stranger(device, send=WHOLE[:size]):
            pass
    eventually(lambda: sum(failures(device).values()) == len(WHOLE), "all of their ends")
    assert set(failures(device)) <= {"ECONNRESET", "EPIPE"}
    assert works(device, peers)


def test_a_handshake_may_come_byte_by_byte(device):
    with stranger(device) as one:
        for byte in WHOLE:
            one.send(bytes([byte]))
            let_run(1)
        eventually(lambda: device.peers()["frontend"].connected == 1, "the peer")


def test_connections_that_say_no_more_are_ended_and_keep_no_peer_waiting(relay_device, peers: Peers):
    options = {"frontend": {int(zmq.HANDSHAKE_IVL): 300}}
    device = relay_device(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", socket_options=options))
    with contextlib.ExitStack() as many:
        for said in (b"", WHOLE[:5], WHOLE[:64], WHOLE[:70]) * 25:
            many.enter_context(stranger(device, send=said))
        assert works(device, peers)
        eventually(lambda: failures(device) == {TOO_SLOW: 100}, "their time to be over")
        assert device.peers()["frontend"].connected == 1


def test_a_peer_that_is_reset_after_its_message_is_gone_and_its_message_is_not(device, peers: Peers):
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for number in range(5):
        with stranger(device, send=WHOLE + b"\x00\x04task") as one:
            eventually(lambda: device.peers()["frontend"].connected_total > number, "the peer")  # noqa: B023
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert puller.recv() == [b"task"]
        eventually(lambda: device.peers()["frontend"].connected == 0, "its end")


def test_a_handshake_that_has_failed_is_not_kept_until_its_time_would_be_over(device):
    for _ in range(20):
        with stranger(device, send=bytes(8000)):
            pass
    eventually(lambda: sum(failures(device).values()) == 20, "all of their ends")
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Handshake]
