"""A file with rights: what is wrong with one, and one that changes."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time

import gevent.event
import pytest

from geventrelay.access import rights_file
from geventrelay.access.rights import Rights
from geventrelay.access.rights_file import LIMIT_BYTES, RightsFile, grants
from geventrelay.engine.grant import Grant
from geventrelay.errors import StartError
from geventrelay.file_state import file_state, is_settled
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

    def look(self, *, anew):
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


@pytest.fixture
def settled(monkeypatch):
    """Has each change of a file give another state, as if the last one had been long ago."""
    monkeypatch.setattr(rights_file, "is_settled", lambda state, now_ns: state is not None)


@pytest.fixture
def reads(monkeypatch):
    """What `stall` is called for waits in its thread for `go_on`."""

    class Reads:
        def __init__(self):
            self.begun, self.stalled, self.go_on = 0, True, threading.Event()

    def read(*arguments):
        kept.begun += 1
        if kept.stalled:
            assert kept.go_on.wait(60)
        return original(*arguments)

    kept, original = Reads(), rights_file._read
    kept.stall = lambda: monkeypatch.setattr(rights_file, "_read", read)
    yield kept
    kept.go_on.set()


@pytest.mark.usefixtures("settled")
def test_a_look_that_is_killed_has_seen_nothing(path, reads):
    write(path, "[others]\nwork = true\n")
    file = RightsFile(path)
    write(path, "")
    reads.stall()
    first = gevent.spawn(file.refresh)
    eventually(lambda: reads.begun, "the read")
    second, third = gevent.spawn(file.refresh), gevent.spawn(file.refresh)
    gevent.idle()
    first.kill()
    eventually(lambda: reads.begun == 2, "the read of the second")
    # The third shares the look of the second, and must not take it for a look.
    second.kill()
    reads.go_on.set()
    third.get(timeout=30)
    assert file.of("") == Rights()


@pytest.mark.usefixtures("settled")
def test_a_file_that_could_not_be_read_is_read_by_the_next_look(path, monkeypatch, caplog):
    write(path, "[others]\nwork = true\n")
    file = RightsFile(path)
    write(path, "")

    def none_free(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rights_file, "open_regular", none_free)
        assert now(file) == Rights(work=True) == now(file)
    assert caplog.text.count("rights-kept") == 1
    assert now(file) == Rights()


def test_a_change_right_after_another_one_is_found_at_the_same_time_of_the_clock(path, monkeypatch):
    path.write_text("[others]\nwork = true\n")
    # Its last change is later than whatever time the test takes.
    state = (*file_state(path)[:-1], time.time_ns() + 3_600_000_000_000)
    monkeypatch.setattr(rights_file, "file_state", lambda path: state)
    file = RightsFile(path)
    path.write_text("[others]\nwork = [] \n")
    assert now(file) == Rights(work=())


def test_a_state_is_settled_when_each_change_has_a_later_time(path):
    path.write_text("")
    state = file_state(path)
    second = 1_000_000_000
    assert [is_settled(state, state[-1] + after * second) for after in (-1, 0, 1, 3)] == [False, False, False, True]
    assert not is_settled(None, state[-1])


@pytest.mark.usefixtures("settled")
def test_a_file_that_stays_as_it_is_is_read_once_but_for_a_reload(path, reads, caplog):
    write(path, "[others]\nwork = true\n")
    file = RightsFile(path)
    reads.stalled = False
    reads.stall()
    now(file)
    assert reads.begun == 0
    file.refresh(anew=True)
    assert reads.begun == 1
    write(path, "[others]\nwork = 1\n")
    assert now(file) == Rights(work=True) == now(file)
    assert (reads.begun, caplog.text.count("rights-kept")) == (2, 1)
    file.refresh(anew=True)
    assert (reads.begun, caplog.text.count("rights-kept")) == (3, 2), "who reloads is told again"


def test_a_device_without_rights_has_none_and_one_with_them_has_its_own(path):
    assert grants(Streamer(frontend=1, backend=2)) is None
    path.write_text('[others]\nwork = ["here"]\npublish = ["a"]\n')
    found = grants(Streamer(frontend=1, backend=2, name="here", rights=path))
    assert (found.grant("PUSH", ""), found.grant("PULL", "x")) == (Grant(), Grant(send=(b"a",)))
    assert grants(Streamer(frontend=1, backend=2, name="there", rights=path)).grant("PUSH", "") is None
