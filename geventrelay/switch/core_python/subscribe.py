"""Sources that ask for topics: SUB and XSUB."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ...engine.counters import Drop, OutletCounters
from ...zmtp import commands, frames
from ...zmtp.greeting import Version
from ..contract import SidePlan
from .peer import Peer
from .run import Run
from .side import Side, count_sent
from .topics import Node, Topics

if TYPE_CHECKING:
    from .core import PythonCore

_ENCODED_AT_A_TIME = 100
_UNTOLD_BYTES, _NEWS_BYTES = 100, 300
"""What a topic takes, about, that a new publisher is to be told of, and one that has come or gone since. The topic
itself is there once for all publishers."""

_WANTED_BYTES = 600
"""What a topic takes that publishers are asked for, beside itself, about."""

_OWN = 1
"""Of those that ask for a topic, the bit of the socket itself. Those of the ways that lead to it follow."""


class Wishes:
    """What one publisher is still to be told: of each topic the latest, so that a peer that does not read costs little.

    :param version: of ZMTP, that it speaks.
    :param wanted: the topics that are wanted as it comes.
    :ivar counted_bytes: how much of `nbytes` its owner has counted.
    """

    def __init__(self, version: Version, wanted: Mapping[bytes, int]) -> None:
        self.counted_bytes = 0
        self._version = version
        # It has been told of none of these. One copy: a million single steps would hold up the hub for a second.
        self._untold = dict(wanted)
        # Whether a topic is wanted; whether the publisher is subscribed to it as far as it knows; how often to tell it.
        self._news: OrderedDict[bytes, tuple[bool, bool, int]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """How much memory it takes, about."""
        return len(self._untold) * _UNTOLD_BYTES + len(self._news) * _NEWS_BYTES

    def clear(self) -> None:
        """Tell nothing any more: its publisher has gone."""
        self._untold = {}
        self._news = OrderedDict()

    def subscribe(self, topic: bytes, *, known: bool) -> None:
        """Tell that `topic` is wanted; `known` is whether that has been told before, and is told again."""
        if self._untold.pop(topic, None) is not None:
            self._news[topic] = (True, False, 1)
        wanted, before, times = self._news.get(topic, (True, known, 0))
        if not wanted:
            # The end of the last one has not gone out, and is not told any more.
            del self._news[topic]
        self._news[topic] = (True, before, times + 1 if wanted else 1)

    def cancel(self, topic: bytes) -> None:
        """Tell that `topic` is not wanted any more."""
        if self._untold.pop(topic, None) is not None:
            return
        _, before, _ = self._news.pop(topic, (False, True, 1))
        if before:
            self._news[topic] = (False, True, 1)

    def take(self) -> bytes:
        """Some of it, encoded; it is then no more here."""
        # The last of a dict can be taken out without a look at those before it.
        last = [self._untold.popitem()[0] for _ in range(min(len(self._untold), _ENCODED_AT_A_TIME))]
        if not self._untold:
            # It has kept its room.
            self._untold = {}
        found = [_encode(topic, True, self._version) for topic in reversed(last)]
        while self._news and len(found) < _ENCODED_AT_A_TIME:
            topic, (wanted, _, times) = self._news.popitem(last=False)
            now = min(times, _ENCODED_AT_A_TIME - len(found))
            found += [_encode(topic, wanted, self._version)] * now
            if times > now:
                self._news[topic] = (wanted, True, times - now)
                self._news.move_to_end(topic, last=False)
        return b"".join(found)


def _encode(topic: bytes, wanted: bool, version: Version) -> bytes:
    if version is Version.V3_1:
        name = commands.SUBSCRIBE if wanted else commands.CANCEL
        return frames.encode(commands.Command(name, topic).body, command=True)
    return frames.encode_message([bytes([wanted]) + topic], v1_0=version is Version.V1_0)


class Subscribe(Side):
    """Asks every publisher for the same topics (RFC 29; libzmq's xsub.cpp).

    :param core: see `Side`.
    :param plan: see `Side`.
    """

    blocks = False

    def __init__(self, core: PythonCore, plan: SidePlan) -> None:
        super().__init__(core, plan)
        # Who wants each topic, a bit each: itself, and the ways that lead to it.
        self._wanted: dict[bytes, int] = {}
        # How often it asks itself.
        self._own: dict[bytes, int] = {}
        # The ways, by what they count, in the order of their bits.
        self._ways: list[OutletCounters] = []
        self._nodes: dict[bytes, Node[Subscribe]] = {}
        self._topics: Topics[Subscribe] = Topics()

    def subscribe(self, topic: bytes) -> None:
        """See `Side.subscribe`, and there of `topic`."""
        askers = self._wanted.get(topic, 0)
        if not askers:
            self._begin(topic)
        self._wanted[topic] = askers | _OWN
        self._own[topic] = self._own.get(topic, 0) + 1

    def cancel(self, topic: bytes) -> None:
        """See `Side.cancel`, and there of `topic`."""
        count = self._own.pop(topic, 0)
        if count > 1:
            self._own[topic] = count - 1
        elif count:
            self._leave(topic, _OWN)

    @property
    def asks_for(self) -> Sequence[bytes]:
        """See `Side.asks_for`."""
        return list(self._wanted)

    def _leave(self, topic: bytes, asker: int) -> None:
        """Have one of those that want `topic` want it no more."""
        askers = self._wanted.get(topic, 0)
        if askers & ~asker:
            self._wanted[topic] = askers & ~asker
        elif askers:
            self._end(topic)

    def _begin(self, topic: bytes) -> None:
        self._wanted[topic] = _OWN
        self.core.kept.used_bytes += len(topic) + _WANTED_BYTES
        self._nodes[topic] = self._topics.add(topic, self)
        for peer in self._connected():
            peer.topics.subscribe(topic, known=False)
            self._ask(peer)

    def _again(self, topic: bytes) -> None:
        for peer in self._connected():
            peer.topics.subscribe(topic, known=True)
            self._ask(peer)

    def _end(self, topic: bytes) -> None:
        del self._wanted[topic]
        self.core.kept.used_bytes -= len(topic) + _WANTED_BYTES
        self._topics.remove(self._nodes.pop(topic), self)
        for peer in self._connected():
            peer.topics.cancel(topic)
            self._ask(peer)

    def _connected(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.connected]

    def _ask(self, peer: Peer) -> None:
        peer.more_control = functools.partial(self._take, peer)
        self._count(peer)
        self.core.dirty(peer)

    def _take(self, peer: Peer) -> bytes:
        taken = cast(Wishes, peer.topics).take()
        self._count(peer)
        return taken

    def _count(self, peer: Peer) -> None:
        wishes: Wishes = peer.topics
        self.core.kept.used_bytes += wishes.nbytes - wishes.counted_bytes
        wishes.counted_bytes = wishes.nbytes

    def attached(self, peer: Peer) -> None:
        """See `Side.attached`, and there of `peer`."""
        assert peer.info is not None
        peer.topics = Wishes(peer.info.version, self._wanted)
        if self._wanted:
            self._ask(peer)

    def detached(self, peer: Peer) -> None:
        """See `Side.detached`, and there of `peer`."""
        if peer.topics is not None:
            peer.topics.clear()
            self._count(peer)

    def forget(self, until: float) -> bool:
        """See `Side.forget`, and there of `until`."""
        while self._wanted:
            self._end(next(reversed(self._wanted)))
            if self.core.is_over(until):
                break
        return bool(self._wanted)

    def subscribed_bytes(self, peer: Peer) -> int:
        """What it has not read of subscriptions; see `Side.subscribed_bytes`, and there of `peer`."""
        return 0 if peer.topics is None else cast(Wishes, peer.topics).nbytes

    # What comes

    def receive(self, peer: Peer, run: Run) -> int:
        """A SUB takes what it is subscribed to; see `Side.receive`, and there of `peer` and `run`."""
        if self.plan.type == "XSUB" or b"" in self._wanted:
            return super().receive(peer, run)
        count, index = len(run.ends), 0
        while index < count:
            last, matches = index, self._matches(run, index)
            while last < count and self._matches(run, last) == matches:
                last += 1
            if matches:
                moved = super().receive(peer, run.piece(index, last))
                if moved < last - index:
                    return index + moved
            index = last
        return count

    def _matches(self, run: Run, index: int) -> bool:
        return bool(self._topics.match(run.data, *run.first_part(index)))

    # What goes

    def send(self, run: Run, counters: OutletCounters) -> None:
        """Of an XSUB: see `Side.send`, and there of `run` and `counters`.

        A message of one part that begins with 0 or 1 is a subscription, or its end. Topics are a set for each way that
        leads here: an XPUB reports the end of the last subscription alone.
        """
        for index in range(len(run.ends)):
            piece = run.piece(index, index + 1)
            body, end = piece.first_part(0)
            if piece.parts == 1 and end > body and piece.data[body] <= 1:
                self._follow(piece.data[body + 1 : end], wanted=piece.data[body] == 1, way=counters)
                count_sent(counters, piece)
            elif publishers := self._connected():
                _send_upstream(piece, publishers)
                count_sent(counters, piece)
            else:
                counters.drop(Drop.NO_PEER)

    def _follow(self, topic: bytes, *, wanted: bool, way: OutletCounters) -> None:
        # News of topics go before the messages that wait, but those that came first are to be there first.
        for peer in self._connected():
            if peer.queue.messages and not peer.is_stalled:
                self.core.write(peer)
        asker = self._asker(way)
        if not wanted:
            self._leave(topic, asker)
            return
        askers = self._wanted.get(topic, 0)
        if askers:
            self._again(topic)
        else:
            self._begin(topic)
        self._wanted[topic] = askers | asker

    def _asker(self, way: OutletCounters) -> int:
        """The bit of a `way`."""
        for index, one in enumerate(self._ways, 1):
            if one is way:
                return _OWN << index
        self._ways.append(way)
        return _OWN << len(self._ways)


def _send_upstream(piece: Run, peers: list[Peer]) -> None:
    for peer in peers:
        if peer.make_room():
            peer.enqueue(piece)
        elif peer.connected:
            peer.drop(peer.why_full, 1)
