"""Child processes: started with a limit, measured from outside, ended by their own pid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
END_S = 2.0
_libc = ctypes.CDLL(None)
_live: list[Child] = []


class ChildError(Exception):
    """A child did not do what it was asked in time."""


def package() -> Path:
    """The geventrelay that is measured: the installed one, else that of this checkout."""
    installed = find_spec("geventrelay")
    return Path(installed.origin).parent if installed and installed.origin else ROOT / "geventrelay"


def _python_path() -> str:
    """Where children find ``benchlib``, and the package."""
    parts = [str(HERE.parent), os.environ.get("PYTHONPATH", ""), str(package().parent)]
    return os.pathsep.join(filter(None, parts))


class Child:
    """A process with a hard limit of ``limit_s`` seconds on ``cores`` ("all" or "0,1")."""

    def __init__(
        self,
        command: list[str],
        limit_s: int,
        cores: str,
        errors: Path,
        env: dict[str, str] | None = None,
        talk: bool = False,
    ) -> None:
        pipe = subprocess.PIPE if talk else subprocess.DEVNULL
        self._errors = errors
        limited = [sys.executable, "-S", "-E", str(HERE / "limited.py"), str(limit_s), cores, *command]
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                limited,
                stdin=pipe,
                stdout=pipe,
                stderr=stderr,
                bufsize=0,  # so that select() sees every line that was not read yet
                # Not where the caller is: "-m" would prefer a package in that folder to the installed one.
                cwd=errors.parent,
                env={**os.environ, "PYTHONPATH": _python_path(), **(env or {})},
            )
        _live.append(self)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Standard input and output of a child that was started with ``talk``."""
        assert self.process.stdin and self.process.stdout
        return self.process.stdin, self.process.stdout

    def last_words(self) -> str:
        """The last line that it wrote to standard error, or how it ended."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {self.process.poll()}"

    def wait_for(self, happened: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait until ``happened``; raises :class:`ChildError` when time runs out or the child ends first."""
        end = time.monotonic() + limit_s
        while not happened():
            if self.process.poll() is not None:
                raise ChildError(self.last_words())
            if time.monotonic() > end:
                raise ChildError(f"{what}: not within {limit_s:g} s")
            time.sleep(0.005)

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, user and system, in seconds.

        Asked of the process's CPU clock where there is one: it counts ns, and /proc/PID/stat ticks of 10 ms.
        """
        clock = ctypes.c_int()
        if _libc.clock_getcpuclockid(self.pid, ctypes.byref(clock)) == 0:
            with contextlib.suppress(OSError):
                return time.clock_gettime(clock.value)
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """End it at once: nothing after the measured part matters, and draining would take time."""
        if self in _live:
            _live.remove(self)
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def end_all() -> None:
    for child in list(_live):
        child.end()
