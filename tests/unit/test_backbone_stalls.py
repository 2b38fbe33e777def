"""No request waits beside a free worker: real exchanges in a time of their own, see `support.simulated`."""

from __future__ import annotations

import asyncio

import pytest
from support.simulated import BUSY_S, CALM_S, World, simulate

# What two words, a pack and some pauses take. What is made up for by a tick takes longer, now or another time.
SOON_S = 0.1
# What was lost is said again by then, also by a device that was taken for gone meanwhile.
AGAIN_S = 4.0


@pytest.fixture
def world_of(monkeypatch):
    """Makes a world, and runs something in it."""

    def make(seed, run):
        world = World(seed)
        with monkeypatch.context() as patch:
            simulate(world, lambda: run(world), patch.setattr)
        return world

    return make


def open_devices(world: World) -> None:
    for number in range(2 + world.chance.randint(0, 1)):
        world.add(world.chance.choice((0, 1, 1, 2, 3)) if number else 1)


@pytest.mark.parametrize("pauses_s", [BUSY_S, CALM_S], ids=["busy", "calm"])
@pytest.mark.parametrize("seed", range(6))
def test_a_request_goes_to_a_free_worker_without_a_wait_for_a_tick(world_of, seed, pauses_s):
    async def run(world: World) -> None:
        open_devices(world)
        # Until all know each other.
        await asyncio.sleep(3)
        await world.ask_for(10, pauses_s)

    world = world_of(seed, run)
    assert world.begins > 20
    assert world.longest_s < SOON_S


@pytest.mark.parametrize("seed", range(8))
def test_once_nothing_is_lost_any_more_no_request_waits_beside_a_free_worker(world_of, seed):
    async def run(world: World) -> None:
        open_devices(world)
        await asyncio.sleep(1)
        for shares in ((0.05, 0.3), (0, 0.9)):
            world.loses = world.chance.choice(shares)
            await world.ask_for(3, cuts=True)
        world.loses = 0.0
        await asyncio.sleep(AGAIN_S)
        world.watch_from_now()
        begun = world.begins
        await world.ask_for(5, CALM_S)
        assert world.begins > begun

    world = world_of(seed, run)
    assert world.longest_s < SOON_S
