"""Rights of the peers of a device, which are libzmq's."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.engines import station

from geventrelay import Forwarder, Queue, Relay, Streamer
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.engine.counters import Drop
from geventrelay.errors import StartError
from geventrelay.switch.door import Entry
from geventrelay.testing import LOCAL, eventually

SIDES = {"frontend": LOCAL, "backend": LOCAL}


@pytest.fixture
def rights(tmp_path):
    """Writes the file of rights, and says where it is."""

    def write(text: str) -> Path:
        path = tmp_path / "rights.toml"
        path.with_suffix(".new").write_text(text)
        os.replace(path.with_suffix(".new"), path)
        return path

    return write


def forbidden(device: Any, pump: int = 0) -> int:
    return device.snapshot().pumps[pump].outlets[0].dropped.get(Drop.FORBIDDEN, 0)


def test_publishers_and_subscribers_of_a_relay_have_their_rights(run, peers, rights, caplog):
    caplog.set_level(logging.INFO)
    path = rights('[others]\npublish = ["prices.", "news."]\nsubscribe = ["prices.", "weather."]\n')
    device = run(Relay(sub=LOCAL, pub=LOCAL, rights=path))
    assert device.engine == "zmtp"
    assert "needs it" in caplog.text and "rights" in caplog.text
    publisher = peers.connect(zmq.XPUB, *device.endpoints["sub"])
    assert publisher.recv() == [b"\1"], "the relay asks for everything"
    subscriber = peers.connect(zmq.SUB, *device.endpoints["pub"])
    for topic in ("news.", "", "price", "prices."):
        subscriber.socket.subscribe(topic)
    eventually(lambda: subscriptions(device) == (1, 3), "those that it has, and those that are forbidden")
    publisher.send(b"private.a")
    publisher.send(b"news.a")
    publisher.send(b"prices.a", b"x")
    assert subscriber.recv() == [b"prices.a", b"x"]
    pump = device.snapshot().pumps[0]
    assert (pump.received, forbidden(device)) == (3, 1)
    assert pump.outlets[0].forbidden_subscriptions == 3
    assert [one.account.forbidden for one in device.peers(accounts=True)["sub"].peers] == [1]


def subscriptions(device: Any) -> tuple[int, int]:
    """How many the subscribers of a relay have, and how many were forbidden."""
    accounts = [one.account for one in device.peers(accounts=True)["pub"].peers]
    return sum(one.subscriptions for one in accounts), sum(one.forbidden_subscriptions for one in accounts)


def test_a_forwarder_asks_publishers_for_no_forbidden_topic(run, peers, rights):
    device = run(Forwarder(**SIDES, rights=rights('[others]\npublish = [""]\nsubscribe = ["a"]\n')))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"])
    for topic in ("b", "", "a1"):
        subscriber.socket.subscribe(topic)
    assert publisher.recv() == [b"\1a1"]
    publisher.send(b"a1")
    assert subscriber.recv() == [b"a1"]


def test_a_worker_without_the_right_is_not_let_in_and_gets_nothing(run, peers, rights, caplog):
    path = rights('[others]\npublish = [""]\n')
    device = run(Streamer(**SIDES, rights=path))
    peers.connect(zmq.PULL, *device.endpoints["backend"], wait=False)
    eventually(lambda: device.peers()["backend"].handshake_failures.get("forbidden", 0) > 0, "the refusal")
    eventually(lambda: "option=rights" in caplog.text, "the log")
    assert not device.peers()["backend"].peers


def test_new_rights_count_for_new_connections(run, peers, rights):
    device = run(Streamer(**SIDES, rights=rights('[others]\npublish = ["a"]\nwork = true\n')))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    first = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    eventually(lambda: len(device.peers()["frontend"].peers) == 1, "the first")
    rights('[others]\npublish = ["b"]\n')
    second = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    eventually(lambda: len(device.peers()["frontend"].peers) == 2, "both")
    for sender in (first, second):
        sender.send(b"b1")
        sender.send(b"a1")
    assert sorted([worker.recv(), worker.recv()]) == [[b"a1"], [b"b1"]]
    eventually(lambda: forbidden(device) == 2, "what is dropped")


def test_a_peer_that_was_let_in_with_a_name_has_the_rights_of_that_user(run, peers, rights):
    path = rights('[user.alice]\npublish = ["users.${user}."]\nwork = true\n[others]\npublish = ["users."]\n')
    device = run(Streamer(**SIDES, rights=path))
    for key in SIDES:
        station(device, key).admit = lambda credentials, address: Entry("alice")
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sender.send(b"users.bob.a")
    sender.send(b"users.alice.a")
    assert worker.recv() == [b"users.alice.a"]
    assert forbidden(device) == 1


def test_a_key_gives_its_user_the_rights_of_that_name(run, peers, rights, tmp_path):
    server, alice, bob = (new_pair() for _ in range(3))
    write_pair("test", tmp_path, "server", server)
    for name, pair in (("alice", alice), ("bob", bob)):
        write_pair("test", tmp_path / "clients", name, pair)
    path = rights('[others]\npublish = ["users.${user}."]\n[user.bob]\nwork = true\n')
    keys = {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}
    device = run(Streamer(**SIDES, **keys, rights=path))

    def shows(pair: Any) -> dict[str, bytes]:
        return {"curve_publickey": pair.public, "curve_secretkey": pair.secret, "curve_serverkey": server.public}

    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **shows(bob))
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shows(alice))
    sender.send(b"users.bob.a")
    sender.send(b"users.alice.a")
    assert worker.recv() == [b"users.alice.a"]
    assert forbidden(device) == 1
    peers.connect(zmq.PULL, *device.endpoints["backend"], wait=False, **shows(alice))
    eventually(lambda: device.peers()["backend"].handshake_failures.get("forbidden", 0) > 0, "the refusal")


def test_a_client_without_the_right_to_request_gets_no_answer(run, peers, rights):
    device = run(Queue(**SIDES, rights=rights('[others]\nwork = true\nrequest = ["other"]\n')))
    peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
    client.send(b"", b"request")
    eventually(lambda: forbidden(device) == 1, "the request to be dropped")
    assert device.snapshot().pumps[0].outlets[0].sent == 0


def test_a_device_may_do_everything_with_those_to_which_it_connects(run, peers, rights):
    source, sink = peers.bind(zmq.PUSH), peers.bind(zmq.PULL)
    device = run(Streamer(frontend=f">{source.endpoint}", backend=f">{sink.endpoint}", rights=rights("")))
    source.send(b"a")
    assert sink.recv() == [b"a"]
    assert forbidden(device) == 0


def test_a_wrong_file_starts_nothing(run, rights):
    with pytest.raises(StartError, match=r"cannot use .*rights.toml \(--rights\): others: expected a table"):
        run(Streamer(**SIDES, rights=rights("others = 1")))
