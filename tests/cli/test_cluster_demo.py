"""The show of scripts/cluster-demo, without what installs it."""

from __future__ import annotations

import sys

import pytest
from support import nats
from support.process import SCRIPTS


@pytest.fixture(autouse=True)
def with_a_server():
    nats.program()


def test_three_relays_act_as_one_and_it_ends_by_itself(run):
    show = run([sys.executable, SCRIPTS / "_cluster.py", "1", "50"])
    # Three relays start one after another, before it begins.
    assert show.wait(50) == 0, show.report()
    assert "Each subscriber got exactly what it asked for, in order, and one worker got each payload." in show.output
    assert not show.errors
