"""Connections that a reload would not let in any more, with --on-revoke disconnect and without; peers are libzmq's."""

from __future__ import annotations

import dataclasses
import errno
import os
from typing import Any

import pytest
import zmq

from geventrelay import Device, Streamer
from geventrelay.access import ledger, rights_file
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.access.passwords import set_password
from geventrelay.engine import connections
from geventrelay.engine import peers as engine_peers
from geventrelay.file_state import file_state
from geventrelay.testing import LOCAL, eventually

SIDES = {"frontend": LOCAL, "backend": LOCAL}
SERVER, ALICE, BOB = (new_pair() for _ in range(3))
AGAIN = {"reconnect_ivl": 50}
ENGINES = pytest.mark.parametrize("engine", ["libzmq", "zmtp"])


@pytest.fixture
def keys(tmp_path):
    write_pair("x", tmp_path, "server", SERVER)
    for name, pair in (("alice", ALICE), ("bob", BOB)):
        write_pair("x", tmp_path / "clients", name, pair)
    return {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}


def shows(pair) -> dict[str, Any]:
    return AGAIN | {"curve_publickey": pair.public, "curve_secretkey": pair.secret, "curve_serverkey": SERVER.public}


def plain(user, password) -> dict[str, Any]:
    return AGAIN | {"plain_username": user, "plain_password": password}


def adjust(device: Device, **options: Any) -> None:
    device.adjust(dataclasses.replace(device.settings, **options))


def revoked(device: Device, key: str = "frontend") -> int:
    return device.peers()[key].cut_off.get("revoked", 0)


def count(device: Device, key: str = "frontend") -> int:
    return len(device.peers()[key].peers)


@ENGINES
def test_a_key_that_was_removed_ends_its_connection_and_no_other(peers, keys, caplog, engine):
    settings = Streamer(**SIDES, **keys, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        alice = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(ALICE))
        bob = peers.connect(zmq.PULL, *device.endpoints["backend"], **shows(BOB))
        eventually(lambda: count(device) == count(device, "backend") == 1, "both")
        device.adjust(device.settings)
        alice.send(b"a")
        assert bob.recv() == [b"a"], "nothing was revoked"
        (keys["curve_clients"] / "alice.key").unlink()
        device.adjust(device.settings)
        eventually(lambda: count(device) == 0 and device.peers()["frontend"].denied, "the end, and the next try", 30)
        assert (revoked(device), revoked(device, "backend")) == (1, 0)
        assert device.peers()["frontend"].denied.keys() == {"unknown_key"}
        assert count(device, "backend") == 1
        eventually(lambda: "reason=revoked option=on-revoke" in caplog.text, "the log")
        # It counts again as soon as it is there again.
        write_pair("x", keys["curve_clients"].parent / "again", "alice", ALICE)
        os.replace(keys["curve_clients"].parent / "again" / "alice.key", keys["curve_clients"] / "alice.key")
        device.adjust(device.settings)
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(ALICE)).send(b"b")
        assert bob.recv() == [b"b"]


@ENGINES
def test_where_others_come_from_the_same_address_they_are_there_again(peers, keys, engine):
    settings = Streamer(**SIDES, **keys, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        sink = peers.connect(zmq.PULL, *device.endpoints["backend"], **shows(BOB))
        senders = [peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(pair)) for pair in (ALICE, BOB)]
        eventually(lambda: device.peers()["frontend"].connected_total == 2, "both")
        (keys["curve_clients"] / "alice.key").unlink()
        device.adjust(device.settings)
        # Engine zmtp knows which connection is whose.
        ended, connected = (2, 3) if engine == "libzmq" else (1, 2)
        eventually(lambda: device.peers()["frontend"].denied, "alice to be refused", 30)
        eventually(lambda: device.peers()["frontend"].connected_total == connected, "bob to be there", 30)
        assert revoked(device) == ended
        device.adjust(device.settings)
        assert revoked(device) == ended, "what was revoked is forgotten"
        senders[1].send(b"a")
        assert sink.recv() == [b"a"]


@ENGINES
def test_by_default_who_is_in_stays_in(peers, keys, engine):
    with Device(Streamer(**SIDES, **keys, engine=engine), watch_peers=True) as device:
        alice = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(ALICE))
        bob = peers.connect(zmq.PULL, *device.endpoints["backend"], **shows(BOB))
        eventually(lambda: count(device) == 1, "alice")
        (keys["curve_clients"] / "alice.key").unlink()
        device.adjust(device.settings)
        alice.send(b"a")
        assert bob.recv() == [b"a"]
        # The option itself can change too, and then counts for those that are there.
        adjust(device, on_revoke="disconnect")
        eventually(lambda: count(device) == 0, "the end")


