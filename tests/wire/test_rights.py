"""Rights of the peers of a device, which are libzmq's: with engine zmtp, and with both bursts of libzmq's."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.engines import station

from geventrelay import Device, Forwarder, Queue, Relay, Streamer
from geventrelay.access import zap
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.engine.counters import Drop
from geventrelay.errors import StartError
from geventrelay.switch.door import Entry
from geventrelay.testing import LOCAL, eventually

SIDES = {"frontend": LOCAL, "backend": LOCAL}


@pytest.fixture(params=["zmtp", "libzmq", "libzmq, burst in Python"])
def engine(request, monkeypatch):
    """The engine of the test's devices."""
    if request.param.endswith("Python"):
        monkeypatch.setattr("geventrelay.engine.pump.native_module", lambda: None)
    return request.param.partition(",")[0]


@pytest.fixture
def watched(engine):
    """Starts devices with this engine that follow the peers of each socket."""
    with contextlib.ExitStack() as stack:
        yield lambda settings: stack.enter_context(
            Device(dataclasses.replace(settings, engine=engine), watch_peers=True)
        )


def are_in(device: Any, key: str, count: int) -> None:
    eventually(lambda: device.peers()[key].connected == count, f"{count} at {key}")


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
    assert "it keeps subscribers to theirs too" in caplog.text
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


def test_with_libzmq_a_worker_without_the_right_is_told_and_counted_as_denied(peers, rights, caplog):
    settings = Streamer(**SIDES, rights=rights('[others]\npublish = [""]\n'), engine="libzmq")
    with Device(settings, watch_peers=True) as device:
        worker = peers.connect(zmq.PULL, *device.endpoints["backend"], wait=False)
        worker.wait_for(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        assert device.peers()["backend"].denied == {"forbidden": 1}
        assert "denied device=streamer socket=backend" in caplog.text and "reason=forbidden" in caplog.text
        assert not device.peers()["backend"].peers


def test_new_rights_count_for_new_connections(watched, peers, rights):
    device = watched(Streamer(**SIDES, rights=rights('[others]\npublish = ["a"]\nwork = true\n')))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    first = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    are_in(device, "frontend", 1)
    rights('[others]\npublish = ["b"]\n')
    second = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    are_in(device, "frontend", 2)
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


@pytest.fixture
def known(tmp_path):
    """Options of a device that knows alice and bob by their keys, and those of each of the two."""
    server, alice, bob = (new_pair() for _ in range(3))
    write_pair("test", tmp_path, "server", server)
    for name, pair in (("alice", alice), ("bob", bob)):
        write_pair("test", tmp_path / "clients", name, pair)
    own = {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}
    shown = (
        {"curve_publickey": pair.public, "curve_secretkey": pair.secret, "curve_serverkey": server.public}
        for pair in (alice, bob)
    )
    return own, *shown


def test_a_key_gives_its_user_the_rights_of_that_name(run, peers, rights, known, engine, caplog):
    keys, alice, bob = known
    path = rights('[others]\npublish = ["users.${user}."]\n[user.bob]\nwork = true\n')
    device = run(Streamer(**SIDES, **keys, rights=path, engine=engine))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **bob)
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **alice)
    sender.send(b"users.bob.a")
    sender.send(b"users.alice.a")
    assert worker.recv() == [b"users.alice.a"]
    assert forbidden(device) == 1
    peers.connect(zmq.PULL, *device.endpoints["backend"], wait=False, **alice)
    eventually(lambda: "forbidden" in caplog.text, "the refusal")


def test_each_of_two_senders_has_its_own_rights(run, peers, rights, known, engine):
    keys, alice, bob = known
    path = rights('[others]\npublish = ["users.${user}.", "all"]\nwork = true\n')
    device = run(Streamer(**SIDES, **keys, rights=path, engine=engine))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **bob)
    for shown in (alice, bob):
        sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shown)
        for first in (b"users.alice.", b"users.bob.", b"all", b"al", b"", b"users."):
            sender.send(first, b"x")
    wanted = [[b"all", b"x"], [b"all", b"x"], [b"users.alice.", b"x"], [b"users.bob.", b"x"]]
    assert sorted(worker.recv() for _ in wanted) == wanted
    eventually(lambda: forbidden(device) == 8, "what is dropped")


def test_a_client_without_the_right_to_request_gets_no_answer(run, peers, rights, engine):
    path = rights('[others]\nwork = true\nrequest = ["other"]\n')
    device = run(Queue(**SIDES, rights=path, engine=engine))
    peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
    client.send(b"", b"request")
    eventually(lambda: forbidden(device) == 1, "the request to be dropped")
    assert device.snapshot().pumps[0].outlets[0].sent == 0


