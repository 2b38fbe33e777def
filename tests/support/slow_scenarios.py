"""A random scenario with subscribers that read nothing for a while: what they lose.

How many of the messages that were sent meanwhile one gets is no part of what engines have in common: it depends on
the buffers of each, and a PUB of libzmq counts nothing. What can be known is held against every engine. The first ones
come, at least half as many as the high-water mark: a PUB of libzmq hears of new room only after half of it. The others
come whole and in their order, and not all of them, since they are more than all buffers here hold. After it has read
them, it misses nothing. Who reads misses nothing meanwhile. What engine zmtp counts as lost is what did not come.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import zmq

from geventrelay import Drop, OutletSnapshot
from geventrelay.settings import DeviceSettings, Forwarder
from geventrelay.testing import LOCAL, Peer, eventually

from .stage import Parts, Stage
from .topic_scenarios import received, subscribe_mark

_SNDHWM = 8
# Of each buffer of the kernel between a device and a subscriber; it takes twice as much.
_KERNEL_BYTES = 16 * 1024
_LARGE = 32 * 1024
# Each engine has one in hand, or two; those that wait, and the kernel's buffers, hold 10 more.
_COUNT = 30


def slow_settings(choose: random.Random, engine: str) -> DeviceSettings:
    """A forwarder, with subscriptions of its own or its subscribers'."""
    options = {"backend": {zmq.SNDBUF: _KERNEL_BYTES}}
    subscribe = choose.choice([None, ""])
    return Forwarder(
        frontend=LOCAL, backend=LOCAL, engine=engine, subscribe=subscribe, sndhwm=_SNDHWM, drain_s=0,
        socket_options=options,
    )  # fmt: skip


def slow_subscribers(stage: Stage, steps: int) -> None:
    """One or two of three subscribers read nothing until all has been sent."""
    choose = stage.choose
    publisher = stage.come(zmq.XPUB, "frontend")
    subscribers = [
        stage.come(choose.choice([zmq.SUB, zmq.XSUB]), "backend", rcvhwm=1, rcvbuf=_KERNEL_BYTES) for _ in range(3)
    ]
    for one in subscribers:
        one.subscribe(b"news")
    marks = {one: subscribe_mark(stage, one, [], [publisher]) for one in subscribers}
    for _ in range(steps // 4):
        slow = choose.sample(subscribers, choose.choice([1, 2]))
        before = _outlet(stage)
        sent = _send(stage, publisher, [one for one in subscribers if one not in slow])
        lost = _lost_since(stage, before, len(sent) * len(subscribers))
        missed = 0
        for one in slow:
            got = received(stage, publisher, one, marks[one])
            # The second mark shows that all of the first have passed.
            assert received(stage, publisher, one, marks[one], again_s=5) == []
            _check(sent, got)
            missed += len(sent) - len(got)
        assert lost in (None, missed), f"expected {missed} messages counted as lost, got {lost}"
        stage.seen.append([parts[:1] for parts in sent])


def _send(stage: Stage, publisher: Peer, readers: Sequence[Peer]) -> list[Parts]:
    """Send large messages, each once `readers` have got the one before."""
    sent: list[Parts] = []
    for number in range(_COUNT):
        parts = [b"news %d" % number, bytes(stage.choose.randrange(_LARGE, 2 * _LARGE))]
        publisher.send(*parts)
        assert [one.recv() for one in readers] == [parts] * len(readers)
        sent.append(parts)
    return sent


def _lost_since(stage: Stage, before: OutletSnapshot, matched: int) -> int | None:
    """How many deliveries have been lost since, once so many are counted; None with libzmq, which counts none."""
    if before.matched is None or before.lost is None:
        return None
    expected = before.matched + matched
    eventually(lambda: (_outlet(stage).matched or 0) >= expected, "every delivery to be counted")
    after = _outlet(stage).lost or {}
    assert set(after) <= {Drop.SLOW}
    return after.get(Drop.SLOW, 0) - before.lost.get(Drop.SLOW, 0)


def _check(sent: Sequence[Parts], got: Sequence[Parts]) -> None:
    """That `got` is what can be known of what a slow subscriber gets of what was `sent`."""
    first = _SNDHWM // 2
    assert got[:first] == sent[:first]
    rest = iter(sent)
    assert all(parts in rest for parts in got), "expected messages whole and in their order"
    assert len(got) < len(sent), "expected more messages than all buffers hold"


def _outlet(stage: Stage) -> OutletSnapshot:
    return stage.snapshot("frontend").outlets[0]
