"""scripts/bench as a shell would use it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from support.process import SCRIPTS, environment

BENCH = [sys.executable, SCRIPTS / "bench"]


def compiles() -> bool:
    """Whether there is a C compiler: ``CC=false`` is how to do without one."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    found = bool(compiler) and shutil.which(compiler[0]) is not None
    return found and subprocess.run([*compiler, "--version"], capture_output=True, timeout=10).returncode == 0


def test_a_case_that_is_not_there_is_one_line(run):
    program = run([*BENCH, "--case", "streamer-100-hwm100"])
    assert program.wait() == 1
    assert program.errors.count("\n") == 1
    assert "--case" in program.errors
    assert "did you mean streamer-100-hwm1000?" in program.errors


def test_a_commit_that_is_not_there_is_one_line(run):
    program = run([*BENCH, "--against", "no-such-commit"])
    assert program.wait() == 1
    assert program.errors.count("\n") == 1
    assert program.errors.startswith("--against: ")


def test_without_a_compiler_it_says_what_it_needs(run):
    program = run([*BENCH, "--case", "streamer-100-hwm1000"], env=environment(CC="no-such-compiler"))
    assert program.wait() == 1
    assert program.errors == "bench needs a C compiler (CC, by default cc), and there is no no-such-compiler\n"


def test_the_list_has_contenders_and_cases(run):
    program = run([*BENCH, "--list"])
    assert program.wait() == 0, program.report()
    assert "  native  " in program.output
    assert re.search(r"^  queue-64inflight-100-hwm1000 +queue 64 in flight, 100 B, HWM 1000$", program.output, re.M)


@pytest.mark.slow
@pytest.mark.skipif(not compiles(), reason="the load generator needs a C compiler")
def test_one_case_is_measured(run, folder):
    file = folder / "samples.json"
    short = ["--rounds", "1", "--seconds", "0.1", "--warm-up", "0.05", "--contender", "python,proxy"]
    program = run([*BENCH, "--case", "streamer-100-hwm1000", *short, "--json", file])
    assert program.wait() == 0, program.report()
    assert "1 case, 2 measurements" in program.output
    (found,) = json.loads(file.read_text())["results"]
    assert found["case"]["key"] == "streamer-100-hwm1000"
    for name in ("python", "proxy"):
        contender = found["contenders"][name]
        assert contender["failures"] == [], program.report()
        assert contender["samples"][0]["rate"] > 0
        assert f"  {contender['label']} " in program.output
