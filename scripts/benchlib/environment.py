"""Environments with a geventrelay of their own: that of this checkout, and that of a commit.

They are kept in build/bench. A commit's is named by its id, and is made once.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import _venv

from .child import ROOT

FOLDER = Path("build") / "bench"
EXTRAS = "metrics"  # what a contender needs that is scraped
SAME = ("gevent", "greenlet", "pyzmq")
GIT_LIMIT_S = 60


class NoCommit(Exception):
    """There is no such commit; the text is one line."""


@dataclass(frozen=True, slots=True)
class Commit:
    """``id``: all of it; ``subject``: the first line of its message."""

    id: str
    subject: str

    @property
    def short(self) -> str:
        return self.id[:10]


def find_commit(name: str) -> Commit:
    """``name`` as git takes it: an id, a branch, a tag, HEAD~1; raises :class:`NoCommit`."""
    try:
        done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
        if done.returncode == 0:
            found = done.stdout.decode().strip()
            return Commit(found, _git("log", "-1", "--format=%s", found).stdout.decode().strip())
    except FileNotFoundError:
        raise NoCommit("--against: needs git, and git was not found") from None
    inside = _git("rev-parse", "--is-inside-work-tree").returncode == 0
    rule = "a commit of this repository" if inside else "this to be a git repository"
    raise NoCommit(f"--against: expected {rule}, got {name!r}")


def of_checkout() -> Path:
    """The interpreter of an environment with this tree's package, uncommitted changes included.

    Not the environment that the bench runs in: that one has what scripts/quickstart found when it was last run.
    """
    _same_libraries()
    return _venv.prepare(str(FOLDER / "checkout"), EXTRAS) / "python"


def of_commit(commit: Commit) -> Path:
    """The interpreter of an environment with that commit's package, made where it is missing."""
    _same_libraries()
    with tempfile.TemporaryDirectory(prefix="bench-tree-") as scratch:
        archive = _git("archive", "--format=tar", commit.id).stdout
        subprocess.run(["tar", "-x", "-C", scratch], input=archive, check=True, timeout=GIT_LIMIT_S)
        return _venv.prepare(str(FOLDER / commit.short), EXTRAS, Path(scratch)) / "python"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    # From the top: in a folder below it, git would archive that folder only.
    top = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--show-toplevel"], capture_output=True, timeout=GIT_LIMIT_S, check=False
    )
    where = top.stdout.decode().rstrip("\n") or str(ROOT)
    return subprocess.run(["git", "-C", where, *arguments], capture_output=True, timeout=GIT_LIMIT_S, check=False)


def _same_libraries() -> None:
    """Hold pip to the versions that the bench itself runs with, so that the package is all that differs."""
    path = ROOT / FOLDER / "constraints.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}=={version(name)}\n" for name in SAME))
    os.environ["PIP_CONSTRAINT"] = str(path)
