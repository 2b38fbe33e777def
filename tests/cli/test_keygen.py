"""geventrelay keygen and passwd, as a user types them."""

from __future__ import annotations

import os
import pty

import pytest
import zmq.auth
from support.process import GEVENTRELAY
from zmq.utils import z85

from geventrelay.access.keys import fingerprint
from geventrelay.access.passwords import read_passwords


def line_of(program, code):
    assert program.wait() == code, program.report()
    (line,) = (program.errors or program.output).splitlines()
    return line


def test_keygen_makes_files_that_pyzmq_reads_and_overwrites_none(run, folder):
    program = run([*GEVENTRELAY, "keygen", "keys", "--name", "alice"])
    assert program.wait() == 0, program.report()
    public, secret = folder / "keys" / "alice.key", folder / "keys" / "alice.key_secret"
    key, _ = zmq.auth.load_certificate(public)
    assert zmq.auth.load_certificate(secret)[0] == key
    assert secret.stat().st_mode & 0o777 == 0o600
    assert fingerprint(z85.decode(key)) in program.output
    assert all(path in program.output for path in ("keys/alice.key,", "keys/alice.key_secret\n"))
    assert zmq.auth.load_certificate(secret)[1].decode() not in program.output
    before = secret.read_bytes()
    again = line_of(run([*GEVENTRELAY, "keygen", "keys", "--name", "alice"]), 2)
    assert again == "DIR: expected no such file there: a key is never overwritten, got 'keys/alice.key'"
    assert secret.read_bytes() == before
    assert run([*GEVENTRELAY, "keygen", "keys"]).wait() == 0
    assert sorted(os.listdir(folder / "keys")) == ["alice.key", "alice.key_secret", "relay.key", "relay.key_secret"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["keygen"], "keygen DIR"),
        (["keygen", "keys", "--name", "a:b"], "--name: expected a user's name"),
        (["keygen", "keys", "--name", "../b"], "a name that a file can have"),
        (["keygen", "/dev/null/keys"], "DIR: expected a folder that can be made (Not a directory)"),
        (["passwd", "users"], "passwd FILE USER"),
        (["passwd", "users", "a:b"], "USER: expected a user's name"),
        (["passwd", "/dev/null/users", "alice"], "FILE: expected a file that can be"),
        (["passwd", "users", "alice", "hunter2"], "passwd FILE USER"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line_without_a_secret(run, folder, words, text):
    line = line_of(run([*GEVENTRELAY, *words], stdin=b"hunter2\n"), 2)
    assert text in line and "hunter2" not in line
    assert not (folder / "users").exists()


def test_passwd_takes_a_line_where_there_is_no_terminal(run, folder):
    assert line_of(run([*GEVENTRELAY, "passwd", "users", "alice"], stdin=b"first\n"), 0) == "added alice in users"
    assert line_of(run([*GEVENTRELAY, "passwd", "users", "alice"], stdin=b"second"), 0) == "changed alice in users"
    assert line_of(run([*GEVENTRELAY, "passwd", "users", "bob"]), 2) == (
        "password: expected a password of 1 to 255 bytes, got another length"
    )
    users = read_passwords("x", folder / "users")
    assert users.check("alice", "second") and not users.check("alice", "first") and not users.knows("bob")
    assert (folder / "users").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("again", "code"), [(b"secret\n", 0), (b"sacred\n", 2)])
def test_passwd_asks_twice_at_a_terminal_and_shows_nothing(run, folder, again, code):
    ours, theirs = pty.openpty()
    try:
        # In a session of its own, whose terminal is none that the tests may have.
        program = run(["setsid", *GEVENTRELAY, "passwd", "users", "alice"], stdin=theirs)
        program.until(lambda: "Password of alice: " in program.all_errors, "the first question")
        os.write(ours, b"secret\n")
        program.until(lambda: "The same again: " in program.all_errors, "the second question")
        os.write(ours, again)
        assert program.wait() == code, program.report()
        assert "secret" not in program.output + program.all_errors and "sacred" not in program.all_errors
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            # Nothing was shown.
            os.read(ours, 100)
    finally:
        os.close(ours)
        os.close(theirs)
    if code == 0:
        assert read_passwords("x", folder / "users").check("alice", "secret")
    else:
        assert "the same twice, got two that differ" in program.errors
        assert not (folder / "users").exists()
