"""CURVE keys in files: read as pyzmq writes them, written as pyzmq reads them, closed to others, never overwritten."""

from __future__ import annotations

import os

import pytest
import zmq
import zmq.auth
from hypothesis import example, given
from hypothesis import strategies as st
from zmq.utils import z85

from geventrelay import SettingsError, secret_files
from geventrelay.access import keys
from geventrelay.access.user_names import user_name

NAMES = st.text(min_size=1, max_size=70)


def is_name(text: str) -> bool:
    try:
        return user_name("name", text) == text
    except SettingsError:
        return False


@pytest.fixture
def pair():
    return keys.new_pair()


def refusal(call, *arguments) -> str:
    with pytest.raises(SettingsError) as caught:
        call("curve_secret", *arguments)
    return str(caught.value)


def test_a_pair_that_is_written_is_read_again_and_by_pyzmq_too(tmp_path, pair):
    public, secret = keys.write_pair("DIR", tmp_path / "new" / "folder", "alice", pair)
    assert (public.name, secret.name) == ("alice.key", "alice.key_secret")
    assert keys.read_pair("x", secret) == pair
    assert keys.read_public_key("x", public) == keys.read_public_key("x", str(public)) == pair.public
    assert keys.read_clients("x", public.parent) == {pair.public: "alice"}
    z85_public, z85_secret = z85.encode(pair.public), z85.encode(pair.secret)
    assert zmq.auth.load_certificate(public) == (z85_public, None)
    assert zmq.auth.load_certificate(secret) == (z85_public, z85_secret)


@pytest.mark.parametrize("metadata", [None, {"name": "Alice B."}, {"email": "a@example.com", "name": '"Alice B."'}])
def test_what_pyzmq_writes_is_read(tmp_path, metadata):
    _, secret = zmq.auth.create_certificates(tmp_path, "alice", metadata)
    os.chmod(secret, 0o600)
    z85_public, z85_secret = zmq.auth.load_certificate(secret)
    assert keys.read_pair("x", secret) == keys.KeyPair(z85.decode(z85_public), z85.decode(z85_secret))
    assert keys.read_clients("x", tmp_path) == {z85.decode(z85_public): "alice"}
    # A file with its own name for the user.
    (tmp_path / "alice.key").write_bytes((tmp_path / "alice.key_secret").read_bytes())
    assert keys.read_clients("x", tmp_path) == {z85.decode(z85_public): "Alice B." if metadata else "alice"}


def test_the_secret_file_is_closed_to_others_and_no_file_is_ever_overwritten(tmp_path, pair):
    public, secret = keys.write_pair("DIR", tmp_path, "alice", pair)
    assert secret.stat().st_mode & 0o777 == 0o600
    before = public.read_bytes(), secret.read_bytes()
    assert "never overwritten" in refusal(keys.write_pair, tmp_path, "alice", keys.new_pair())
    secret.rename(tmp_path / "other")
    assert "never overwritten" in refusal(keys.write_pair, tmp_path, "alice", keys.new_pair())
    assert not secret.exists()
    (tmp_path / "other").rename(secret)
    public.rename(tmp_path / "other")
    assert "never overwritten" in refusal(keys.write_pair, tmp_path, "alice", keys.new_pair())
    assert not public.exists()
    assert ((tmp_path / "other").read_bytes(), secret.read_bytes()) == before
    # Where a link leads nowhere, nothing is made there either, and no half of a pair stays.
    (tmp_path / "bob.key").symlink_to(tmp_path / "elsewhere")
    refusal(keys.write_pair, tmp_path, "bob", pair)
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "bob.key_secret").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_secret_file_that_others_can_read_or_write_is_refused(tmp_path, pair, mode):
    _, secret = keys.write_pair("DIR", tmp_path, "alice", pair)
    secret.chmod(mode)
    text = refusal(keys.read_pair, secret)
    assert text.startswith("curve_secret: expected a file that only its owner can read or write (chmod 600")
    assert z85.encode(pair.secret).decode() not in text


def test_a_file_of_root_may_be_read_by_the_group_that_root_gave_it_to(monkeypatch, tmp_path, pair):
    _, secret = keys.write_pair("DIR", tmp_path, "alice", pair)
    owner = secret.stat().st_uid
    monkeypatch.setattr(secret_files, "_ROOT", owner)
    monkeypatch.setattr(secret_files.os, "geteuid", lambda: owner + 1)
    secret.chmod(0o440)
    assert keys.read_pair("x", secret) == pair
    for mode in (0o460, 0o444):
        secret.chmod(mode)
        assert "only its owner" in refusal(keys.read_pair, secret)
    monkeypatch.setattr(secret_files, "_ROOT", owner + 2)
    secret.chmod(0o600)
    assert "belongs to the user of this process, or to root" in refusal(keys.read_pair, secret)


