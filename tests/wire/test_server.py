"""Many devices in one server: start, supervision, stop."""

from __future__ import annotations

import gc
import json
import socket
import time

import gevent
import pytest
import zmq
from support.engines import ZMTP, break_down, is_held_back
from support.serving import serve

from geventrelay import DeviceFailed, Forwarder, Queue, Relay, StartError, State, Streamer
from geventrelay.engine.counters import Drop
from geventrelay.testing import LOCAL, Peers, eventually, let_run

__all__ = ["serve"]


def alive_greenlets() -> list[gevent.Greenlet]:
    return [one for one in gc.get_objects() if isinstance(one, gevent.Greenlet) and not one.dead]


def queue(name: str, **settings) -> Queue:
    return Queue(name=name, **{"frontend": LOCAL, "backend": LOCAL, **settings})


def streamer(name: str, **settings) -> Streamer:
    return Streamer(name=name, **{"frontend": LOCAL, "backend": LOCAL, **settings})


def move(peers: Peers, serving, name: str, count: int = 10) -> None:
    """Send tasks through a streamer and see them arrive."""
    source = peers.connect(zmq.PUSH, serving.endpoint(name, "frontend"))
    sink = peers.connect(zmq.PULL, serving.endpoint(name, "backend"))
    for number in range(count):
        source.send(b"%d" % number)
    assert [int(task) for (task,) in sink.recv_all(count)] == list(range(count))
    source.close()
    sink.close()


def test_every_device_runs_and_all_end_together(serve, peers: Peers):
    serving = serve(streamer("one"), streamer("two"), queue("three"))
    assert list(serving.server.devices) == ["one", "two", "three"]
    assert all(one.started_at is not None for one in serving.server.devices.values())
    move(peers, serving, "one")
    move(peers, serving, "two", 20)
    serving.server.stop()
    assert serving.ended() is None
    assert not serving.server.ready
    counts = [one.snapshot().pumps[0].received for one in serving.server.devices.values()]
    assert counts == [10, 20, 0]


