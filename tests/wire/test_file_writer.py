"""The file writer: everything reaches the disk in order, and the hub never waits for it."""

from __future__ import annotations

import errno
import os
import threading

import gevent
import pytest

from geventrelay.recording import file_writer
from geventrelay.recording.file_writer import FileWriter
from geventrelay.testing import eventually, let_run, within


@pytest.fixture
def file(tmp_path):
    """A file's path and a descriptor to write to it."""
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield path, descriptor
    os.close(descriptor)


def test_everything_is_written_in_order(file):
    path, descriptor = file
    with FileWriter(descriptor) as writer:
        for number in range(1000):
            writer.write(b"%d\n" % number)
            if number % 100 == 0:
                writer.wait_for_room()
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(1000))


def test_what_comes_is_written_without_waiting_for_more(file):
    path, descriptor = file
    with FileWriter(descriptor) as writer:
        writer.write(b"some")
        eventually(lambda: path.read_bytes() == b"some", "the bytes in the file")


def test_it_writes_and_syncs_elsewhere_than_on_the_hubs_thread(file, monkeypatch):
    calls = []
    for name in ("write", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(
            file_writer.os, name,
            lambda *arguments, name=name, real=real: calls.append((name, threading.get_ident())) or real(*arguments),
        )  # fmt: skip
    monkeypatch.setattr(file_writer, "SYNC_S", 0.01)
    _, descriptor = file
    with FileWriter(descriptor) as writer:
        writer.write(b"some")
        eventually(lambda: [name for name, _ in calls] == ["write", "fsync"], "a sync without a call")
        writer.write(b"more")
    assert [name for name, _ in calls] == ["write", "fsync"] * 2
    assert threading.get_ident() not in {thread for _, thread in calls}


def test_a_disk_that_is_slow_makes_who_writes_wait_and_loses_nothing():
    ours, theirs = os.pipe()
    total = 2 * file_writer.LIMIT_BYTES

    def produce():
        with FileWriter(theirs) as writer:
            for _ in range(total // 2**20):
                writer.write(b"x" * 2**20)
                writer.wait_for_room()
        os.close(theirs)

    producing = gevent.spawn(produce)
    let_run(50)
    assert not producing.dead
    read = 0
    with within("everything", 20):
        while piece := gevent.get_hub().threadpool.apply(os.read, (ours, 2**20)):
            read += len(piece)
        producing.get()
    os.close(ours)
    assert read == total


def test_a_disk_that_refuses_is_told_everywhere(file, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_writer.os, "write", refuse)
    writer = FileWriter(file[1])
    told = []
    writer.on_failure = lambda: told.append(True)
    writer.write(b"some")
    eventually(lambda: told, "the failure")
    for call in (lambda: writer.write(b"more"), writer.wait_for_room, writer.close):
        with pytest.raises(OSError, match="No space left"):
            call()


def test_what_cannot_be_synced_need_not_be():
    ours, theirs = os.pipe()
    with FileWriter(theirs) as writer:
        writer.write(b"some")
    assert os.read(ours, 10) == b"some"
    os.close(ours)
    os.close(theirs)
