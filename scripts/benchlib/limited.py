"""Start a program with a time limit, on the given cores: ``limited.py SECONDS CORES PROGRAM ...``.

The alarm and the cores survive exec, so this binds programs that know nothing of it; it ends even those whose
parent was killed before it could end them.
"""

from __future__ import annotations

import os
import resource
import signal
import sys


def allow_most_files() -> None:
    """Have this process open as many files as the system allows: most shells allow too few for thousands of peers."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    limit_s, cores, program = sys.argv[1], sys.argv[2], sys.argv[3:]
    signal.alarm(int(limit_s))
    allow_most_files()
    if cores != "all":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
