"""Devices of one name that act as one, over a real server of NATS."""

from __future__ import annotations

import pytest
from support.nats import nats_server

from geventrelay import Forwarder, Relay
from geventrelay.testing import LOCAL, Peers, eventually

PATTERNS = {
    "relay": (Relay, "sub", "pub"),
    "forwarder": (Forwarder, "frontend", "backend"),
}


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


class Member:
    """One of several devices that act as one."""

    def __init__(self, device, peers: Peers, front: str, back: str) -> None:
        self.device, self._peers = device, peers
        self._front, self._back = device.endpoints[front][0], device.endpoints[back][0]

    @property
    def backbone(self):
        return self.device.snapshot().backbone

    def publisher(self, **options):
        return self._peers.publisher(self._front, sndhwm=0, **options)

    def subscriber(self, prefix: bytes = b"", **options):
        return self._peers.subscriber(self._back, prefix=prefix, rcvhwm=0, **options)


@pytest.fixture
def join(run, peers, nats):
    """Makes one more of the devices called shop; others are those that are there by then."""
    made: list[Member] = []

    def join(pattern: str = "relay", engine: str = "zmtp", **settings) -> Member:
        cls, front, back = PATTERNS[pattern]
        device = run(cls(**{front: LOCAL, back: LOCAL}, engine=engine, name="shop", backbone=nats.url, **settings))
        made.append(Member(device, peers, front, back))
        for one in made:
            eventually(
                lambda one=one: len(one.backbone.neighbours) == sum(other.device.started for other in made) - 1,
                lambda one=one: f"all to know each other: {one.backbone}",
            )
        return made[-1]

    return join


def serves(sender: Member, taker: Member) -> bool:
    """Whether what `taker` wants now is known to `sender`, and told to it."""
    wanted = taker.backbone.wanted
    known = {one.relay: one for one in sender.backbone.neighbours}[taker.backbone.relay]
    return known.wants == wanted and known.served


@pytest.mark.parametrize(("here", "there"), [("libzmq", "zmtp"), ("zmtp", "libzmq")])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_published_at_one_arrives_at_the_subscribers_of_both(join, pattern, here, there):
    one, two = join(pattern, here), join(pattern, there)
    near, far = one.subscriber(b"a"), two.subscriber(b"a")
    eventually(lambda: serves(one, two) and two.backbone.wanted, "the wish to be known")
    publisher = one.publisher()
    sent = [[b"a %d" % number, b"x" * (number % 500)] for number in range(3000)]
    for message in sent:
        publisher.send(*message)
        publisher.send(b"b")
    assert near.recv_all(len(sent)) == sent
    assert far.recv_all(len(sent)) == sent
    assert two.backbone.received == len(sent) == two.backbone.delivered == one.backbone.sent
