"""The files of ipc endpoints: what belongs to another program is never taken away, and what no program has is."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import gevent
import pytest

from geventrelay import Device, StartError, Streamer
from geventrelay.components.ipc_files import IpcFile
from geventrelay.testing import LOCAL

TYPES = ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET")
NO_USER = 65534


def at(path: str) -> Device:
    return Device(Streamer(frontend=f"ipc://{path}", backend=LOCAL))


@contextlib.contextmanager
def owned(path: str, kind: str) -> Iterator[None]:
    """Another program's socket, which can still be reached at the end."""
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as owner:
        owner.bind(path)
        if kind != "SOCK_DGRAM":
            owner.listen(2)
        yield
        with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as client:
            client.connect(path)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NO_USER)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("kind", TYPES)
def test_a_socket_of_another_program_is_refused_and_goes_on(tmp_path, kind):
    path = str(tmp_path / "sock")
    with owned(path, kind), pytest.raises(StartError, match=rf"^cannot bind ipc://{path} \(streamer frontend\): \S"):
        at(path).start()


@pytest.mark.parametrize("kind", TYPES)
def test_a_socket_that_we_may_not_connect_to_is_refused_and_goes_on(tmp_path, kind):
    path = str(tmp_path / "sock")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    with owned(path, kind):
        os.chmod(path, 0)
        with without_privileges(), pytest.raises(StartError, match=r"may not take \(Permission denied\)$"):
            at(path).start()
        os.chmod(path, 0o600)


@pytest.mark.parametrize("kind", TYPES)
def test_a_file_whose_socket_has_gone_is_replaced(tmp_path, kind):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as left_behind:
        left_behind.bind(path)
    with at(path) as device:
        assert device.endpoints["frontend"] == [f"ipc://{path}"]
    assert not os.path.lexists(path)


def test_a_folder_and_a_link_are_refused_and_stay(tmp_path):
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "sock"))
    (tmp_path / "link").symlink_to("sock")
    for name in ("folder", "link"):
        with pytest.raises(StartError, match=r"there is a file of that name which is not a socket$"):
            at(str(tmp_path / name)).start()
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "sock"]


def test_the_file_goes_also_where_the_end_of_the_socket_is_not_waited_for(tmp_path):
    for _ in range(10):
        device = Device(Streamer(frontend=[f"ipc://{tmp_path}/sock", "inproc://front"], backend=LOCAL))
        device.start()
        device.stop()
        assert os.listdir(tmp_path) == []


@pytest.fixture
def listening(tmp_path):
    """A listening socket, and its file as this process sees it."""
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        file = IpcFile(os.fsencode(path))
        yield listener, file
        file.leave()


def test_a_file_is_removed_when_its_listener_goes_a_moment_later(tmp_path, listening):
    listener, file = listening
    gevent.spawn_later(0.01, listener.close)
    file.remove(1)
    assert os.listdir(tmp_path) == []


def test_the_removal_of_a_file_goes_on_after_an_interruption(tmp_path, listening):
    listener, file = listening
    with gevent.Timeout(0.001, False):
        file.remove(1)
    assert os.listdir(tmp_path) == ["sock"]
    listener.close()
    file.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", TYPES)
def test_at_its_end_a_device_leaves_a_file_that_another_program_has_by_then(tmp_path, kind):
    path = str(tmp_path / "sock")
    device = at(path)
    device.start()
    os.unlink(path)
    with owned(path, kind):
        device.stop()
