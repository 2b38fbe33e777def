"""Traces: asks other devices how long messages take to them, and answers when they ask. See `tracing`.

A part of an `Exchange`, on its loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..actions import Say
from ..mesh import Mesh
from ..topics.outbox import Outbox
from ..values import BackboneDrop, Neighbour
from ..words.trace import Probe, Step, Traced
from ..words.word import Word
from .around import Around
from .hops import Trace, TracedRelay
from .tracing import Passage, ProbeAnswers, Way


@dataclass(slots=True)
class _Asked:
    """A trace that goes on.

    :ivar report: what gets to know what was found.
    """

    number: int
    topic: bytes | None
    limit_s: float
    began: float
    waiting: int
    incoming: int
    ways: dict[bytes, Way]
    report: Callable[[Trace], None]


class Probing:
    """The traces of one device.

    :param mesh: knows the others.
    :param outbox: what waits for them.
    :param around: what else there is to know.
    :param say: sends words at once.
    """

    def __init__(
        self,
        mesh: Mesh,
        outbox: Outbox,
        around: Around,
        say: Callable[[Sequence[Say]], None],
    ) -> None:
        self._mesh = mesh
        self._outbox = outbox
        self._around = around
        self._say = say
        self._answering = ProbeAnswers(
            mesh.relay, around.interested, around.room, lambda: around.dropped(BackboneDrop.SLOW)
        )
        self._asked: _Asked | None = None
        self._asks = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Know the running loop."""
        self._loop = asyncio.get_running_loop()

    def ask(self, topic: bytes | None, limit_s: float, report: Callable[[Trace], None]) -> None:
        """Send a probe to each of the others; one that goes on is ended.

        :param topic: what messages begin with that are asked about; None for none.
        :param limit_s: how long to wait for answers, in seconds.
        :param report: gets what was found, once. It must not yield.
        """
        self._finish()
        now, waiting = time.monotonic(), self._around.waiting
        has_topic = topic is not None and self._around.interested(topic) is not None
        self._asks += 1
        ways: dict[bytes, Way] = {}
        for one in self._mesh.neighbours(now):
            relay, is_older = bytes.fromhex(one.relay), one.about is None
            sent = self._mesh.sends(relay, topic) if has_topic and topic is not None else None
            ways[relay] = Way(relay, one.host, is_older=is_older, sent=sent, now=now, waiting=waiting)
            if not is_older:
                self._outbox.follow(relay, Probe)
        incoming = sum(flow.arrived - flow.handed for flow in self._around.flows)
        self._asked = _Asked(self._asks, topic, limit_s, now, waiting, incoming, ways, report)
        if self._loop is None:
            # It has stopped since it was told to ask.
            self._finish()
            return
        self._end_timer = self._loop.call_later(limit_s, self._finish)
        self._say(())
        self._finish_if_over()

    def hear(self, word: Word) -> bool:
        """Whether `word` is one of a trace; then it is taken in."""
        now = time.monotonic()
        match word:
            case Probe():
                if self._mesh.knows(word.relay):
                    self._outbox.forget_word(word.relay, Traced)
                    self._tell(word.relay, self._answering.hear(word, now, self._around.flows), now)
            case Traced():
                asked = self._asked
                if asked is not None and word.number == asked.number and word.relay in asked.ways:
                    asked.ways[word.relay].hear(word, now, self._around.flows)
                    self._finish_if_over()
            case _:
                return False
        self._look_soon(now)
        return True

    def turn(self, relay: bytes, kind: type[Word]) -> Word | None:
        """What goes to the device `relay` where it is the turn of a word of that `kind`; None if none does."""
        if kind is Traced:
            return self._answering.turn(relay, time.monotonic())
        if self._asked is None or relay not in self._asked.ways:
            return None
        self._asked.ways[relay].going(time.monotonic())
        return Probe(self._mesh.relay, self._asked.number, self._asked.topic)

    def gone(self, relay: bytes, word: Word) -> None:
        """A `word` that it was the turn of has gone to the device `relay`."""
        # There may be another trace since then.
        if isinstance(word, Traced):
            self._answering.gone(relay, word.number)
        elif isinstance(word, Probe) and self._asked is not None and word.number == self._asked.number:
            self._asked.ways[relay].gone(time.monotonic())

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone."""
        self._answering.left(relay)
        for kind in (Probe, Traced):
            self._outbox.forget_word(relay, kind)
        if self._asked is not None and relay in self._asked.ways:
            self._asked.ways[relay].has_left = True
            self._finish_if_over()

    def stop(self) -> None:
        """End what goes on: the device stops."""
        self._finish()
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._loop = None

    def _tell(self, relay: bytes, word: Traced, now: float) -> None:
        self._say((Say(relay, word),))
        if word.step is Step.TAKEN:
            waiting = self._around.waiting
            self._outbox.follow(relay, Traced)
            self._answering.waits(relay, now, waiting)

    def _passages(self) -> list[Passage]:
        """Answers that are back, and wait for this device."""
        ways = () if self._asked is None else self._asked.ways.values()
        return [way.passage for way in ways if way.passage is not None and way.passage.taken is None]

    def _look_soon(self, now: float) -> None:
        pauses = [passage.pause_s(now) for passage in self._passages()]
        if (pause := self._answering.pause_s(now)) is not None:
            pauses.append(pause)
        if pauses and self._look_timer is None and self._loop is not None:
            self._look_timer = self._loop.call_later(min(pauses), self._look)

    def _look(self) -> None:
        self._look_timer = None
        now, flows = time.monotonic(), self._around.flows
        for relay, word in self._answering.look(now, flows):
            self._tell(relay, word, now)
        for passage in self._passages():
            passage.look(now, flows)
        self._finish_if_over()
        self._look_soon(now)

    def _finish_if_over(self) -> None:
        if self._asked is not None and all(way.is_over for way in self._asked.ways.values()):
            self._finish()

    def _finish(self) -> None:
        asked, self._asked = self._asked, None
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
        if asked is None:
            return
        for relay in asked.ways:
            self._outbox.forget_word(relay, Probe)
        asked.report(self._found(asked))

    def _found(self, asked: _Asked) -> Trace:
        now, around = time.monotonic(), self._around
        known = {bytes.fromhex(one.relay): one for one in self._mesh.neighbours(now)}
        interest = None if asked.topic is None else around.interested(asked.topic)
        return Trace(
            relay=self._mesh.relay.hex(),
            host=around.host,
            server=around.server,
            reason=around.reason,
            away_s=around.away_s,
            waiting=asked.waiting,
            incoming=asked.incoming,
            dropped=around.dropped(BackboneDrop.BACKBONE),
            limit_s=asked.limit_s,
            took_s=now - asked.began,
            topic=asked.topic,
            wanted=None if interest is None else interest[0],
            subscriptions=None if interest is None else interest[1],
            room=around.room(),
            workers=around.workers(),
            relays=tuple(
                self._traced(way, known.get(relay), asked.limit_s, now) for relay, way in sorted(asked.ways.items())
            ),
        )

    def _traced(self, way: Way, neighbour: Neighbour | None, limit_s: float, now: float) -> TracedRelay:
        around = self._around
        found = way.found(
            now,
            silent_s=None if neighbour is None else neighbour.silent_s,
            limit_s=limit_s,
            stays=around.stays,
            credit=around.credit(way.relay),
        )
        about = None if neighbour is None else neighbour.about
        return replace(found, workers=None if about is None else around.workers(about.peers))
