"""Passwords in a file: checked at one cost, closed to others, changed whole or not at all."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import SettingsError
from geventrelay.access import passwords
from geventrelay.access.passwords import Hashed, Passwords, read_passwords, set_password


@pytest.fixture
def path(tmp_path):
    return tmp_path / "passwords"


@pytest.fixture
def cheap(monkeypatch):
    """As cheap as scrypt can be, for tests that ask for many."""
    monkeypatch.setattr(passwords, "_COST_LOG2", 1)


def refusal(call, *arguments) -> str:
    with pytest.raises(SettingsError) as caught:
        call("plain_passwords", *arguments)
    return str(caught.value)


def test_a_password_that_was_set_is_right_and_no_other(path):
    assert set_password("FILE", path, "alice", "correct horse") is False
    assert path.stat().st_mode & 0o777 == 0o600
    users = read_passwords("x", path)
    assert users.check("alice", "correct horse")
    assert not users.check("alice", "correct horse ")
    assert not users.check("bob", "correct horse")
    assert (users.knows("alice"), users.knows("bob")) == (True, False)
    assert "correct horse" not in path.read_text() + repr(users)


def test_a_user_who_is_not_there_costs_what_one_who_is_costs(monkeypatch, path):
    asked = []

    def scrypt(password, **cost):
        asked.append({key: value for key, value in cost.items() if key != "salt"} | {"salt": len(cost["salt"])})
        return bytes(cost["dklen"])

    users = Passwords({"alice": Hashed(b"s" * 16, b"d" * 32)})
    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    # What stands for a user who is not there is no password that could be found.
    assert not users.check("alice", "x") and not users.check("bob", "x")
    assert asked[0] == asked[1] == {"n": 16384, "r": 8, "p": 1, "dklen": 32, "maxmem": 64 << 20, "salt": 16}


def test_only_one_line_changes_and_the_file_stays_what_it_was(path, cheap):
    set_password("FILE", path, "alice", "a")
    path.write_text("# users\n\n" + path.read_text())
    path.chmod(0o400)
    before = path.read_text()
    assert set_password("FILE", path, "bob", "b") is False
    assert path.read_text().startswith(before)
    assert set_password("FILE", path, "alice", "c") is True
    lines = path.read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["# users", "", "bob", "alice"]
    assert path.stat().st_mode & 0o777 == 0o400
    users = read_passwords("x", path)
    assert users.check("alice", "c") and users.check("bob", "b") and not users.check("alice", "a")
    assert os.listdir(path.parent) == ["passwords"]


def test_a_link_to_the_file_stays_a_link(path, cheap):
    set_password("FILE", path, "alice", "a")
    link = path.with_name("link")
    link.symlink_to(path)
    set_password("FILE", link, "bob", "b")
    assert link.is_symlink()
    assert set(read_passwords("x", path).users) == {"alice", "bob"}


def test_a_file_that_cannot_be_replaced_is_left_as_it_was(monkeypatch, path, cheap):
    set_password("FILE", path, "alice", "a")
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refusal(set_password, path, "bob", "b")
    assert path.read_bytes() == before and os.listdir(path.parent) == ["passwords"]


@pytest.mark.parametrize("line", [
    "alice:secret", "alice", "alice:$scrypt$ln=10,r=8,p=1$AAAA$AAAA", "alice:$scrypt$ln=14,r=8,p=1$AAAA$AAAA",
    "alice:$scrypt$ln=14,r=8,p=1$!$!", ":$scrypt$ln=14,r=8,p=1$" + "A" * 22 + "==$" + "A" * 43 + "=",
])  # fmt: skip
def test_a_line_of_another_form_is_named_and_not_shown(path, line):
    path.write_text(f"# users\n{line}\nbob:hunter2\n")
    path.chmod(0o600)
    text = refusal(read_passwords, path)
    assert [one.rpartition(":")[2] for one in text.splitlines()] == ["2'", "3'"]
    assert "secret" not in text.replace("plain_passwords", "") and "hunter2" not in text


def test_two_lines_of_one_user_are_refused(path, cheap):
    set_password("FILE", path, "alice", "a")
    path.write_text(path.read_text() * 2)
    assert "one line for each user ('alice' has two)" in refusal(read_passwords, path)


def test_a_file_that_others_can_read_is_refused_to_read_and_to_write(path, cheap):
    set_password("FILE", path, "alice", "a")
    path.chmod(0o644)
    assert "only its owner" in refusal(read_passwords, path)
    assert "only its owner" in refusal(set_password, path, "bob", "b")


def test_a_password_that_no_handshake_can_carry_is_refused_and_not_shown(path):
    for password in ("", "x" * 256, "é" * 128):
        assert refusal(set_password, path, "alice", password).endswith("1 to 255 bytes, got another length")
    assert not path.exists()


@given(password=st.text(st.characters(), max_size=20), other=st.text(st.characters(), max_size=20))
def test_any_text_can_be_asked_for(cheap, password, other):
    kept = Hashed.of("x", b"salt" * 4)
    users = Passwords({"alice": kept})
    assert users.check("alice", password) is (password == "x")
    assert not users.check(other, password) or (other, password) == ("alice", "x")
