"""Which of the sockets that systemd has bound are whose."""

from __future__ import annotations

import os

import pytest

from geventrelay import Queue, StartError, Streamer
from geventrelay.server.server import Server
from geventrelay.server.socket_activation import Activation, Listener, passed_listeners
from geventrelay.settings import ServerSettings

QUEUE = Queue(
    name="prices", frontend="tcp://127.0.0.1:5555", backend=["ipc:///run/prices", "5556", ">tcp://other:5557"]
)


def found(*listeners: Listener, settings=QUEUE):
    return Activation(listeners)(settings)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp://127.0.0.1:5555", ("frontend", 0)),
        ("ipc:///run/prices", ("backend", 0)),
        ("tcp://0.0.0.0:5556", ("backend", 1)),
        ("tcp://[::]:5556", ("backend", 1)),
    ],
)
@pytest.mark.parametrize("name", ["", "unknown", "geventrelay.socket"])
def test_without_a_name_the_address_decides(address, place, name):
    assert found(Listener(3, name, address)) == {place: 3}


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:5556", "tcp://0.0.0.0:5555", "tcp://0.0.0.0:5557", "ipc:///run/x"]
)
def test_another_address_is_nobodys(address):
    activation = Activation([Listener(3, "", address)])
    assert activation(QUEUE) == {}
    assert [one.descriptor for one in activation.unused([QUEUE])] == [3]


def test_a_name_decides_whatever_the_address():
    assert found(Listener(3, "prices.frontend", "tcp://0.0.0.0:9999")) == {("frontend", 0): 3}


@pytest.mark.parametrize(
    ("address", "rules", "open_"),
    [
        ("tcp://0.0.0.0:9999", {}, True),
        ("tcp://0.0.0.0:9999", {"allow": ["10.0.0.0/8"]}, False),
        ("tcp://127.0.0.1:9999", {}, False),
        ("ipc:///run/other", {}, False),
    ],
)
def test_whether_a_named_one_lets_every_peer_in_goes_by_its_own_address(address, rules, open_):
    settings = Queue(name="prices", frontend="tcp://127.0.0.1:5555", backend="tcp://127.0.0.1:5556", **rules)
    activation = Activation([Listener(3, "prices.frontend", address)])
    assert [*activation.open_to_all([settings])] == [f"prices frontend at {address}"] * open_


def test_with_require_auth_a_server_does_not_start_with_such_a_one(monkeypatch):
    passed = (Listener(3, "prices.frontend", "tcp://0.0.0.0:9999"),)
    monkeypatch.setattr("geventrelay.server.server.passed_listeners", lambda environment: passed)
    queue = Queue(name="prices", frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0")
    server = Server(ServerSettings(devices=(queue,), require_auth=True))
    with pytest.raises(StartError, match=r"require-auth: expected .*, got 'prices frontend at tcp://0\.0\.0\.0:9999'"):
        server.run()


def test_several_of_one_name_go_by_address_first_and_then_in_their_order():
    names = ["prices.backend"] * 2
    listeners = [
        Listener(3 + i, name, a)
        for i, (name, a) in enumerate(zip(names, ["tcp://[::1]:1", "ipc:///run/prices"], strict=True))
    ]
    assert found(*listeners) == {("backend", 0): 4, ("backend", 1): 3}


def test_a_name_of_another_device_is_not_matched_by_address():
    activation = Activation([Listener(3, "orders.frontend", "tcp://127.0.0.1:5555")])
    assert activation(QUEUE) == {}
    assert activation.unused([QUEUE, Streamer(name="orders", frontend="ipc:///a", backend="ipc:///b")]) == ()


def test_what_cannot_be_used_is_unused():
    listener = Listener(3, "prices.frontend", "")
    assert Activation([listener])(QUEUE) == {}
    assert Activation([listener]).unused([QUEUE]) == (listener,)


def test_localhost_is_where_it_is():
    settings = Queue(name="q", frontend="tcp://localhost:5555", backend=5556)
    assert found(Listener(3, "", "tcp://127.0.0.1:5555"), settings=settings) == {("frontend", 0): 3}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_sockets_for_another_process_are_left_alone(environment):
    assert passed_listeners(environment) == ()


@pytest.mark.parametrize("count", ["-1", "x", "1000000000", "9" * 5000, "4097", "1.5", "\u0663"])
def test_an_absurd_number_of_sockets_is_logged_and_ignored(caplog, count):
    assert passed_listeners({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == ()
    (record,) = caplog.records
    assert "listen-fds-ignored" in record.getMessage()
    assert len(record.getMessage()) < 200


def test_descriptors_that_are_not_open_are_of_no_use(monkeypatch):
    monkeypatch.setattr("geventrelay.server.socket_activation._FIRST", 1_000_000)
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4096", "LISTEN_FDNAMES": "a:b"}
    listeners = passed_listeners(environment)
    assert [one.name for one in listeners[:3]] == ["a", "b", ""]
    assert len(listeners) == 4096
    assert {one.address for one in listeners} == {""}


def test_sockets_for_another_process_are_not_ours(caplog):
    assert passed_listeners({"LISTEN_PID": "1", "LISTEN_FDS": "9" * 5000}) == ()
    assert not caplog.records
