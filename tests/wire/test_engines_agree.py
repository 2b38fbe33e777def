"""Engine zmtp, with either core, does what libzmq's does in random scenarios: libzmq's sockets are at both ends.

GEVENTRELAY_SCENARIOS=500 tries so many of each pattern, beginning with the seed GEVENTRELAY_FIRST_SCENARIO.
"""

from __future__ import annotations

import os

import pytest
from support.scenarios import STORIES, play
from support.switch import native

COUNT = int(os.environ.get("GEVENTRELAY_SCENARIOS", "3"))
FIRST = int(os.environ.get("GEVENTRELAY_FIRST_SCENARIO", "0"))
STEPS = 12


@pytest.mark.slow
@pytest.mark.timeout(60 + COUNT * 5)
@pytest.mark.parametrize("pattern", STORIES)
def test_engines_agree_in_random_scenarios(pattern, monkeypatch):
    cores = {"python": None} | ({"native": native} if native else {})
    for seed in range(FIRST, FIRST + COUNT):
        expected = play(pattern, seed, "libzmq", STEPS)
        for name, module in cores.items():
            monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda module=module: module)
            found = play(pattern, seed, "zmtp", STEPS)
            for number, (one, other) in enumerate(zip(expected, found, strict=True)):
                assert one == other, f"{pattern}, seed {seed}, core {name}, entry {number}"
