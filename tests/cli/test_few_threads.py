"""A start where the process may not start as many threads as it needs."""

from __future__ import annotations

import sys
import threading

import pytest

from geventrelay.cli import threads

# As the kernel refuses them, from the `allowed`-th on: its own limit does not hold for root.
LIMITED = """
import sys, threading
from geventrelay.cli import main

start, allowed = threading.Thread.start, int(sys.argv[1])

def limited(thread):
    if threading.active_count() > allowed:
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = limited
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("words", [["streamer", "--frontend", "0", "--backend", "0"], ["tap", "1"]])
def test_it_ends_with_one_sentence(run, words):
    program = run([sys.executable, "-c", LIMITED, "5", *words])
    assert program.wait() == 1, program.report()
    (line,) = program.errors.splitlines()
    assert line.startswith("cannot start: expected to be able to start 6 threads (ulimit -u")


def test_nothing_is_left_of_the_threads_that_were_tried():
    before = threading.active_count()
    assert threads.can_start(3)
    assert threading.active_count() == before