def test_a_client_with_the_right_to_request_has_its_answer(run, peers, rights, engine):
    path = rights('[others]\nwork = true\nrequest = ["queue"]\n')
    device = run(Queue(**SIDES, rights=path, engine=engine))
    worker = peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"])
    client.send(b"", b"request")
    worker.send(*worker.recv()[:-1], b"answer")
    assert client.recv() == [b"", b"answer"]


def test_a_device_may_do_everything_with_those_to_which_it_connects(run, peers, rights, engine):
    source, sink = peers.bind(zmq.PUSH), peers.bind(zmq.PULL)
    sides = {"frontend": f">{source.endpoint}", "backend": f">{sink.endpoint}"}
    device = run(Streamer(**sides, rights=rights(""), engine=engine))
    source.send(b"a")
    assert sink.recv() == [b"a"]
    assert forbidden(device) == 0


def test_with_libzmq_a_publisher_has_its_rights_where_subscribers_have_all(run, peers, rights, engine):
    path = rights('[others]\npublish = ["news."]\nsubscribe = [""]\n')
    device = run(Forwarder(**SIDES, rights=path, engine=engine))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = peers.connect(zmq.XSUB, *device.endpoints["backend"])
    subscriber.send(b"\1")
    assert publisher.recv() == [b"\1"]
    publisher.send(b"prices.a")
    publisher.send(b"news.a")
    assert subscriber.recv() == [b"news.a"]
    assert forbidden(device) == 1
    # Upstream, what a subscriber sends is held against the same; its subscriptions pass.
    subscriber.send(b"prices.b")
    subscriber.send(b"news.b")
    subscriber.send(b"\1prices.")
    assert [publisher.recv(), publisher.recv()] == [[b"news.b"], [b"\1prices."]]
    eventually(lambda: forbidden(device, 1) == 1, "the message that is forbidden")


def test_with_libzmq_the_subscriptions_of_a_subscriber_that_leaves_are_cancelled(run, peers, rights, engine):
    device = run(Forwarder(**SIDES, rights=rights('[others]\nsubscribe = [""]\n'), engine=engine))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"])
    subscriber.socket.subscribe("a")
    assert publisher.recv() == [b"\1a"]
    subscriber.close()
    assert publisher.recv() == [b"\0a"]


@pytest.mark.parametrize(
    ("text", "got"),
    [('[others]\nsubscribe = ["a"]', "others.subscribe: {}, got ['a']"), ("[user.b]", "user.b.subscribe: {}, got []")],
)
def test_with_libzmq_a_device_does_not_start_that_could_not_keep_subscribers_from_topics(run, rights, text, got):
    rule = 'expected [""] with engine libzmq, which cannot keep subscribers (backend) from topics; --engine zmtp can'
    with pytest.raises(StartError) as raised:
        run(Forwarder(**SIDES, rights=rights(text), engine="libzmq"))
    assert str(raised.value).endswith(f"rights.toml (--rights): {got.format(rule)}")


def test_with_libzmq_a_file_that_limits_subscribers_later_does_not_count(run, peers, rights, caplog):
    text = '[others]\npublish = ["{}"]\nsubscribe = ["{}"]\n'
    path = rights(text.format("a", ""))
    device = run(Forwarder(**SIDES, rights=path, engine="libzmq"))
    rights(text.format("b", "b"))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    assert "rights-kept" in caplog.text and "--engine zmtp can" in caplog.text
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"])
    subscriber.socket.subscribe("")
    assert publisher.recv() == [b"\1"]
    publisher.send(b"b")
    publisher.send(b"a")
    assert subscriber.recv() == [b"a"]


def test_with_libzmq_peers_over_inproc_may_do_everything(run, peers, rights):
    sides = {"frontend": "inproc://rights", "backend": LOCAL}
    device = run(Streamer(**sides, rights=rights("[others]\nwork = true\n"), engine="libzmq"), context=peers.context)
    sender = peers.connect(zmq.PUSH, "inproc://rights", wait=False)
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    sender.send(b"a")
    assert worker.recv() == [b"a"]
    device.stop(0)


def test_with_libzmq_a_handler_of_the_programs_own_leaves_no_rights(run, peers, rights):
    peers.bind(zmq.REP, zap.ADDRESS)
    with pytest.raises(StartError, match=r"cannot hold peers to their rights \(streamer frontend\): a ZAP handler"):
        run(Streamer(**SIDES, rights=rights(""), engine="libzmq"), context=peers.context)


@pytest.mark.parametrize("sides", [SIDES, {"frontend": ">tcp://127.0.0.1:1", "backend": ">tcp://127.0.0.1:1"}])
def test_a_wrong_file_starts_nothing(run, rights, engine, sides):
    with pytest.raises(StartError, match=r"cannot use .*rights.toml \(--rights\): others: expected a table"):
        run(Streamer(**sides, rights=rights("others = 1"), engine=engine))
