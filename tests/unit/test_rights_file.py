"""A file with rights: what is wrong with one, and one that changes."""

from __future__ import annotations

import logging
import os

import gevent.event
import pytest

from geventrelay.access.rights import Rights
from geventrelay.access.rights_file import LIMIT_BYTES, RightsFile, grants
from geventrelay.engine.grant import Grant
from geventrelay.errors import StartError
from geventrelay.settings import Streamer
from geventrelay.testing import eventually


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rights.toml"


def write(path, text):
    """Replace the file, as programs do that rotate one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"others = 1", "others: expected a table [others], got 1"),
        (b"[others", "expected TOML, got: "),
        (b"\xff", "expected TOML, got: 'utf-8' codec can't decode"),
        (b"a" + b".a" * 40 + b" = 1", "expected TOML, got: a key of more than 32 parts in line 1"),
        (b"#" * (LIMIT_BYTES + 1), "expected TOML, got: more than 1048576 bytes"),
        (b"x = " + b"[" * 5000, "expected TOML, got: "),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(path, content, problem):
    path.write_bytes(content)
    with pytest.raises(StartError) as raised:
        RightsFile(path)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"cannot use {path} (--rights): {problem}")


def test_each_thing_that_is_wrong_has_a_line(path):
    path.write_text("[others]\nx = 1\nwork = 2\n")
    with pytest.raises(StartError) as raised:
        RightsFile(path)
    assert [line.partition("--rights): ")[2].partition(":")[0] for line in str(raised.value).splitlines()] == [
        "others.x",
        "others.work",
    ]


def test_a_file_that_is_not_there_is_told(path):
    with pytest.raises(StartError, match=r"cannot read .* No such file or directory"):
        RightsFile(path)


def test_a_byte_order_mark_is_no_part_of_it(path):
    path.write_text("\ufeff[others]\nwork = true\n")
    assert RightsFile(path).of("") == Rights(work=True)


def now(file, user=""):
    """What a user may do by what the file has now."""
    file.refresh()
    return file.of(user)


def test_a_file_that_changes_is_read_again(path, caplog):
    caplog.set_level(logging.INFO)
    write(path, "[others]\nwork = true\n")
    file = RightsFile(path)
    assert now(file) == Rights(work=True)
    write(path, '[others]\nrequest = ["a"]\n')
    assert now(file) == Rights(request=("a",)) == now(file, "alice")
    assert caplog.text.count("rights-changed") == 1


def test_the_last_rights_count_while_the_file_is_wrong(path, caplog):
    write(path, "[others]\nwork = true\n")
    file = RightsFile(path)
    write(path, "[others]\nwork = 1\n")
    assert now(file) == Rights(work=True) == now(file)
    assert caplog.text.count("rights-kept") == 1
    path.unlink()
    assert now(file) == Rights(work=True)
    assert "cannot read" in caplog.text
    write(path, "")
    assert now(file) == Rights()


def test_those_that_wait_share_one_look_that_begins_after_they_came(path, monkeypatch):
    write(path, "")
    file = RightsFile(path)
    looks, go_on = [], gevent.event.Event()

    def look(self):
        looks.append(1)
        go_on.wait()

    monkeypatch.setattr(RightsFile, "_look", look)
    first = gevent.spawn(file.refresh)
    eventually(lambda: looks, "the first look")
    others = [gevent.spawn(file.refresh) for _ in range(5)]
    gevent.idle()
    go_on.set()
    gevent.joinall([first, *others], timeout=30, raise_error=True)
    assert len(looks) == 2


def test_a_device_without_rights_has_none_and_one_with_them_has_its_own(path):
    assert grants(Streamer(frontend=1, backend=2)) is None
    path.write_text('[others]\nwork = ["here"]\npublish = ["a"]\n')
    found = grants(Streamer(frontend=1, backend=2, name="here", rights=path))
    assert (found.grant("PUSH", ""), found.grant("PULL", "x")) == (Grant(), Grant(send=(b"a",)))
    assert grants(Streamer(frontend=1, backend=2, name="there", rights=path)).grant("PUSH", "") is None
