"""A process whose burst is the slow one says so once, with the remedy; one that was asked for it does not."""

from __future__ import annotations

import json

import pytest
from support.process import GEVENTRELAY, environment

HIDE = """
import sys
sys.modules["geventrelay.engine.native.burst"] = None
"""
QUEUE = ["queue", "--frontend", "0", "--backend", "0"]


@pytest.fixture
def not_built(folder):
    """An environment in which the compiled burst cannot be imported."""
    (folder / "sitecustomize.py").write_text(HIDE)
    env = environment(PYTHONPATH=str(folder))
    env.pop("GEVENTRELAY_BURST", None)
    return env


def told(server):
    return [line for line in server.all_errors.splitlines() if "slow-burst" in line]


def test_it_is_told_once_by_a_server_that_serves(start, not_built):
    server = start(*QUEUE, env=not_built)
    server.until(lambda: told(server), "the warning")
    assert server.stop()
    (line,) = told(server)
    assert " WARNING slow-burst burst=python reason=" in line
    assert 'remedy="install a C compiler and the headers of Python, then install geventrelay again"' in line


def test_it_is_one_object_in_a_log_of_json(start, not_built):
    server = start(*QUEUE, "--log-format", "json", env=not_built)
    server.until(lambda: told(server), "the warning")
    server.stop()
    (line,) = told(server)
    assert json.loads(line)["event"] == "slow-burst"


def test_it_is_not_told_where_it_was_asked_for(start, not_built):
    server = start(*QUEUE, env=not_built | {"GEVENTRELAY_BURST": "python"})
    server.stop()
    assert not told(server)


def test_a_command_that_cannot_start_says_only_why(run, not_built):
    program = run([*GEVENTRELAY, *QUEUE, "--interface", "192.0.2.1"], env=not_built)
    assert program.wait() == 1
    assert len(program.all_errors.splitlines()) == 1


def test_version_tells_it(run, not_built):
    program = run([*GEVENTRELAY, "--version"], env=not_built)
    assert program.wait() == 0
    first, second = program.output.splitlines()
    assert ", python burst" in first
    assert second.startswith("The Python burst is 3 to 14 times slower than the native one (")
