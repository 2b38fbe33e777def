"""Peers that are refused: counted once each, and told in the log once in a while."""

from __future__ import annotations

import contextlib
import socket
import threading

import gevent
import zmq
from support.strangers import frame, ready

from geventrelay import Device, Streamer
from geventrelay.access.guarded import Guarded
from geventrelay.access.passwords import set_password
from geventrelay.testing import LOCAL, eventually

SIDES = {"frontend": LOCAL, "backend": LOCAL}
HELLO = b"\5HELLO\5alice\5wrong"


def denied_lines(caplog) -> list[str]:
    return [line for line in caplog.messages if line.startswith("denied ")]


def caller(device, mechanism: bytes) -> socket.socket:
    """A connection with its greeting said."""
    connection = socket.create_connection(("127.0.0.1", int(device.endpoints["frontend"][0].rpartition(":")[2])), 30)
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\3\0" + mechanism.ljust(20, b"\0") + bytes(32))
    return connection


def test_libzmq_counts_refused_peers_once_each_and_tells_them_once(peers, caplog):
    with Device(Streamer(**SIDES, engine="libzmq", deny=["127.0.0.0/8"]), watch_peers=True) as device:
        for number in range(1, 6):
            # A peer of libzmq that was refused does not come back.
            peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False)
            eventually(lambda: device.peers()["frontend"].handshake_failures == {"auth_400": number}, "it")  # noqa: B023
        assert device.peers()["frontend"].denied == {"address": 5}
    assert len(denied_lines(caplog)) == 1
    assert len([line for line in caplog.messages if line.startswith("handshake-failed")]) <= 1


def test_engine_zmtp_counts_refused_peers_once_each_and_tells_them_once(relay_device, caplog):
    device = relay_device(Streamer(**SIDES, engine="zmtp", deny=["127.0.0.0/8"]))
    for number in range(1, 6):
        with contextlib.suppress(ConnectionError), caller(device, b"NULL") as connection:
            connection.sendall(ready(b"PUSH"))
        eventually(lambda: device.peers()["frontend"].denied == {"address": number}, "the count")  # noqa: B023
    assert device.peers()["frontend"].handshake_failures == {"address": 5}
    eventually(lambda: denied_lines(caplog), "the line")
    assert len(denied_lines(caplog)) == 1


def test_a_peer_that_goes_on_talking_while_it_is_asked_for_is_denied_all_the_same(
    relay_device, caplog, tmp_path, monkeypatch
):
    set_password("x", tmp_path / "passwords", "alice", "right")
    device = relay_device(Streamer(**SIDES, engine="zmtp", plain_passwords=tmp_path / "passwords"))
    asked, go_on = threading.Event(), threading.Event()
    decide = Guarded.verdict

    def slowly(self, request):
        asked.set()
        assert go_on.wait(60)
        return decide(self, request)

    monkeypatch.setattr(Guarded, "verdict", slowly)
    with caller(device, b"PLAIN") as connection:
        connection.sendall(frame(HELLO, 4))
        eventually(asked.is_set, "the question")
        connection.sendall(frame(b"\x08INITIATE\x0bSocket-Type\0\0\0\4PUSH", 4))
        gevent.idle()
        go_on.set()
        eventually(lambda: device.peers()["frontend"].denied, "the refusal")
    assert device.peers()["frontend"].denied == {"wrong_password": 1} == device.peers()["frontend"].handshake_failures
    eventually(lambda: denied_lines(caplog), "the line")


def test_a_peer_that_leaves_while_it_is_asked_for_is_not_denied(relay_device, tmp_path, monkeypatch):
    set_password("x", tmp_path / "passwords", "alice", "right")
    device = relay_device(Streamer(**SIDES, engine="zmtp", plain_passwords=tmp_path / "passwords"))
    asked, go_on = threading.Event(), threading.Event()

    def never(self, request):
        asked.set()
        assert go_on.wait(60)
        raise ValueError

    monkeypatch.setattr(Guarded, "verdict", never)
    with caller(device, b"PLAIN") as connection:
        connection.sendall(frame(HELLO, 4))
        eventually(asked.is_set, "the question")
    eventually(lambda: device.peers()["frontend"].handshake_failures, "its end")
    go_on.set()
    assert not device.peers()["frontend"].denied
