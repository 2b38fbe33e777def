"""What subscribers lose is told exactly: random scenarios against a model, and core against core."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.losses import Scene
from support.switch import ACCOUNTS, CORES, new_world

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import SlowSubscriber

SEEDS = st.integers(0, 1 << 32)


@pytest.fixture(params=CORES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which core."""
    return request.param


def play(kind: str, seed: int, *, limit_bytes: int = 0, **options: Any) -> Scene:
    """A random scenario, which checks itself."""
    choose = random.Random(seed)
    account = ACCOUNTS[kind]()
    account.limit_bytes = limit_bytes
    with new_world(lambda: CORES[kind](account)) as world:
        scene = Scene(world, choose, short=limit_bytes > 0, **options)
        for _ in range(choose.randrange(10, 60)):
            scene.step()
        scene.end()
    assert not scene.listeners
    return scene


@pytest.mark.parametrize("full", [False, True])
@given(seed=SEEDS)
@settings(max_examples=60)
def test_what_is_told_as_lost_is_what_has_not_come(kind, full, seed):
    play(kind, seed, full=full)


@given(seed=SEEDS)
@settings(max_examples=60)
def test_what_is_told_as_lost_is_what_has_not_come_also_where_memory_is_short(kind, seed):
    play(kind, seed, limit_bytes=60_000)


def test_messages_are_lost_for_every_reason_in_these_scenarios(kind):
    seen: set[Drop] = set()
    for seed in range(60):
        for limit_bytes in (0, 60_000):
            seen |= play(kind, seed, limit_bytes=limit_bytes).pub.counts().dropped.keys()
    assert seen == {Drop.SLOW, Drop.TOO_OLD, Drop.LEFT, Drop.MEMORY}


@pytest.mark.skipif(len(CORES) < 2, reason="the native core is not built")
@pytest.mark.parametrize("hundred", range(2))
def test_both_cores_tell_the_same(hundred):
    # How many more are routed to one that is to be disconnected depends on how many are moved together.
    policies = [one for one in SlowSubscriber if one is not SlowSubscriber.DISCONNECT]
    for seed in range(100 * hundred, 100 * hundred + 100):
        stories = [play(kind, seed, full=True, policies=policies).seen for kind in CORES]
        for number, (one, other) in enumerate(zip(*stories, strict=True)):
            assert one == other, f"seed {seed}, entry {number}"
