"""A disk that stalls: what is connected goes on, and only what needs a file waits."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import zmq
from support.serving import serve

from geventrelay import Device, Streamer
from geventrelay.access import component, rights_file
from geventrelay.access.disk import in_thread
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.engine.fork import fork_count
from geventrelay.errors import SettingsError
from geventrelay.testing import LOCAL, Peers, eventually

__all__ = ["serve"]

SIDES = {"frontend": LOCAL, "backend": LOCAL}
ENGINES = pytest.mark.parametrize("engine", ["zmtp", "libzmq"])
SERVER, ALICE = new_pair(), new_pair()
SHOWN = {"curve_publickey": ALICE.public, "curve_secretkey": ALICE.secret, "curve_serverkey": SERVER.public}


class Stalled:
    """In the place of what reads files: `read` goes on once `release` was called."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self._released = threading.Event()
        self.release = self._released.set

    def of(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def slowly(*arguments: Any) -> Any:
            self.waits.set()
            assert self.wait()
            return read(*arguments)

        return slowly

    def after(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """The same, with what was there before."""

        def slowly(*arguments: Any) -> Any:
            found = read(*arguments)
            self.waits.set()
            assert self.wait()
            return found

        return slowly

    def wait(self) -> bool:
        """Wait for `release`; whether it came. It blocks, as a disk does."""
        return self._released.wait(60)


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    disk = Stalled()
    yield disk
    disk.release()


@pytest.fixture
def keys(tmp_path):
    write_pair("x", tmp_path, "server", SERVER)
    write_pair("x", tmp_path / "clients", "alice", ALICE)
    return {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}


def refused(peers: Peers, device: Device) -> dict[str, int]:
    """Why alice is refused, by reason; nothing if she is let in."""
    frontend = device.endpoints["frontend"]
    before = device.peers()["frontend"].connected_total
    peers.connect(zmq.PUSH, *frontend, wait=False, **SHOWN)
    eventually(
        lambda: device.peers()["frontend"].denied or device.peers()["frontend"].connected_total > before, "an answer"
    )
    return dict(device.peers()["frontend"].denied)


@ENGINES
def test_only_new_peers_wait_for_the_file_of_rights(relay_device, peers, monkeypatch, tmp_path, stalled, engine):
    path = tmp_path / "rights.toml"
    path.write_text('[others]\npublish = [""]\nwork = true\n')
    device = relay_device(Streamer(**SIDES, engine=engine, rights=path))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    monkeypatch.setattr(rights_file, "file_state", stalled.of(rights_file.file_state))
    path.write_text('[others]\npublish = ["a"]\nwork = true\n')
    late = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False)
    eventually(stalled.waits.is_set, "the new peer to wait for the disk")
    sender.send(b"b")
    assert worker.recv() == [b"b"]
    stalled.release()
    late.send(b"b")
    late.send(b"a")
    # It has the rights that were read after it came.
    assert worker.recv() == [b"a"]


def test_a_reload_that_waits_for_keys_holds_no_message_up(relay_device, peers, monkeypatch, keys, stalled):
    device = relay_device(Streamer(**SIDES, **keys))
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **SHOWN)
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **SHOWN)
    monkeypatch.setattr(component, "read", stalled.of(component.read))
    reload = gevent.spawn(device.adjust, device.settings)
    eventually(stalled.waits.is_set, "the reload to wait for the disk")
    sender.send(b"a")
    assert worker.recv() == [b"a"]
    assert not reload.ready()
    stalled.release()
    reload.get(timeout=30)


@ENGINES
def test_a_device_that_starts_during_a_reload_has_what_is_there_when_that_is_done(
    serve, peers, monkeypatch, keys, stalled, engine
):
    settings = Streamer(**SIDES, **keys, engine=engine, name="one")
    serving = serve(settings)
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.after(component.read))
        serving.fail("one")
        eventually(stalled.waits.is_set, "the next start to wait for the disk")
    (keys["curve_clients"] / "alice.key").unlink()
    reload = gevent.spawn(serving.reload, settings)
    gevent.idle()
    stalled.release()
    assert reload.get(timeout=30).unchanged == ("one",)
    eventually(lambda: serving.server.ready, "the device to be up")
    assert refused(peers, serving.device("one")) == {"unknown_key": 1}


def test_a_reload_fails_where_a_device_that_starts_meanwhile_cannot_read_what_it_needs(
    serve, monkeypatch, keys, stalled
):
    # The start reads them once, and then is through.
    settings = Streamer(**SIDES, socket_access={"frontend": keys}, name="one")
    serving = serve(settings)
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.after(component.read))
        serving.fail("one")
        eventually(stalled.waits.is_set, "the next start to wait for the disk")
    (keys["curve_clients"] / "bad.key").write_text("nonsense")
    reload = gevent.spawn(serving.reload, settings)
    gevent.idle()
    stalled.release()
    reload.join(timeout=30)
    assert isinstance(reload.exception, SettingsError)


