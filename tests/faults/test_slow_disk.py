"""A disk that stalls: what is connected goes on, and only what needs a file waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import zmq

from geventrelay import Streamer
from geventrelay.access import component, rights_file
from geventrelay.access.disk import in_thread
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.engine.fork import fork_count
from geventrelay.testing import LOCAL, eventually

SIDES = {"frontend": LOCAL, "backend": LOCAL}


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

    def wait(self) -> bool:
        """Wait for `release`; whether it came. It blocks, as a disk does."""
        return self._released.wait(60)


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    disk = Stalled()
    yield disk
    disk.release()


@pytest.mark.parametrize("engine", ["zmtp", "libzmq"])
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


def test_a_reload_that_waits_for_keys_holds_no_message_up(relay_device, peers, monkeypatch, tmp_path, stalled):
    server, alice = new_pair(), new_pair()
    write_pair("x", tmp_path, "server", server)
    write_pair("x", tmp_path / "clients", "alice", alice)
    device = relay_device(
        Streamer(**SIDES, curve_secret=tmp_path / "server.key_secret", curve_clients=tmp_path / "clients")
    )
    shown = {"curve_publickey": alice.public, "curve_secretkey": alice.secret, "curve_serverkey": server.public}
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **shown)
    sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shown)
    monkeypatch.setattr(component, "read", stalled.of(component.read))
    reload = gevent.spawn(device.adjust, device.settings)
    eventually(stalled.waits.is_set, "the reload to wait for the disk")
    sender.send(b"a")
    assert worker.recv() == [b"a"]
    assert not reload.ready()
    stalled.release()
    reload.get(timeout=30)


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
