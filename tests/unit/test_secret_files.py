"""Files with secrets, keys and rights: never half there, never changed by two at once, never waited for."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from geventrelay import secret_files
from geventrelay.access import keys, passwords
from geventrelay.access.rights_file import RightsFile
from geventrelay.errors import SettingsError, StartError

READERS = {
    "secret": lambda path: keys.read_pair("curve-secret", path),
    "public": lambda path: keys.read_public_key("curve-serverkey", path),
    "clients": lambda path: keys.read_clients("curve-clients", path.parent),
    "passwords": lambda path: passwords.read_passwords("plain-passwords", path),
    "rights": RightsFile,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for target in (tmp_path / "pipe", "/dev/zero", tmp_path):
        (tmp_path / "one.key").symlink_to(target)
        with pytest.raises((SettingsError, StartError), match="it is a pipe, a device, a socket or a folder"):
            READERS[reader](tmp_path / "one.key")
        (tmp_path / "one.key").unlink()


def names(folder) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def test_a_pair_is_whole_on_the_disk_before_it_has_its_names(monkeypatch, tmp_path):
    seen: list[list[str]] = []
    sync = os.fsync
    monkeypatch.setattr(secret_files.os, "fsync", lambda descriptor: (seen.append(names(tmp_path)), sync(descriptor)))
    pair = keys.new_pair()
    keys.write_pair("DIR", tmp_path, "alice", pair)
    assert seen == [[], [], ["alice.key", "alice.key_secret"]]
    assert keys.read_pair("x", tmp_path / "alice.key_secret") == pair
    assert keys.read_clients("x", tmp_path) == {pair.public: "alice"}
    assert sorted(os.listdir(tmp_path)) == ["alice.key", "alice.key_secret"]
    assert (tmp_path / "alice.key_secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", range(3))
def test_a_pair_that_is_interrupted_leaves_nothing(monkeypatch, tmp_path, step):
    steps = iter(range(3))

    def interrupted(descriptor):
        if next(steps) == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(secret_files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keys.write_pair("DIR", tmp_path, "alice", keys.new_pair())
    assert not os.listdir(tmp_path)


def test_a_file_system_without_links_will_do(monkeypatch, tmp_path):
    def without_links(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(secret_files.os, "link", without_links)
    pair = keys.new_pair()
    _, secret = keys.write_pair("DIR", tmp_path, "alice", pair)
    assert keys.read_pair("x", secret) == pair
    assert sorted(os.listdir(tmp_path)) == ["alice.key", "alice.key_secret"]
    with pytest.raises(SettingsError, match="never overwritten"):
        secret_files.create("x", secret_files.NewFile(secret, "another", secret=True))
    assert keys.read_pair("x", secret) == pair


def test_passwords_that_are_set_at_once_are_all_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(passwords, "_COST_LOG2", 1)
    users = [f"user{number}" for number in range(8)]
    all_are_there = threading.Barrier(len(users))

    def set_one(user):
        all_are_there.wait(30)
        passwords.set_password("FILE", tmp_path / "passwords", user, "secret")

    setters = [threading.Thread(target=set_one, args=[user]) for user in users]
    for one in setters:
        one.start()
    for one in setters:
        one.join(30)
    assert sorted(passwords.read_passwords("x", tmp_path / "passwords").users) == users
    assert os.listdir(tmp_path) == ["passwords"]