def test_nothing_is_left_of_a_start_in_which_one_device_cannot(serve, peers: Peers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serving = serve(streamer("good"), streamer("bad", frontend=f"tcp://127.0.0.1:{port}"), ready=False)
        outcome = serving.ended()
    assert isinstance(outcome, StartError)
    assert str(outcome) == f"cannot bind tcp://127.0.0.1:{port} (bad frontend): Address already in use"
    assert not any(one.device.started for one in serving.server.devices.values())


def test_a_stop_during_the_start_leaves_nothing(serve, monkeypatch):
    monkeypatch.setattr("geventrelay.components.endpoints.green_socket.getaddrinfo", lambda *_, **__: gevent.sleep(60))
    serving = serve(streamer("quick", frontend="ipc://*", backend="ipc://*"), streamer("slow"), ready=False)
    eventually(lambda: serving.server.devices["quick"].device.started, "one device to be up")
    serving.server.stop()
    assert serving.ended() is None
    assert not any(one.device.started for one in serving.server.devices.values())


def test_a_device_that_fails_is_started_again_and_counts_go_on(serve, peers: Peers, caplog):
    serving = serve(streamer("unlucky"), streamer("lucky"))
    lucky = serving.server.devices["lucky"].device
    unlucky = serving.server.devices["unlucky"]
    move(peers, serving, "unlucky")
    for count in (1, 2, 3):
        serving.fail("unlucky")
        eventually(lambda: serving.server.ready, "the device to be up again")
        assert unlucky.restarts == count
        assert "Socket operation on non-socket" in (unlucky.last_failure or "")
        assert unlucky.next_start_s is None
        move(peers, serving, "unlucky")
        (pump,) = unlucky.snapshot().pumps
        assert (pump.received, pump.outlets[0].sent, pump.received_parts) == (10 * (count + 1),) * 3
        assert pump.balanced
    assert serving.server.devices["lucky"].device is lucky
    assert serving.server.devices["lucky"].restarts == 0
    move(peers, serving, "lucky")


def test_what_a_failed_device_held_counts_as_dropped(serve, peers: Peers, caplog):
    serving = serve(streamer("unlucky"))
    unlucky = serving.server.devices["unlucky"]
    peers.connect(zmq.PUSH, serving.endpoint("unlucky", "frontend")).send(b"task")
    eventually(lambda: is_held_back(unlucky.device), "the task to be in hand")
    serving.fail("unlucky", "backend")
    eventually(lambda: serving.server.ready, "the device to be up again")
    (pump,) = unlucky.snapshot().pumps
    assert (pump.received, pump.held, pump.outlets[0].dropped) == (1, 0, {Drop.STOPPED: 1})


def test_a_restart_that_finds_its_port_taken_is_tried_again_until_it_is_free(serve, peers: Peers, caplog):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        serving = serve(streamer("unlucky", frontend=address), streamer("lucky"))
        supervised = serving.server.devices["unlucky"]
        # Long enough for somebody else to take the port.
        supervised._delays._first_s = 0.2
        serving.fail("unlucky")
        assert supervised.state is State.FAILED
        assert 0 < supervised.next_start_s <= 0.2
        holder.listen()
        supervised._delays._first_s = 0.001
        eventually(lambda: supervised.restarts >= 3, "three attempts")
        assert supervised.last_failure == f"cannot bind {address} (unlucky frontend): Address already in use"
        assert not serving.server.ready
        move(peers, serving, "lucky")
    eventually(lambda: serving.server.ready, "the device to be up again")
    move(peers, serving, "unlucky")


def test_with_fail_fast_a_failure_ends_the_server(serve, caplog):
    serving = serve(streamer("unlucky"), streamer("other"), fail_fast=True)
    break_down(serving.device("unlucky"), "frontend")
    outcome = serving.ended()
    assert isinstance(outcome, DeviceFailed)
    assert str(outcome).startswith("unlucky: ")
    assert serving.device("other").state is State.STOPPED


def test_what_was_stopped_on_request_stays_so_and_when_all_are_the_server_ends(serve):
    serving = serve(streamer("one"), queue("two"))
    serving.device("one").terminate()
    eventually(lambda: serving.device("one").state is State.STOPPED, "the device to end")
    let_run(20)
    assert serving.device("one").state is State.STOPPED
    assert serving.server.devices["one"].ended
    assert not serving.greenlet.ready()
    serving.device("two").stop()
    assert serving.ended() is None


def test_a_stop_ends_the_wait_for_the_next_start(serve, caplog):
    serving = serve(streamer("unlucky"), first_s=60, longest_s=60)
    serving.fail("unlucky")
    serving.server.stop()
    assert serving.ended(1) is None


def test_the_ready_file_has_every_device_and_follows_a_restart(serve, tmp_path, caplog):
    path = tmp_path / "ready.json"
    serving = serve(streamer("one"), queue("two"), ready_file=path)

    def read():
        return json.loads(path.read_text())

    assert set(read()) == {"pid", "devices"}
    assert read()["devices"] == {name: serving.device(name).endpoints for name in ("one", "two")}
    before = read()["devices"]
    serving.fail("one")
    eventually(lambda: serving.server.ready, "the device to be up again")
    assert read()["devices"]["one"] == serving.device("one").endpoints != before["one"]
    assert read()["devices"]["two"] == before["two"]
    serving.server.stop()
    assert serving.ended() is None
    assert not path.exists()


@pytest.mark.slow
def used_in_a_second() -> float:
    before = time.process_time()
    gevent.sleep(1)
    return time.process_time() - before


@pytest.mark.slow
def test_two_hundred_devices_start_quickly_and_idle_quietly(serve):
    kinds = [queue, streamer]
    devices = [kinds[number % 2](f"device-{number}") for number in range(100)]
    devices += [Forwarder(name=f"forwarder-{number}", frontend=LOCAL, backend=LOCAL) for number in range(50)]
    devices += [Relay(name=f"relay-{number}", sub=LOCAL, pub=LOCAL, push=LOCAL) for number in range(50)]
    used = time.process_time()
    serving = serve(*devices)
    # Processor time: the tests share the machine.
    assert time.process_time() - used < 2
    # The best of three seconds: whatever else this process does in one of them is not the devices'.
    assert min(used_in_a_second() for _ in range(3)) < 0.02
    serving.server.stop()
    assert serving.ended() is None


def test_devices_come_up_again_when_every_greenlet_is_killed(serve, peers: Peers, caplog):
    serving = serve(streamer("one"), queue("two"))
    one = serving.server.devices["one"]
    # The server itself runs in the main greenlet of its process, which nothing kills.
    others = [greenlet for greenlet in alive_greenlets() if greenlet is not serving.greenlet]
    gevent.killall(others)
    eventually(lambda: one.restarts == 1 and serving.server.ready, "the devices to be up again")
    assert one.last_failure == f"one: the greenlet of {'switch' if ZMTP else 'frontend'} was killed"
    move(peers, serving, "one")
    serving.fail("one")
    eventually(lambda: one.restarts == 2 and serving.server.ready, "the device to be up again")


def test_a_device_that_is_stopped_while_it_waits_has_ended(serve, caplog):
    serving = serve(streamer("unlucky"), streamer("other"), first_s=60, longest_s=60)
    serving.fail("unlucky")
    unlucky = serving.server.devices["unlucky"]
    unlucky.stop()
    assert unlucky.ended
    assert unlucky.next_start_s is None
    serving.server.devices["other"].stop()
    assert serving.ended() is None