def test_keys_can_be_in_the_environment_and_are_in_no_error(monkeypatch, pair):
    monkeypatch.setenv("OWN", z85.encode(pair.secret).decode())
    monkeypatch.setenv("THEIRS", z85.encode(pair.public).decode())
    assert keys.read_pair("x", "env:OWN") == pair
    assert keys.read_public_key("x", "env:THEIRS") == pair.public
    monkeypatch.setenv("OWN", "hunter2")
    assert refusal(keys.read_pair, "env:OWN").endswith("got 'env:OWN'")
    assert "an environment variable with a key in it" in refusal(keys.read_public_key, "env:MISSING")
    # 85 ** 5 is more than 2 ** 32: not all that looks like a key is one.
    monkeypatch.setenv("OWN", "#" * 40)
    assert "40 characters in Z85" in refusal(keys.read_pair, "env:OWN")


def test_a_public_file_has_no_secret_and_a_missing_one_is_named(tmp_path, pair):
    public, _ = keys.write_pair("DIR", tmp_path, "alice", pair)
    public.chmod(0o600)
    assert "a secret-key" in refusal(keys.read_pair, public)
    # Where it is open to others, as it should be, the advice is not to close it.
    public.chmod(0o644)
    assert "a secret-key" in refusal(keys.read_pair, public)
    assert refusal(keys.read_pair, tmp_path / "none").endswith(f"got '{tmp_path}/none'")
    public.write_bytes(b"\xff\xfe")
    assert "text in UTF-8" in refusal(keys.read_public_key, public)


def test_a_file_with_halves_of_two_pairs_is_refused(tmp_path, pair):
    _, secret = keys.write_pair("DIR", tmp_path, "alice", pair)
    secret.write_text(secret.read_text().replace(z85.encode(pair.public).decode(), "a" * 40))
    assert "whose public-key belongs to its secret-key" in refusal(keys.read_pair, secret)
    secret.write_text("".join(line for line in secret.read_text().splitlines(True) if "public-key" not in line))
    assert keys.read_pair("curve_secret", secret) == pair


def test_a_folder_of_clients_gives_each_key_its_user(tmp_path, pair):
    other = keys.new_pair()
    folder = tmp_path / "clients"
    keys.write_pair("DIR", folder, "alice", pair)
    keys.write_pair("DIR", folder, "alice-of-may", other)
    text = (folder / "alice-of-may.key").read_text()
    (folder / "alice-of-may.key").write_text(text.replace('"alice-of-may"', '"alice"'))
    (folder / ".hidden.key").write_text("an editor's")
    (folder / "README").write_text("no key")
    assert keys.read_clients("x", folder) == {pair.public: "alice", other.public: "alice"}
    (folder / "bob.key").write_text(text.replace('"alice-of-may"', '"bob"'))
    assert "one user for each key" in refusal(keys.read_clients, folder)


def test_everything_that_is_wrong_with_a_folder_is_told_at_once(tmp_path, pair):
    assert keys.read_clients("x", tmp_path) == {}
    (tmp_path / "a.key").write_text("")
    (tmp_path / "b.key").mkdir()
    keys.write_pair("DIR", tmp_path, "c", pair)
    (tmp_path / "c.key").write_text((tmp_path / "c.key").read_text().replace('"c"', '"c:d"'))
    lines = refusal(keys.read_clients, tmp_path).splitlines()
    assert [line.rpartition("/")[2] for line in lines] == ["a.key'", "b.key'", "c.key'"]
    assert "a folder that can be read" in refusal(keys.read_clients, tmp_path / "missing")


@given(name=NAMES.filter(is_name))
@example('"a"')
@example("a = b # c")
def test_any_name_of_a_user_is_read_as_it_was_written(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("keys")
    pair = keys.KeyPair(b"p" * 32, b"s" * 32)
    (folder / "file.key").write_text(keys._text(name, pair, secret=False), encoding="utf-8")
    assert keys.read_clients("x", folder) == {pair.public: name}


@pytest.mark.parametrize("name", ["", " a", "a ", "a:b", "#a", "a\n", "é" * 128, "a\u202eb", None, 1, b"a"])
def test_what_cannot_be_a_users_name_is_refused(name):
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a/b", "..", "../b", ".a", "a\0"])
def test_no_file_is_made_elsewhere(tmp_path, pair, name):
    assert "a name that a file can have" in refusal(keys.write_pair, tmp_path, name, pair)
    assert not any(tmp_path.iterdir())


def test_a_fingerprint_is_short_plain_and_the_keys_own(pair):
    found = keys.fingerprint(pair.public)
    assert len(found) == 16 and int(found, 16) >= 0
    assert found == keys.fingerprint(bytes(pair.public)) != keys.fingerprint(pair.secret)
    assert repr(pair.secret) not in repr(pair)
