"""A server that reads its configuration again: who goes on, who comes, who goes, and what an error does."""

from __future__ import annotations

import dataclasses
import logging
import socket

import gevent
import psutil
import pytest
import zmq
from support.engines import is_held_back
from support.serving import serve

from geventrelay import Forwarder, Queue, Relay, StartError, State, Streamer
from geventrelay.errors import SettingsError
from geventrelay.server.reload import ReloadResult
from geventrelay.testing import LOCAL, Peers, eventually, fence, let_run, within

__all__ = ["serve"]

MISTAKE = SettingsError("device.one.sndhwm", "an integer from 0 to 2147483647", -1)


def queue(name: str, **settings) -> Queue:
    return Queue(name=name, **{"frontend": LOCAL, "backend": LOCAL, **settings})


def streamer(name: str, **settings) -> Streamer:
    return Streamer(name=name, **{"frontend": LOCAL, "backend": LOCAL, **settings})


class Load:
    """Clients and workers of a queue that never pause."""

    def __init__(self, peers: Peers, frontend: str, backend: str, clients: int = 4) -> None:
        self.clients = [peers.connect(zmq.REQ, frontend) for _ in range(clients)]
        self.workers = [peers.connect(zmq.REP, backend) for _ in range(2)]
        self.done = 0
        self.over = False
        self._greenlets = [gevent.spawn(self._ask, one) for one in self.clients]
        self._answering = [gevent.spawn(self._answer, one) for one in self.workers]

    def _ask(self, client) -> None:
        number = 0
        while not self.over:
            number += 1
            client.send(b"%d" % number)
            assert client.recv() == [b"%d" % number]
            self.done += 1

    def _answer(self, worker) -> None:
        while True:
            worker.send(*worker.recv(within_s=60))

    def stop(self) -> None:
        """Let every request under way have its reply; fails if one did not."""
        self.over = True
        with within("the last replies"):
            gevent.joinall(self._greenlets, raise_error=True)
        gevent.killall(self._answering)


def connections(port: int) -> set[tuple[int, int]]:
    """The TCP connections to a port of this process, by their ends."""
    every = psutil.Process().net_connections("tcp")
    return {(one.laddr.port, one.raddr.port) for one in every if one.laddr.port == port and one.raddr}


def port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


@pytest.mark.slow
def test_unchanged_devices_lose_nothing_through_twenty_reloads_under_load(serve, peers: Peers):
    kept = queue("kept")
    serving = serve(kept, streamer("other"))
    ends = [serving.endpoint("kept", key) for key in ("frontend", "backend")]
    device = serving.device("kept")
    load = Load(peers, *ends)
    eventually(lambda: load.done > 100, "requests to flow")
    before = {one: connections(port(one)) for one in ends}
    assert [len(before[one]) for one in ends] == [4, 2]
    for number in range(20):
        done = load.done
        others = [streamer(f"other-{number}"), queue("changing", sndhwm=10, heartbeat_ms=1000 + number)]
        result = serving.reload(others[0], kept, others[1])
        assert result.unchanged == ("kept",)
        eventually(lambda done=done: load.done > done + 20, "requests to flow on")
    assert {one: connections(port(one)) for one in ends} == before
    assert not any(peer.saw(zmq.EVENT_DISCONNECTED) for peer in (*load.clients, *load.workers))
    load.stop()
    assert serving.device("kept") is device
    assert serving.server.devices["kept"].restarts == 0
    requests, replies = serving.server.devices["kept"].snapshot().pumps
    assert requests.received == replies.received == replies.outlets[0].sent == load.done


def test_added_ones_start_removed_ones_go_and_the_rest_stays(serve, peers: Peers):
    stays, goes = streamer("stays"), streamer("goes")
    serving = serve(stays, goes)
    device, gone = serving.device("stays"), serving.device("goes")
    result = serving.reload(streamer("comes"), stays)
    assert result == ReloadResult(unchanged=("stays",), added=("comes",), removed=("goes",))
    assert list(serving.server.devices) == ["comes", "stays"]
    assert serving.device("comes").started
    assert serving.device("stays") is device
    assert gone.state is State.STOPPED


