"""Folders for sockets that need a name: what a process that was killed has left there goes with the next start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geventrelay.components import private_folders
from geventrelay.components.private_folders import private_folder

LEAVE = "from geventrelay.components.private_folders import private_folder as new; print(new(), flush=True)"


@pytest.fixture
def where(tmp_path, monkeypatch):
    """The folder in which they are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def left_by_another(where: Path) -> Path:
    """A folder with a file, of a process that is gone."""
    environment = {**os.environ, "TMPDIR": str(where)}
    made = subprocess.run([sys.executable, "-c", LEAVE], env=environment, check=True, capture_output=True, text=True)
    folder = Path(made.stdout.strip())
    (folder / "socket").touch()
    return folder


def owner_of(folder: Path) -> str:
    (owner,) = (one.name for one in folder.iterdir() if one.name != "socket")
    return owner


def test_what_a_process_that_is_gone_has_left_is_removed(where):
    left = left_by_another(where)
    assert left.parent == where
    made = Path(private_folder())
    assert list(where.iterdir()) == [made]
    assert (made.stat().st_mode & 0o777, os.getpid()) == (0o700, int(owner_of(made).split("_")[1]))


def test_what_is_of_a_process_that_lives_stays_and_so_does_all_that_is_not_of_this_program(where):
    own = Path(private_folder())
    left = left_by_another(where)
    space, _, gone = owner_of(left).partition("_")
    owners = [
        # The parent of this process lives.
        f"{space}_{os.getppid()}",
        # A process of another container, or of another machine, may have this number.
        f"{space}1_{gone}",
        f"0_{gone}",
        f"{space}_{gone}_",
        f"{space}_{10**30}",
        "abcdefgh",
    ]
    for number, owner in enumerate(owners):
        (where / f"geventrelay-{number}").mkdir()
        (where / f"geventrelay-{number}" / owner).touch()
    (where / "geventrelay-empty").mkdir()
    (where / "geventrelay-two").mkdir()
    for owner in (f"{space}_{gone}", f"{space}_{os.getpid()}"):
        (where / "geventrelay-two" / owner).touch()
    (where / "geventrelay-file").touch()
    elsewhere = where / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{space}_{gone}").touch()
    (where / "geventrelay-link").symlink_to(elsewhere)
    kept = {one.name for one in where.iterdir()} - {left.name}
    private_folders._remove_left.cache_clear()
    made = Path(private_folder())
    assert {one.name for one in where.iterdir()} == kept | {made.name}
    assert own.name in kept
    assert list(elsewhere.iterdir())


def test_where_the_system_does_not_tell_whose_process_a_number_is_all_stays(where, monkeypatch):
    left = left_by_another(where)
    monkeypatch.setattr(private_folders, "_space", lambda: "0")
    made = Path(private_folder())
    assert {*where.iterdir()} == {left, made}


def test_without_a_folder_for_temporary_files_it_fails(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        private_folder()
