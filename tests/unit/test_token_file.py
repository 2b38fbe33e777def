"""The token of a server: in a file that may be written, replaced, removed and spoilt while the server runs."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from geventrelay import StartError
from geventrelay.web.http import token_file
from geventrelay.web.http.token_file import TokenFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "token"
    path.write_text("first\n")
    path.chmod(0o600)
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    other = path.with_name("other")
    other.write_text(text)
    os.replace(other, path)


def link(path: Path, text: str) -> None:
    """As a folder of secrets is changed by what mounts it: a link leads to another file."""
    other = path.with_name(f"other-{len(text)}")
    other.write_text(text)
    os.utime(other, ns=(1, 1))
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [write, replace, link])
def test_a_token_that_is_replaced_counts_at_once_and_the_old_one_no_more(path, change, caplog):
    caplog.set_level("INFO")
    file = TokenFile(path)
    assert file.token() == "first"
    for text in ("the second", "the-third-one"):
        change(path, text.replace(" ", "-") + "\nand more")
        assert file.token() == text.replace(" ", "-")
        assert caplog.text.count("token-changed") == 1
        assert text.replace(" ", "-") not in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(""),
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.write_text("a b\n"),
    ],
)
def test_the_last_token_counts_while_the_file_has_none_and_that_is_said_once(path, spoil, caplog):
    file = TokenFile(path)
    spoil(path)
    assert [file.token() for _ in range(3)] == ["first"] * 3
    assert caplog.text.count("token-kept") == 1
    path.write_text("second")
    assert file.token() == "second"


def test_a_new_token_counts_although_no_descriptor_was_free_when_it_came(path, monkeypatch, caplog):
    file = TokenFile(path)
    replace(path, "second")
    with monkeypatch.context() as full:

        def no_descriptor(*_arguments, **_options):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        full.setattr(Path, "open", no_descriptor)
        assert [file.token() for _ in range(3)] == ["first"] * 3
    assert caplog.text.count("token-kept") == 1
    assert file.token() == "second"


def test_of_two_tokens_that_the_clock_of_the_file_system_cannot_tell_apart_the_last_one_counts(path, monkeypatch):
    file = TokenFile(path)
    path.write_text("second")
    same = token_file.file_state(path)
    monkeypatch.setattr(token_file, "file_state", lambda _path: same)
    assert file.token() == "second"
    path.write_text("third1")
    assert file.token() == "third1"


def test_a_file_that_is_written_again_with_the_same_token_is_no_change(path, caplog):
    caplog.set_level("INFO")
    file = TokenFile(path)
    replace(path, "first\n")
    assert file.token() == "first"
    assert "token-changed" not in caplog.text


def test_a_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("secret\n",))
    writer.start()
    file = TokenFile(path)
    writer.join()
    # Opening it again would wait for ever.
    assert file.token() == "secret"


@pytest.mark.parametrize("text", ["", "a b", "x" * 70_000 + "\u00fc"])
def test_a_file_without_a_token_is_refused_and_not_shown(path, text):
    path.write_text(text)
    with pytest.raises(StartError, match="expected a token in its first line") as refused:
        TokenFile(path)
    assert "x" * 10 not in str(refused.value)


def test_a_file_that_every_user_can_read_is_told_when_it_becomes_so(path, caplog):
    file = TokenFile(path)
    assert "token-file-open-to-every-user" not in caplog.text
    path.chmod(0o644)
    assert file.token() == "first"
    assert caplog.text.count("token-file-open-to-every-user") == 1
