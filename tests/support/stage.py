"""A device with libzmq's sockets at its ends, in a random scenario: peers that come and go, messages, what was seen."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import gevent

from geventrelay import Device, PumpSnapshot
from geventrelay.testing import Peer, Peers, eventually, within

from .traffic import pump

Parts = list[bytes]
Seen = list[object]

SIZES = [0, 0, 1, 2, 20, 246, 255, 256, 300, 9000]
LARGE = 70_000
MARK = b"\xf0mark"
_MARK_BYTES = 12


class Stage:
    """A device, its peers, and what was seen.

    :param device: it is running.
    :param peers: makes peers.
    :param choose: makes every choice.
    """

    def __init__(self, device: Device, peers: Peers, choose: random.Random) -> None:
        self.device = device
        self.choose = choose
        self.seen: Seen = []
        self._peers = peers
        self._numbers = itertools.count(1)
        self._there: dict[str, int] = {}
        self._asked: dict[Peer, set[bytes]] = {}

    def come(self, kind: int, key: str, **options: Any) -> Peer:
        """A peer that has connected to the socket `key`, which knows of it."""
        made = self._peers.connect(kind, *self.device.endpoints[key], **options)
        self._there[key] = self._there.get(key, 0) + 1
        self._wait_peers(key)
        return made

    def leave(self, peer: Peer, key: str) -> None:
        """`peer` goes, and the socket `key` knows of that."""
        peer.close()
        self._there[key] -= 1
        self._wait_peers(key)

    def _wait_peers(self, key: str) -> None:
        count = self._there[key]
        eventually(lambda: len(self.device.peers()[key].peers) == count, f"{count} peers of {key}")

    def mark(self) -> bytes:
        """Bytes that no other message has."""
        return MARK + b"%0*d" % (_MARK_BYTES - len(MARK), next(self._numbers))

    def message(self) -> Parts:
        """A message of any shape."""
        choose = self.choose
        count = choose.choice([1, 1, 1, 2, 3, 3, 60])
        sizes = [0, 1, 5] if count > 3 else SIZES
        parts = [bytes([97 + choose.randrange(3)]) * choose.choice(sizes) for _ in range(count)]
        if choose.random() < 0.05:
            parts.append(b"l" * LARGE)
        return parts

    def messages(self) -> list[Parts]:
        """Some messages, most of which differ."""
        some = [self.message() for _ in range(self.choose.choice([1, 2, 7, 20]))]
        for number, parts in enumerate(some):
            if self.choose.random() < 0.7:
                parts.insert(self.choose.randrange(len(parts) + 1), b"%d" % number)
        return some

    def asked(self, publisher: Peer, frames: Iterable[Parts]) -> object:
        """What `publisher` is asked for once `frames` have come, and the other messages among them.

        Engine zmtp leaves out what is taken back before it was told, and has an order of its own where a peer goes.
        """
        wanted, messages = self._asked.setdefault(publisher, set()), []
        for parts in frames:
            if len(parts) == 1 and parts[0][:1] in (b"\0", b"\1"):
                (wanted.add if parts[0][0] else wanted.discard)(parts[0][1:])
            else:
                messages.append(parts)
        return sorted(wanted), messages

    def pump_counts(self, source: str, *, marks: int = 0) -> tuple[object, ...]:
        """What is counted of the direction from `source`, but so many `marks`."""
        found = self.snapshot(source)
        outlets = [(one.sent - marks, one.sent_parts - marks, one.sent_bytes - marks * _MARK_BYTES, dict(one.dropped))
                   for one in found.outlets]  # fmt: skip
        return (found.received - marks, found.received_parts - marks, *outlets)

    def snapshot(self, source: str) -> PumpSnapshot:
        return pump(self.device, source)


def taken(takers: Sequence[Peer], count: int, *, last: Sequence[Peer] = (), after: int = 0) -> list[list[Parts]]:
    """What each of `takers` gets of `count` messages; those of `last` wait until the others have so many."""
    got: list[list[Parts]] = [[] for _ in takers]
    with within(lambda: f"{count} messages, of which there are {[len(one) for one in got]}"):
        while (so_far := sum(map(len, got))) < count:
            for taker, some in zip(takers, got, strict=True):
                if taker not in last or so_far >= after:
                    some += taker.recv_now()
            gevent.sleep(0)
    return got


def is_mark(parts: Parts) -> bool:
    return any(part.startswith((MARK, b"\0" + MARK, b"\1" + MARK)) for part in parts)
