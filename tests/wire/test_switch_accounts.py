"""Every delivery of the switch is accounted for, on both cores, also when peers leave: by side and for ever."""

from __future__ import annotations

import contextlib
import random
import socket

import pytest
from support.switch import NEVER, Far, World, many, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Destination, Peer, PeerCounts, Side, SlowSubscriber
from geventrelay.terms import WhenFull
from geventrelay.zmtp.greeting import Version

NEVER_BLOCKS = [SlowSubscriber.DROP, SlowSubscriber.DROP_OLDEST, SlowSubscriber.DISCONNECT]
TOPICS = [b"", b"1", b"12", b"7"]


def adds_up(counts: PeerCounts) -> bool:
    return counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting


class Scenario:
    """One way to a side of a random type, with peers that come, stall, read and leave."""

    def __init__(self, world: World, choose: random.Random) -> None:
        self.world, self.choose = world, choose
        self.type = choose.choice(["PUB", "XPUB", "PUSH", "DEALER", "ROUTER"])
        self.side: Side = world.side(
            self.type, sndhwm=choose.choice([0, 5, 100]), slow_subscriber=choose.choice(NEVER_BLOCKS),
            subscriber_max_age_s=choose.choice([0, 0, 1e-9]), router_handover=True,
        )  # fmt: skip
        self.source_side, self.way = world.way("PULL", Destination(self.side, WhenFull.DROP))
        self.source = world.far(self.source_side)
        self.fars: list[Far] = []
        self.away: list[Peer] = []
        self.gone: list[PeerCounts] = []

    def join(self) -> None:
        version, small = self.choose.choice([Version.V1_0, Version.V3_1]), self.choose.random() < 0.7
        peer = self.side.new_peer(queues_before=self.choose.random() < 0.3)
        if self.away and self.choose.random() < 0.5:
            self.away.append(peer)
            peer = self.away.pop(0)
        far = self.world.connect(peer, version=version, routing_id=b"r%d" % self.choose.randrange(4), small=small)
        self.fars.append(far)
        if self.type in ("PUB", "XPUB") and version is Version.V3_1:
            far.send(subscribe(self.choose.choice(TOPICS)))

    def send(self) -> None:
        first = self.choose.randrange(200)
        bodies = many(self.choose.choice([1, 20, 150]), self.choose.choice([10, 900]), first)
        heads = [[b"r%d" % self.choose.randrange(5)] if self.type == "ROUTER" else [] for _ in bodies]
        self.source.send(b"".join(wire(*head, body) for head, body in zip(heads, bodies, strict=True)))

    def read(self) -> None:
        if self.fars:
            far = self.choose.choice(self.fars)
            far.bytes()
            far.peer.write(NEVER)

    def break_off(self) -> None:
        """The other end goes, of which the core hears in a write or not at all."""
        if self.fars:
            self.choose.choice(self.fars).theirs.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        if self.fars:
            far = self.fars.pop(self.choose.randrange(len(self.fars)))
            far.peer.detach()
            if self.choose.random() < 0.5:
                self.away.append(far.peer)
            else:
                self.remove(far.peer)

    def remove(self, peer: Peer) -> None:
        self.side.remove(peer, self.choose.choice([Drop.LEFT, Drop.STOPPED]))
        assert peer.counts().waiting == 0
        self.gone.append(peer.counts())

    def check(self) -> None:
        every = [*self.gone, *(far.peer.counts() for far in self.fars), *(peer.counts() for peer in self.away)]
        total, outlet = self.side.counts(), self.way.counters.outlets[0]
        assert all(map(adds_up, [*every, total])), every
        for name in ("matched", "delivered", "waiting", "waiting_bytes", "received", "subscriptions"):
            assert getattr(total, name) == sum(getattr(one, name) for one in every), name
        assert sum(total.dropped.values()) == sum(sum(one.dropped.values()) for one in every)
        if self.type not in ("PUB", "XPUB"):
            assert total.matched == outlet.sent
        assert self.way.counters.received == outlet.sent + sum(outlet.dropped.values())


@pytest.mark.parametrize("ten", range(2))
def test_deliveries_add_up_for_each_peer_and_each_side_through_leaves(make_core, ten):
    for seed in range(10 * ten, 10 * ten + 10):
        choose = random.Random(seed)
        world = World(make_core())
        with contextlib.closing(world):
            one = Scenario(world, choose)
            steps = [one.join, one.join, one.send, one.send, one.read, one.break_off, one.leave]
            for _ in range(40):
                choose.choice(steps)()
                world.core.take_ended()
                world.core.take_stalled()
                world.core.tidy(NEVER)
                one.check()
            for far in one.fars:
                far.peer.detach()
            for peer in [*one.away, *(far.peer for far in one.fars)]:
                one.remove(peer)
            one.fars, one.away = [], []
            one.check()
            assert one.side.counts().waiting == 0
