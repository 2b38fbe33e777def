"""Which other devices there are, what each is sent, and what has come from it: the decisions of a backbone, pure.

::

    one device                                            another one
        Here: I am here, and ask for interest 1   ------>
        <------   Here: I am here, and ask for interest 2
        <------   Served: from here on you get stream 1, from pack 7 on
        <------   packs of stream 1, the first one has the number 7

A stream is all that one interest is in. Devices that ask for the same share a stream. Packs and `Served` come in order,
so a device that asks for something else is moved from one stream to another without a loss and without a repetition.
What a device has been told last is in each `Here` of it, so a word that did not come is said again.

Time is an argument, in seconds of a clock that never goes back. No packs and no connection are here, only decisions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .actions import Action, Forget, Joined, Left, Say, Serve
from .interest import Interest, covers, id_of
from .pack import PackHead
from .sent_streams import SentStreams
from .terms import MOST_COUNT, MOST_RELAYS
from .values import Neighbour
from .words.mesh import About, Ask, Gone, Here, Mark, Ping, Pong, Served
from .words.word import Word

HERE_S = 1.0
"""How often a device says that it is there."""
EXPIRY_S = 5.0
"""A device that has been silent for so long is gone."""
AGAIN_S = 1.5
"""So long after `Served` a `Here` must know of it: the next one after it has come."""
PING_S = 5.0
"""How often it is measured how long the way to another device and back takes."""
_PINGS = 5
"""To how many others at most in one `Mesh.tick`."""
_KEPT_S = 10.0
"""How long what was asked for before is listened to: until all others have moved this device."""
_TOLD_BYTES = 512
"""A longer interest is told when it is new and when it is asked for, and not each second."""

_NOTHING = id_of(())


@dataclass(slots=True)
class _Other:
    """What is known of another device.

    :ivar heard: when it was heard of last, or when this device was connected after that.
    :ivar is_back: whether it was heard of since this device was connected.
    :ivar wants: how many prefixes it asks for.
    :ivar stream: what it is sent; None for nothing.
    :ivar turn: the number of the last `Served` to it.
    :ivar acked: the number of the last one that it says it has got.
    :ivar served: that word, once it has gone, and when.
    :ivar left_at: where its stream stood when it was taken for gone.
    :ivar taking: where the next pack from it begins; None while it sends nothing that was asked for.
    :ivar taken: the number of the last `Served` from it.
    :ivar begins: where what it is sent now begins.
    :ivar sent: how many messages it was sent before that.
    :ivar about: what it says of itself.
    :ivar pinged: when it was asked for an answer last; `ping` is the number of that question, None once it is there.
    """

    relay: bytes
    heard: float
    host: str = ""
    is_back: bool = True
    wants: int = 0
    stream: bytes | None = None
    turn: int = 0
    acked: int = 0
    served: tuple[Served, float] | None = None
    left_at: Mark | None = None
    taking: Mark | None = None
    taken: int = 0
    received: int = 0
    lost: int = 0
    begins: Mark | None = None
    sent: int = 0
    about: About | None = None
    pinged: float = -math.inf
    ping: int | None = None
    round_trip_s: float | None = None


class Mesh:
    """The devices of one name, as one of them sees them.

    Each method that is told something answers with what is to be done, in that order. Before that, `listens` and
    `streams` may have changed: what is listened to has to be subscribed at NATS first.

    :param relay: the id of this device.
    :param host: the host that it is on.
    :param mark: where one of its streams stands, see `geventrelay.backbone.topics.outbox.Outbox.mark`.
    :param about: what it says of itself besides.
    :ivar interest: what this device asks for.
    :ivar streams: what is sent: each interest of other devices, by its name.
    :ivar lost: how many messages did not come, of all others.
    """

    def __init__(
        self, relay: bytes, host: str, mark: Callable[[bytes], Mark], about: Callable[[], About | None] = lambda: None
    ) -> None:
        self.relay = relay
        self._host = host
        self._mark = mark
        self._about = about
        self._others: dict[bytes, _Other] = {}
        # Those that were taken for gone: where they stood, should they come back.
        self._past: OrderedDict[bytes, _Other] = OrderedDict()
        self._is_connected = False
        self._next_here = 0.0
        self._pings = 0
        self._ticked: float | None = None
        self._id = _NOTHING
        # What was asked for before, and when it was replaced.
        self._before: dict[bytes, float] = {}
        self.interest: Interest = ()
        self._sent = SentStreams()
        self.streams = self._sent.streams
        self.lost = 0

    @property
    def listens(self) -> frozenset[bytes]:
        """The names of the streams that this device may be sent."""
        taken = (one.taking.stream for one in self._others.values() if one.taking is not None)
        return frozenset({self._id, *self._before, *taken} - {_NOTHING})

    @property
    def waits(self) -> bool:
        """Whether packs are to wait, since devices may not be connected again that were there before."""
        return not self._is_connected or not all(one.is_back for one in self._others.values())

    def is_back(self, relay: bytes) -> bool:
        """Whether another device is there, and was heard of since this one was connected."""
        other = self._others.get(relay)
        return self._is_connected and other is not None and other.is_back

    def ask_for(self, interest: Interest, now: float) -> list[Action]:
        """Ask the others for an `interest` from now on."""
        if interest == self.interest:
            return []
        self._before[self._id] = now
        self.interest, self._id = interest, id_of(interest)
        self._before.pop(self._id, None)
        return self._say_here(now) if self._is_connected else []

    def connected(self, now: float) -> list[Action]:
        """NATS can be reached from `now` on, for the first time or again."""
        self._is_connected = True
        for one in self._others.values():
            one.heard, one.is_back, one.ping, one.round_trip_s = now, False, None, None
        return self._say_here(now, answer=True)

    def disconnected(self) -> None:
        """NATS cannot be reached; the others count as there meanwhile."""
        self._is_connected = False

    def tick(self, now: float) -> list[Action]:
        """What is due by `now`; to be called several times a second."""
        ticked, self._ticked = self._ticked, now
        if not self._is_connected:
            return []
        if ticked is not None and now - ticked >= 2 * HERE_S:
            # This process did not run: what the others have said meanwhile is still to be read.
            for one in self._others.values():
                one.heard = now
        done: list[Action] = []
        for one in [one for one in self._others.values() if now - one.heard >= EXPIRY_S]:
            done += self._lose(one)
        for name in [name for name, replaced in self._before.items() if now - replaced >= _KEPT_S]:
            del self._before[name]
        if now >= self._next_here:
            done += self._say_here(now, told_bytes=_TOLD_BYTES)
        return done + self._ping(now)

    def leave(self) -> list[Action]:
        """This device stops."""
        return [Say(None, Gone(self.relay))] if self._is_connected else []

    def hear(self, word: Word, now: float, *, changes: bool = True) -> list[Action]:
        """Another device has said a `word`, which has come `now`. Without `changes`, it is sent what it was before."""
        if word.relay == self.relay:
            return []
        match word:
            case Here():
                return self._hear_here(word, now, changes=changes)
            case Ask():
                return [Say(word.relay, self._here())] if word.relay in self._others else []
            case Served():
                self._hear_served(word)
            case Ping():
                return [Say(word.relay, Pong(self.relay, word.number))] if word.relay in self._others else []
            case Pong():
                self._hear_pong(word, now)
            case Gone():
                other = self._others.get(word.relay)
                done = self._lose(other) if other is not None else []
                self._past.pop(word.relay, None)
                return done
        return []

    def changes(self, word: Here) -> bool:
        """Whether `word` may change what is sent."""
        other = self._others.get(word.relay)
        return word.interest != (_NOTHING if other is None or other.stream is None else other.stream)

    def said(self, relay: bytes, word: Served, now: float) -> None:
        """The `word` that `Serve` has asked for has gone to the device `relay`, `now`."""
        other = self._others.get(relay)
        if other is None:
            return
        if isinstance(word.ended, Mark):
            self._end_stint(other, word.ended)
        other.begins = word.begins
        if word.turn == other.turn:
            other.served = word, now

    def take(self, head: PackHead, now: float) -> bool:
        """Whether a pack with this `head`, which comes `now`, is for this device. What is missing before it is lost."""
        other = self._others.get(head.relay)
        if other is None:
            return False
        other.heard, other.is_back = now, True
        taking = other.taking
        if taking is None or head.stream != taking.stream or head.number < taking.pack:
            return False
        self._lost(other, head.first - taking.message)
        other.taking = Mark(head.stream, head.number + 1, head.first + head.count)
        other.received += head.count
        return True

    def knows(self, relay: bytes) -> bool:
        """Whether there is a device `relay`."""
        return relay in self._others

    def sends(self, relay: bytes, topic: bytes) -> bool:
        """Whether messages that begin with `topic` go to the device `relay`."""
        other = self._others.get(relay)
        return other is not None and other.stream is not None and covers(self.streams[other.stream], topic)

    def neighbours(self, now: float) -> tuple[Neighbour, ...]:
        """The other devices as they are `now`, by their ids."""
        return tuple(
            Neighbour(
                relay=relay.hex(),
                host=one.host,
                silent_s=max(0.0, now - one.heard),
                wants=one.wants,
                served=one.stream is not None and one.acked == one.turn,
                serves=one.taking is not None,
                received=one.received,
                lost=min(one.lost, MOST_COUNT),
                sent=one.sent + self._sent_since(one.begins),
                round_trip_s=one.round_trip_s if self._is_connected else None,
                about=one.about,
            )
            for relay, one in sorted(self._others.items())
        )

    def _here(self, *, told_bytes: int | None = None, answer: bool = False) -> Here:
        is_told = told_bytes is None or sum(map(len, self.interest)) <= told_bytes
        taken = {relay: one.taken for relay, one in self._others.items() if one.taken}
        prefixes = self.interest if is_told else None
        return Here(self.relay, self._host, self._id, prefixes, taken, answer, self._about())

    def _say_here(self, now: float, *, told_bytes: int | None = None, answer: bool = False) -> list[Action]:
        self._next_here = now + HERE_S
        return [Say(None, self._here(told_bytes=told_bytes, answer=answer))]

    def _hear_here(self, word: Here, now: float, *, changes: bool) -> list[Action]:
        other = self._others.get(word.relay)
        is_new = other is None
        if other is None:
            if len(self._others) >= MOST_RELAYS:
                return []
            other = self._others[word.relay] = self._past.pop(word.relay, _Other(word.relay, now))
        other.heard, other.is_back, other.host = now, True, word.host
        other.acked = word.taken.get(self.relay, 0)
        other.about = word.about
        done: list[Action] = [Joined(word.relay, word.host)] if is_new else []
        if is_new or word.answer:
            done.append(Say(word.relay, self._here()))
        if not changes:
            return done
        interest = word.prefixes if word.prefixes is not None else self._known(word.interest)
        if interest is None:
            return [*done, Say(word.relay, Ask(self.relay))]
        other.wants = len(interest)
        return done + self._serve(other, word.interest if interest else None, interest, now)

    def _ping(self, now: float) -> list[Action]:
        """Ask some others for an answer: those that know the word, and that were asked long ago or never."""
        asked_last = now - PING_S
        due = [one for one in self._others.values() if one.about is not None and one.pinged <= asked_last]
        due.sort(key=lambda one: one.pinged)
        done: list[Action] = []
        for one in due[:_PINGS]:
            self._pings += 1
            one.pinged, one.ping = now, self._pings
            done.append(Say(one.relay, Ping(self.relay, self._pings)))
        return done

    def _hear_pong(self, word: Pong, now: float) -> None:
        other = self._others.get(word.relay)
        if other is not None and other.ping == word.number:
            other.round_trip_s, other.ping = now - other.pinged, None

    def _sent_since(self, begins: Mark | None) -> int:
        return 0 if begins is None else max(0, self._mark(begins.stream).message - begins.message)

    def _end_stint(self, other: _Other, ended: Mark) -> None:
        """What a device was sent in the stream that it was sent up to now is all that it gets of it."""
        if other.begins is not None and other.begins.stream == ended.stream:
            other.sent += max(0, ended.message - other.begins.message)
        other.begins = None

    def _known(self, name: bytes) -> Interest | None:
        if name == _NOTHING:
            return ()
        return self.interest if name == self._id else self.streams.get(name)

    def _serve(self, other: _Other, stream: bytes | None, interest: Interest, now: float) -> list[Action]:
        """Have a device be sent `stream`, or tell it again that it is."""
        if stream == other.stream:
            if other.acked < other.turn and other.served is not None and now - other.served[1] >= AGAIN_S:
                other.served = other.served[0], now
                return [Say(other.relay, other.served[0])]
            return []
        ended = other.stream if other.stream is not None else other.left_at
        if other.stream is not None:
            self._sent.drop(other.stream)
        other.stream, other.left_at, other.served = stream, None, None
        other.turn += 1
        if stream is not None:
            self._sent.add(stream, interest)
        return [Serve(other.relay, other.turn, stream, ended)]

    def _hear_served(self, word: Served) -> None:
        other = self._others.get(word.relay)
        begins, ended = word.begins, word.ended
        if other is None or word.turn <= other.taken or (begins is not None and begins.stream not in self.listens):
            return
        if ended is not None and other.taking is not None and ended.stream == other.taking.stream:
            self._lost(other, ended.message - other.taking.message)
        other.taking, other.taken = begins, word.turn

    def _lose(self, other: _Other) -> list[Action]:
        """Another device is gone, or taken for it."""
        del self._others[other.relay]
        self._past[other.relay] = other
        if len(self._past) > MOST_RELAYS:
            self._past.popitem(last=False)
        done: list[Action] = [Left(other.relay, other.host)]
        stream = other.stream
        if stream is not None:
            other.left_at, other.stream, other.served = self._mark(stream), None, None
            self._end_stint(other, other.left_at)
            self._sent.drop(stream)
            if stream not in self.streams:
                done.append(Forget(stream))
        return done

    def _lost(self, other: _Other, count: int) -> None:
        if count > 0:
            other.lost += count
            self.lost += count