@ENGINES
@pytest.mark.parametrize("change", ["password", "user", "network"])
def test_passwords_and_networks_are_revoked_too(peers, tmp_path, engine, change):
    path = tmp_path / "passwords"
    for user in ("alice", "bob"):
        set_password("x", path, user, "secret")
    settings = Streamer(**SIDES, plain_passwords=path, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **plain("alice", "secret"))
        peers.connect(zmq.PULL, *device.endpoints["backend"], **plain("bob", "secret"))
        eventually(lambda: count(device) == count(device, "backend") == 1, "both")
        if change == "password":
            set_password("x", path, "alice", "another")
        elif change == "user":
            path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.startswith("alice:")))
        adjust(device, deny=["127.0.0.0/8"] if change == "network" else ())
        reason = {"password": "wrong_password", "user": "unknown_user", "network": "address"}[change]
        eventually(lambda: device.peers()["frontend"].denied.get(reason), "the next try to be refused", 30)
        assert revoked(device) == 1
        assert revoked(device, "backend") == (1 if change == "network" else 0)


@ENGINES
def test_other_rights_end_the_connections_that_had_the_former(peers, tmp_path, engine):
    path = tmp_path / "rights.toml"
    path.write_text('[others]\npublish = ["a"]\nwork = true\n')
    settings = Streamer(**SIDES, rights=path, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **AGAIN)
        sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
        sender.send(b"a")
        assert sink.recv() == [b"a"]
        path.write_text('[others]\npublish = ["b"]\nwork = true\n')
        device.adjust(device.settings)
        assert (revoked(device), revoked(device, "backend")) == (1, 0)
        eventually(lambda: count(device) == 1, "it to be there again", 30)
        sender.send(b"a")
        sender.send(b"b")
        assert sink.recv() == [b"b"]


@ENGINES
def test_a_reload_reads_rights_that_seem_unchanged(peers, tmp_path, monkeypatch, engine):
    path = tmp_path / "rights.toml"
    path.write_text('[others]\npublish = ["a"]\n')
    # As a file system over a network may tell it for a while.
    state = (*file_state(path)[:-1], 0)
    monkeypatch.setattr(rights_file, "file_state", lambda path: state)
    settings = Streamer(**SIDES, rights=path, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **AGAIN)
        eventually(lambda: count(device) == 1, "it")
        path.write_text("[others]\n")
        device.adjust(device.settings)
        assert revoked(device) == 1


def at(device: Device, source: str) -> str:
    """The endpoint of its frontend, for a peer that is to come from the address `source`."""
    port = device.endpoints["frontend"][0].rpartition(":")[2]
    return f"tcp://{source}:0;127.0.0.1:{port}"


@ENGINES
def test_whom_there_was_no_room_to_keep_goes_when_something_is_taken_and_only_then(peers, keys, monkeypatch, engine):
    monkeypatch.setattr(ledger, "MOST_ADDRESSES", 1)
    settings = Streamer(**SIDES, **keys, engine=engine, on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        for number, pair in enumerate((BOB, ALICE), 1):
            peers.connect(zmq.PUSH, at(device, f"127.0.0.{number}"), **shows(pair))
            eventually(lambda number=number: count(device) == number, "it")
        write_pair("x", keys["curve_clients"], "carol", new_pair())
        device.adjust(device.settings)
        assert revoked(device) == 0, "carol was added, and nobody has lost anything"
        (keys["curve_clients"] / "alice.key").unlink()
        device.adjust(device.settings)
        assert revoked(device) == 1
        eventually(lambda: device.peers()["frontend"].denied, "the next try to be refused", 30)
        assert device.peers()["frontend"].peers[0].address.startswith("127.0.0.1:")
        assert count(device) == 1


@ENGINES
def test_other_rights_end_those_whom_there_was_no_room_to_keep(peers, tmp_path, monkeypatch, engine):
    monkeypatch.setattr(ledger, "MOST_ADDRESSES", 0)
    path = tmp_path / "rights.toml"
    path.write_text('[others]\npublish = ["a"]\n')
    with Device(Streamer(**SIDES, rights=path, engine=engine, on_revoke="disconnect"), watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **AGAIN)
        eventually(lambda: count(device) == 1, "it")
        device.adjust(device.settings)
        assert revoked(device) == 0
        path.write_text('[others]\npublish = ["b"]\n')
        device.adjust(device.settings)
        assert revoked(device) == 1


def test_a_connection_that_could_not_be_ended_is_by_the_next_reload(peers, keys, monkeypatch):
    settings = Streamer(**SIDES, **keys, engine="libzmq", on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(ALICE))
        eventually(lambda: count(device) == 1, "alice")
        (keys["curve_clients"] / "alice.key").unlink()

        def none_free(descriptor):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(connections, "Held", none_free)
            device.adjust(device.settings)
        assert revoked(device) == 0
        device.adjust(device.settings)
        assert revoked(device) == 1


def test_who_came_with_the_last_of_many_events_is_ended_too(peers, keys, monkeypatch):
    settings = Streamer(**SIDES, **keys, engine="libzmq", on_revoke="disconnect")
    with Device(settings, watch_peers=True) as device:
        # So it is for a moment when thousands connect.
        monkeypatch.setattr(engine_peers, "_AT_A_TIME", 1)
        device._assembly.sockets._sockets["frontend"].peers._greenlet.kill()
        for pair in (BOB, ALICE):
            peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(pair))
        (keys["curve_clients"] / "alice.key").unlink()
        device.adjust(device.settings)
        assert revoked(device) == 2, "alice, and bob who comes from the same address"
