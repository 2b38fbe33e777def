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
from benchlib.case import Case
from benchlib.schedule import Result
from benchlib.stored import as_json
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


def test_a_run_that_was_stored_is_shown_again(run, folder):
    rows = {"native": [2e6, 0.5], "proxy": [1e6, 1.0], "zmtp": [3e6, 0.25], "poll": [1e5, 9.0]}
    results = {
        Case("streamer", 100, 1000): {
            name: Result(f"this is {name}", True, {0: {"rate": rate, "cpu_us": cpu_us}})
            for name, (rate, cpu_us) in rows.items()
        }
    }
    file, picture = folder / "run.json", folder / "run.svg"
    file.write_text(as_json(results, {"cpu": "a quick one", "libraries": "libzmq"}, []))
    program = run([*BENCH, "--from", file, "--contender", "zmtp,native,proxy", "--chart", picture])
    assert program.wait() == 0, program.report()
    assert "a quick one" in program.output
    assert "engine zmtp, throughput x proxy                 ≥ 1.2            3.00 x  met" in program.output
    drawn = picture.read_text()
    assert all(f">this is {name}</text>" in drawn for name in ("native", "proxy", "zmtp"))
    assert "poll" not in drawn + program.output


@pytest.mark.parametrize(
    ("options", "text", "said"),
    [
        (["--rounds", "3"], "{}", "--from: expected no --rounds beside it, for it measures nothing"),
        ([], "{}", "--from: expected a file that --json has written, got run.json"),
        ([], "[1", "--from: expected a file that --json has written, got run.json"),
        ([], None, "--from: cannot read run.json (No such file or directory)"),
    ],
)
def test_what_cannot_be_shown_again_is_one_line(run, folder, options, text, said):
    file = folder / "run.json"
    if text is not None:
        file.write_text(text)
    program = run([*BENCH, "--from", file, *options])
    assert program.wait() == 1
    assert program.errors == said.replace("run.json", str(file)) + "\n"


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