def test_a_removed_device_drains(serve, peers: Peers):
    stays = streamer("stays")
    serving = serve(stays, streamer("goes", drain_s=10))
    gone = serving.device("goes")
    source = peers.connect(zmq.PUSH, serving.endpoint("goes", "frontend"))
    for number in range(100):
        source.send(b"%d" % number)
    # The end of a connection comes after all that was sent on it: then all 100 are in the device, none in the sender.
    source.close(linger_ms=-1)
    there = lambda: gone.peers()["frontend"]  # noqa: E731
    eventually(lambda: there().disconnected_total or not there().certain, "all tasks to be in the device")
    backend = serving.endpoint("goes", "backend")
    serving.configured = dataclasses.replace(serving.server.settings, devices=(stays,))
    reloading = gevent.spawn(serving.server.reload)
    eventually(lambda: gone.state is State.STOPPING, "the drain")
    assert len(peers.connect(zmq.PULL, backend).recv_all(100)) == 100
    with within("the reload"):
        assert reloading.get().removed == ("goes",)


def test_a_changed_device_binds_the_same_address_again_and_counts_go_on(serve, peers: Peers):
    serving = serve(streamer("one"))
    ends = {key: serving.endpoint("one", key) for key in ("frontend", "backend")}
    serving.reload(streamer("one", **ends))
    source, sink = peers.connect(zmq.PUSH, ends["frontend"]), peers.connect(zmq.PULL, ends["backend"])
    source.send(b"before")
    assert sink.recv() == [b"before"]
    result = serving.reload(streamer("one", **ends, max_message_size_bytes=100_000))
    assert result.changed == ("one",)
    assert serving.server.ready
    assert serving.endpoint("one", "frontend") == ends["frontend"]
    peers.connect(zmq.PUSH, ends["frontend"]).send(b"after")
    assert peers.connect(zmq.PULL, ends["backend"]).recv() == [b"after"]
    (pump,) = serving.server.devices["one"].snapshot().pumps
    assert (pump.received, pump.outlets[0].sent) == (2, 2)
    assert serving.server.devices["one"].restarts == 0, "nothing has failed"


def test_a_device_that_gets_another_engine_is_a_changed_one(serve):
    def forwarder(**settings):
        return Forwarder(name="one", frontend=LOCAL, backend=LOCAL, **settings)

    serving = serve(forwarder(engine="libzmq"))
    for settings, engine in (
        ({"engine": "zmtp"}, "zmtp"),
        ({"engine": "libzmq"}, "libzmq"),
        ({"slow_subscriber": "disconnect"}, "zmtp"),
    ):
        assert serving.reload(forwarder(**settings)).changed == ("one",)
        assert (serving.device("one").engine, serving.device("one").state) == (engine, State.RUNNING)


def test_two_devices_can_swap_their_addresses(serve):
    serving = serve(streamer("one"), streamer("two"))
    first, second = (serving.endpoint(name, "frontend") for name in ("one", "two"))
    serving.reload(streamer("one", frontend=first), streamer("two", frontend=second))
    serving.reload(streamer("one", frontend=second), streamer("two", frontend=first))
    assert [serving.endpoint(name, "frontend") for name in ("one", "two")] == [second, first]
    assert all(one.restarts == 0 for one in serving.server.devices.values())


def test_a_paused_device_is_paused_after_its_change(serve):
    serving = serve(streamer("one"))
    serving.device("one").pause()
    serving.reload(streamer("one", heartbeat_ms=0))
    assert serving.device("one").state is State.PAUSED


@pytest.mark.parametrize("pattern", ["relay", "forwarder"])
def test_subscriptions_change_without_a_restart(serve, peers: Peers, pattern):
    def device(*prefixes: str):
        if pattern == "relay":
            return Relay(name="one", sub=LOCAL, pub=LOCAL, subscribe=prefixes)
        return Forwarder(name="one", frontend=LOCAL, backend=LOCAL, subscribe=prefixes)

    source, sink = ("sub", "pub") if pattern == "relay" else ("frontend", "backend")
    serving = serve(device("a", "b", "~"))
    publisher = peers.make(zmq.XPUB)
    publisher.connect(serving.endpoint("one", source))
    assert sorted(one[0] for one in publisher.recv_all(3)) == [b"\x01a", b"\x01b", b"\x01~"]
    subscriber = peers.connect(zmq.SUB, serving.endpoint("one", sink), subscribe=b"")
    running = serving.device("one")
    assert serving.reload(device("b", "c", "~")).adjusted == ("one",)
    assert sorted(one[0] for one in publisher.recv_all(2)) == [b"\x00a", b"\x01c"]
    assert serving.device("one") is running
    assert not publisher.saw(zmq.EVENT_DISCONNECTED)
    assert fence(publisher, subscriber, prefix=b"~") == []
    for topic in (b"a", b"b", b"c"):
        publisher.send(topic)
    assert subscriber.recv_all(2) == [[b"b"], [b"c"]]