def test_a_start_that_waits_for_the_disk_holds_up_the_end_of_a_reload_alone(serve, peers, monkeypatch, keys, stalled):
    settings = [Streamer(**SIDES, **keys, name=name) for name in ("one", "two")]
    serving = serve(*settings)
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.of(component.read))
        serving.fail("one")
        eventually(stalled.waits.is_set, "the next start to wait for the disk")
    (keys["curve_clients"] / "alice.key").unlink()
    reload = gevent.spawn(serving.server.reload)
    device = serving.device("two")
    eventually(lambda: "unknown_key" in refused(peers, device), "the other device to have what was read")
    assert not reload.ready()
    # Nor does it hold up a stop.
    serving.server.stop()
    assert serving.ended(30) is None
    reload.join(timeout=30)
    assert "is stopping" in str(reload.exception)


@ENGINES
def test_a_device_that_fails_and_starts_during_a_reload_has_its_settings(
    serve, peers, monkeypatch, keys, stalled, engine
):
    settings = Streamer(**SIDES, **keys, engine=engine, name="one")
    serving = serve(settings)
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.of(component.read))
        reload = gevent.spawn(serving.reload, dataclasses.replace(settings, deny=["127.0.0.0/8"]))
        eventually(stalled.waits.is_set, "the reload to wait for the disk")
    former = serving.device("one")
    serving.fail("one")
    eventually(lambda: serving.device("one") is not former and serving.device("one").started, "the next start")
    stalled.release()
    assert reload.get(timeout=30).adjusted == ("one",)
    assert refused(peers, serving.device("one")) == {"address": 1}


@ENGINES
def test_settings_that_come_while_a_device_starts_count_when_both_are_done(
    relay_device, peers, monkeypatch, keys, stalled, engine
):
    device = Device(Streamer(**SIDES, **keys, engine=engine), watch_peers=True)
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.after(component.read))
        start = gevent.spawn(device.start)
        eventually(stalled.waits.is_set, "the start to wait for the disk")
    adjust = gevent.spawn(device.adjust, dataclasses.replace(device.settings, deny=["127.0.0.0/8"]))
    gevent.idle()
    stalled.release()
    gevent.joinall([start, adjust], timeout=30, raise_error=True)
    try:
        assert refused(peers, device) == {"address": 1}
    finally:
        device.stop()


def test_what_was_read_earlier_takes_the_place_of_nothing_later(relay_device, peers, monkeypatch, keys, stalled):
    device = relay_device(Streamer(**SIDES, **keys, engine="zmtp"))
    with monkeypatch.context() as slow:
        slow.setattr(component, "read", stalled.after(component.read))
        early = gevent.spawn(device.adjust, device.settings)
        eventually(stalled.waits.is_set, "it to wait for the disk")
    (keys["curve_clients"] / "alice.key").unlink()
    device.adjust(device.settings)
    stalled.release()
    early.get(timeout=30)
    assert refused(peers, device) == {"unknown_key": 1}


def test_readers_that_give_up_leave_no_more_than_two_threads_behind(stalled):
    pool = gevent.get_hub().threadpool
    tasks, read = len(pool), stalled.of(len)
    for _ in range(pool.maxsize):
        reader = gevent.spawn(in_thread, read, "ab")
        gevent.idle()
        reader.kill()
    # Names and passwords need threads too.
    assert len(pool) == tasks + 2
    late = gevent.spawn(in_thread, read, "abc")
    stalled.release()
    assert late.get(timeout=30) == 3


def test_a_forked_child_waits_for_no_thread_of_its_parent(stalled, monkeypatch):
    readers = [gevent.spawn(in_thread, stalled.of(len), "ab") for _ in range(2)]
    gevent.idle()
    with monkeypatch.context() as child:
        child.setattr(fork_count, "number", fork_count.number + 1)
        assert gevent.spawn(in_thread, len, "ab").get(timeout=30) == 2
    stalled.release()
    gevent.joinall(readers, timeout=30, raise_error=True)


@pytest.mark.parametrize("error", [None, OSError("no such disk")])
def test_a_thread_that_has_ended_gives_its_place_back(error):
    def read() -> str:
        if error is not None:
            raise error
        return "read"

    for _ in range(10):
        if error is None:
            assert in_thread(read) == "read"
        else:
            with pytest.raises(OSError, match="no such disk"):
                in_thread(read)
