"""Many messages through streamer and queue: none lost, none twice, in order. `scripts/soak` is the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "scripts" / "soak"
MESSAGES = int(os.environ.get("GEVENTRELAY_TEST_MESSAGES", "20000"))


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SOAK), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=55 + MESSAGES / 10_000)


@pytest.mark.slow
@pytest.mark.timeout(60 + MESSAGES / 10_000)
@pytest.mark.parametrize("pattern", ["streamer", "queue"])
def test_what_arrives_has_the_hash_of_what_was_sent(pattern):
    done = soak(pattern, f"--messages={MESSAGES}")
    assert done.returncode == 0, done.stderr
    assert f"{pattern}: {MESSAGES} messages in " in done.stdout
    assert "none lost, none twice, in order" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("option", "value"), [("--messages", "0"), ("--size", "19"), ("--sources", "x")])
def test_a_wrong_number_is_refused_by_name(option, value):
    done = soak(f"{option}={value}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert option in done.stderr