def test_drain_and_linger_are_taken_while_running(serve, peers: Peers):
    serving = serve(streamer("one", drain_s=60, linger_ms=60_000))
    running = serving.device("one")
    peers.connect(zmq.PUSH, serving.endpoint("one", "frontend")).send(b"for nobody")
    eventually(lambda: is_held_back(running), "the task to be in hand")
    assert serving.reload(streamer("one", drain_s=0, linger_ms=0)).adjusted == ("one",)
    assert serving.device("one") is running
    serving.server.stop()
    assert serving.ended(1) is None


def test_an_error_changes_nothing_and_is_told(serve, caplog):
    serving = serve(streamer("one"))
    running, settings = serving.device("one"), serving.server.settings
    serving.configured = MISTAKE
    with caplog.at_level(logging.ERROR, "geventrelay"), pytest.raises(SettingsError, match="sndhwm"):
        serving.server.reload()
    assert "reload-failed" in caplog.text
    assert "device.one.sndhwm" in caplog.text
    assert (serving.device("one"), serving.server.settings) == (running, settings)
    assert serving.reload(streamer("one")).unchanged == ("one",)


def test_without_a_configuration_there_is_nothing_to_reload(serve):
    serving = serve(streamer("one"))
    serving.server._load = None
    with pytest.raises(StartError, match="without a configuration file"):
        serving.server.reload()


def test_a_reload_during_a_reload_waits_for_it_and_reads_anew(serve, peers: Peers):
    serving = serve(streamer("one", drain_s=10))
    peers.connect(zmq.PUSH, serving.endpoint("one", "frontend")).send(b"for nobody")
    eventually(lambda: is_held_back(serving.device("one")), "the task to be in hand")
    backend = serving.endpoint("one", "backend")
    serving.configured = dataclasses.replace(serving.server.settings, devices=(streamer("two"),))
    first = gevent.spawn(serving.server.reload)
    eventually(lambda: serving.device("one").state is State.STOPPING, "the drain")
    second = gevent.spawn(serving.server.reload)
    let_run()
    assert serving.loads == 1
    serving.configured = dataclasses.replace(serving.server.settings, devices=(streamer("two"), streamer("three")))
    peers.connect(zmq.PULL, backend).recv()
    with within("both"):
        assert first.get() == ReloadResult(added=("two",), removed=("one",))
        assert second.get() == ReloadResult(unchanged=("two",), added=("three",))


def test_a_stop_during_a_reload_leaves_nothing(serve, peers: Peers):
    serving = serve(streamer("one", drain_s=0.2, linger_ms=0))
    peers.connect(zmq.PUSH, serving.endpoint("one", "frontend")).send(b"for nobody")
    eventually(lambda: is_held_back(serving.device("one")), "the task to be in hand")
    serving.configured = dataclasses.replace(
        serving.server.settings, devices=(streamer("one", heartbeat_ms=0), streamer("two"))
    )
    reloading = gevent.spawn(serving.server.reload)
    eventually(lambda: serving.device("one").state is State.STOPPING, "the drain")
    serving.server.stop()
    assert serving.ended(2) is None
    with pytest.raises(StartError, match="is stopping"):
        reloading.get()
    assert not any(one.device.started for one in serving.server.devices.values())
    with pytest.raises(StartError, match="is stopping"):
        serving.server.reload()


