"""What is for other devices, in the order in which it goes to NATS: packs, and the words that stand between them.

Each stream has a pack that is open. Messages are put in there until it is large enough, or until a word has to stand
behind them. A pack gets its number when it goes, so one that is dropped before leaves no hole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..pack import HEAD_BYTES, PackHead
from ..values import BackboneDrop
from ..whole import ends
from ..words.mesh import Mark, Served
from ..words.word import Word
from .sorting import Takers

PACK_BYTES = 32 * 1024
"""A pack that is so large goes at once: with more, a message costs no less."""

_MOST_PLACES = 4096
"""Of so many streams it is known where they stand, also while no device takes them."""


@dataclass(frozen=True, slots=True)
class OutPack:
    """A pack that goes.

    :ivar stream: the name of the interest that it is for.
    :ivar count: how many messages it has.
    :ivar nbytes: how long these are.
    :ivar data: all of it, with its head.
    """

    stream: bytes
    count: int
    nbytes: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OutServed:
    """A word that goes.

    :ivar relay: the id of the device that it is for.
    :ivar word: the word.
    """

    relay: bytes
    word: Served


@dataclass(frozen=True, slots=True)
class OutTurn:
    """It is the turn of a word that `Outbox.follow` has put behind all that waited then.

    :ivar relay: the id of the device that it is for.
    :ivar kind: what it is.
    """

    relay: bytes
    kind: type[Word]


@dataclass(slots=True)
class _Pack:
    stream: bytes
    pieces: list[bytes] = field(default_factory=list)
    count: int = 0
    nbytes: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class _Turn:
    place: int
    relay: bytes
    turn: int
    begins: bytes | None
    ended: bytes | Mark | None


class Outbox:
    """Packs and words that wait, in order.

    :param relay: the id of this device.
    :param limit_bytes: how much may wait; what is put into an empty one has room in any case.
    :param drops: whether what there is no room for is dropped; else the one who puts has to wait once it `is_full`.
    :ivar waiting: how many messages wait.
    :ivar waiting_bytes: how long these are.
    :ivar dropped: how many messages were dropped, by reason.
    """

    def __init__(self, relay: bytes, limit_bytes: int, *, drops: bool = True) -> None:
        self._relay = relay
        self._limit = limit_bytes
        self._drops = drops
        self._open: dict[bytes, _Pack] = {}
        self._queue: deque[_Pack | _Turn] = deque()
        self._places: dict[bytes, tuple[int, int]] = {}
        # How many were put in the queue; each knows how many that were before it.
        self._count = 0
        # Words that go before what has that place, in the order of these.
        self._following: dict[tuple[bytes, type[Word]], int] = {}
        self.waiting = self.waiting_bytes = 0
        self.dropped: dict[BackboneDrop, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return self.waiting_bytes >= self._limit

    @property
    def has_open(self) -> bool:
        """Whether there are packs that may yet get more messages."""
        return bool(self._open)

    def __bool__(self) -> bool:
        """Whether there is something to `take`."""
        return bool(self._queue or self._following)

    def put(self, takers: Takers, data: bytes, count: int) -> None:
        """Have messages go to each of their takers, as far as there is room.

        :param takers: the names of the streams that they belong to.
        :param data: whole messages, as ZMTP has them in a connection.
        :param count: how many messages that is.
        """
        for stream in takers:
            if self._drops and self.waiting_bytes and self.waiting_bytes + len(data) > self._limit:
                self._drop(BackboneDrop.BACKBONE, count)
                continue
            pack = self._open.get(stream)
            if pack is None:
                pack = self._open[stream] = _Pack(stream)
            pack.pieces.append(data)
            pack.count += count
            pack.nbytes += len(data)
            self.waiting += count
            self.waiting_bytes += len(data)
            if pack.nbytes >= PACK_BYTES:
                self._close(stream)

    def close(self) -> None:
        """Have all packs go as they are."""
        for stream in list(self._open):
            self._close(stream)

    def serve(self, relay: bytes, turn: int, begins: bytes | None, ended: bytes | Mark | None) -> None:
        """Tell a device that all that is put from now on comes to it in another stream.

        :param relay: the id of that device.
        :param turn: the number of the word.
        :param begins: the name of that stream; None for none.
        :param ended: the name of the stream that all up to now came in, or where that one ended long ago.
        """
        for stream in (begins, ended):
            if isinstance(stream, bytes):
                self._close(stream)
        self._queue.append(_Turn(self._count, relay, turn, begins, ended))
        self._count += 1

    def follow(self, relay: bytes, kind: type[Word]) -> None:
        """Have a word of that `kind` go to the device `relay` behind all that waits now; one that still waits goes not.

        What goes is an `OutTurn`: what the word says is made when it goes.
        """
        self.close()
        self.forget_word(relay, kind)
        self._following[relay, kind] = self._count

    def forget_word(self, relay: bytes, kind: type[Word]) -> None:
        """Have a word of that `kind` not go to the device `relay` any more."""
        self._following.pop((relay, kind), None)

    def forget(self, stream: bytes) -> None:
        """Drop what waits in a stream that no device takes any more."""
        self._close(stream)
        kept: deque[_Pack | _Turn] = deque()
        for one in self._queue:
            if isinstance(one, _Pack) and one.stream == stream:
                self._gone(one.count, one.nbytes)
                self._drop(BackboneDrop.LEFT, one.count)
            else:
                kept.append(one)
        self._queue = kept

    def drop_all(self) -> None:
        """Drop all that waits: the device stops."""
        self.close()
        for one in self._queue:
            if isinstance(one, _Pack):
                self._gone(one.count, one.nbytes)
                self._drop(BackboneDrop.STOPPED, one.count)
        self._queue.clear()
        self._following.clear()

    def mark(self, stream: bytes) -> Mark:
        """Where a stream stands: before the next pack of it that goes."""
        return Mark(stream, *self._places.get(stream, (0, 0)))

    def take(self, most_bytes: int) -> OutPack | OutServed | OutTurn | None:
        """What goes next; None if nothing waits but open packs.

        :param most_bytes: how large a pack may be, its head included. Messages that are too large are dropped.
        """
        while self._queue or self._following:
            if self._following and (turn := self._turn()) is not None:
                return turn
            one = self._queue.popleft()
            if isinstance(one, _Turn):
                ended = self.mark(one.ended) if isinstance(one.ended, bytes) else one.ended
                begins = None if one.begins is None else self.mark(one.begins)
                return OutServed(one.relay, Served(self._relay, one.turn, begins, ended))
            if one.nbytes + HEAD_BYTES > most_bytes:
                self._queue.extendleft(reversed(self._cut(one, most_bytes - HEAD_BYTES)))
                continue
            return self._numbered(one)
        return None

    def _turn(self) -> OutTurn | None:
        """The word that goes before the first in the queue, if there is one."""
        key, place = next(iter(self._following.items()))
        if self._queue and self._queue[0].place < place:
            return None
        del self._following[key]
        return OutTurn(*key)

    def _numbered(self, pack: _Pack) -> OutPack:
        # The stream that has gone last is the last that is forgotten.
        number, first = self._places.pop(pack.stream, (0, 0))
        self._places[pack.stream] = number + 1, first + pack.count
        if len(self._places) > _MOST_PLACES:
            del self._places[next(iter(self._places))]
        self._gone(pack.count, pack.nbytes)
        head = PackHead(self._relay, pack.stream, number, first, pack.count)
        return OutPack(pack.stream, pack.count, pack.nbytes, b"".join((head.encoded(), *pack.pieces)))

    def _cut(self, pack: _Pack, most_bytes: int) -> list[_Pack]:
        """The messages of a pack in smaller ones, without those that are too large for any."""
        made: list[_Pack] = []
        whole = b"".join(pack.pieces)
        begin = 0
        for end in ends(whole):
            size = end - begin
            if size > most_bytes:
                self._gone(1, size)
                self._drop(BackboneDrop.TOO_LARGE, 1)
            else:
                if not made or made[-1].nbytes + size > most_bytes:
                    made.append(_Pack(pack.stream, place=pack.place))
                made[-1].pieces.append(whole[begin:end])
                made[-1].count += 1
                made[-1].nbytes += size
            begin = end
        return made

    def _close(self, stream: bytes) -> None:
        pack = self._open.pop(stream, None)
        if pack is not None:
            pack.place = self._count
            self._count += 1
            self._queue.append(pack)

    def _gone(self, count: int, nbytes: int) -> None:
        self.waiting -= count
        self.waiting_bytes -= nbytes

    def _drop(self, reason: BackboneDrop, count: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count