def test_a_device_that_waits_for_its_next_start(serve, caplog):
    one, two, three, four = (streamer(name) for name in ("same", "changed", "removed", "adjusted"))
    serving = serve(one, two, three, four, first_s=60, longest_s=60)
    for name in serving.server.devices:
        serving.fail(name)
    waiting = serving.server.devices["same"].next_start_s
    result = serving.reload(one, streamer("changed", heartbeat_ms=0), streamer("adjusted", drain_s=0.5))
    assert result == ReloadResult(("same",), (), ("removed",), ("changed",), ("adjusted",))
    devices = serving.server.devices
    assert devices["same"].state is State.FAILED
    assert 0 < devices["same"].next_start_s <= waiting
    assert devices["changed"].state is State.RUNNING
    assert devices["adjusted"].state is State.FAILED
    assert devices["adjusted"].settings.drain_s == 0.5


def test_an_added_device_that_cannot_start_is_tried_again(serve, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        serving = serve(streamer("one"))
        assert serving.reload(streamer("one"), streamer("late", frontend=address)).added == ("late",)
        assert serving.server.devices["late"].last_failure.endswith("Address already in use")
        assert not serving.server.ready
    eventually(lambda: serving.server.ready, "the device to be up")
    assert serving.endpoint("late", "frontend") == address


def test_what_was_stopped_on_request_stays_so_unless_it_changes(serve):
    serving = serve(streamer("one"), streamer("two"))
    serving.device("two").stop()
    eventually(lambda: serving.server.devices["two"].ended, "the end")
    serving.reload(streamer("one"), streamer("two"))
    assert serving.device("two").state is State.STOPPED
    serving.reload(streamer("one"), streamer("two", heartbeat_ms=0))
    assert serving.device("two").state is State.RUNNING


def test_a_reload_that_leaves_only_stopped_devices_ends_the_server(serve):
    serving = serve(streamer("one"), streamer("two"))
    serving.device("two").stop()
    serving.reload(streamer("two"))
    assert serving.ended() is None


def test_options_of_the_process_are_taken_or_warned_of(serve, tmp_path, caplog):
    serving = serve(streamer("one"))
    with caplog.at_level(logging.WARNING, "geventrelay"):
        serving.reload(streamer("one"), fail_fast=True, ready_file=tmp_path / "ready")
    assert "needs-a-restart option=ready_file" in caplog.text
    assert serving.server.settings.fail_fast
    assert serving.server.settings.ready_file is None
    assert not (tmp_path / "ready").exists()


CONTROLS = {"REP": zmq.REQ, "PAIR": zmq.PAIR, "ROUTER": zmq.DEALER, "PULL": zmq.PUSH, "SUB": zmq.XPUB}


@pytest.mark.parametrize("kind", CONTROLS)
def test_reload_by_control_socket(serve, peers: Peers, kind):
    one = streamer("one", control=LOCAL, control_type=kind)
    serving = serve(one)
    peer = peers.connect(CONTROLS[kind], serving.endpoint("one", "control"))
    if kind == "SUB":
        assert peer.recv() == [b"\x01"]
    serving.configured = dataclasses.replace(serving.server.settings, devices=(one, streamer("two")))
    peer.send(b"RELOAD")
    if kind == "REP":
        assert peer.recv() == [b""]
        assert serving.server.ready
    eventually(lambda: "two" in serving.server.devices and serving.server.ready, "the reload")


def test_a_reload_by_control_socket_that_fails_is_answered_with_the_reason(serve, peers: Peers, caplog):
    serving = serve(streamer("one", control=LOCAL))
    serving.configured = MISTAKE
    peer = peers.connect(zmq.REQ, serving.endpoint("one", "control"))
    peer.send(b"RELOAD")
    assert peer.recv() == [str(MISTAKE).encode()]
    peer.send(b"PAUSE")
    assert peer.recv() == [b""]


def test_a_reload_that_restarts_the_device_it_came_through_is_answered(serve, peers: Peers):
    serving = serve(streamer("one", control=LOCAL))
    peer = peers.connect(zmq.REQ, serving.endpoint("one", "control"))
    before = serving.device("one")
    serving.configured = dataclasses.replace(
        serving.server.settings, devices=(streamer("one", control=LOCAL, heartbeat_ms=0),)
    )
    peer.send(b"RELOAD")
    assert peer.recv() == [b""]
    eventually(lambda: serving.device("one") is not before and serving.server.ready, "the device to be up again")
