"""How long messages take to other devices: a probe that waits where messages wait, and its answer. Pure.

::

    the one that asks                                      another one
        Probe, in order with the packs            ------>
        <------   Traced CAME, at once                     it waits behind what came before it
        <------   Traced HANDED, at once                   that was handed to the device
        <------   Traced TAKEN, at once                    the device has taken that
        <------   Traced BACK, in order with the packs

Each device measures with its own clock how long the probe was where. What is left of the whole time is NATS, there and
back: the clocks of two machines are not compared. What is said at once tells where a probe stays that does not come
back.

Time is an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..inbox import Inbox
from ..words.trace import Probe, Step, Traced
from .hops import Hop, Outcome, Place, TracedRelay

# It is looked after what waits so often: the longer it takes already, the less exactly it has to be known.
_LEAST_LOOK_S, _MOST_LOOK_S = 0.001, 0.05
_LOOKS = 16

_US = 1e6


class Flow(NamedTuple):
    """How many messages of others have come on one way into a device, since it was started.

    :ivar arrived: those that have come, and were not dropped.
    :ivar handed: of these, those that were handed to the device.
    :ivar taken: of these, those that the device has taken.
    """

    arrived: int
    handed: int
    taken: int

    @classmethod
    def of(cls, inbox: Inbox, taken: int) -> Flow:
        """That of an `inbox`, of whose messages the device has `taken` so many."""
        return cls(inbox.delivered + inbox.waiting, inbox.delivered, taken)


class Passage:
    """A probe, or an answer, behind all that has come into a device before it.

    :param now: when it has come.
    :param flows: what had come by then, on each way into the device.
    :ivar came: when it has come.
    :ivar handed: when what came before it had been handed to the device; None before that.
    :ivar taken: when the device had taken that; None before that.
    :ivar incoming: how many messages waited for the device.
    :ivar untaken: how many the device had been handed and had not taken.
    """

    def __init__(self, now: float, flows: Sequence[Flow]) -> None:
        self._marks = [flow.arrived for flow in flows]
        self.came = now
        self.handed: float | None = None
        self.taken: float | None = None
        self.incoming = sum(flow.arrived - flow.handed for flow in flows)
        self.untaken = sum(max(0, flow.handed - flow.taken) for flow in flows)
        self.look(now, flows)

    def look(self, now: float, flows: Sequence[Flow]) -> None:
        """Go on with what the ways into the device, in the same order, have done up to `now`: their `flows`."""
        pairs = list(zip(self._marks, flows, strict=True))
        if self.handed is None and all(flow.handed >= mark for mark, flow in pairs):
            self.handed = now
        if self.taken is None and self.handed is not None and all(flow.taken >= mark for mark, flow in pairs):
            self.taken = now

    def pause_s(self, now: float) -> float:
        """How long to wait for the next `look`, `now`."""
        return min(max((now - self.came) / _LOOKS, _LEAST_LOOK_S), _MOST_LOOK_S)


@dataclass(slots=True)
class _Pending:
    """A probe of another device.

    :ivar word: how far it has come.
    :ivar answers_at: when the answer began to wait; None before that.
    """

    passage: Passage
    word: Traced
    answers_at: float | None = None


Interested = Callable[[bytes], "tuple[bool, int] | None"]
"""Whether a device asks for a topic, and how many topics of its subscribers cover it; None if it has no topics."""


class ProbeAnswers:
    """Answers the probes of others: the last one of each.

    :param relay: the id of this device.
    :param interested: whether it asks for a topic.
    :param room: how many messages with work its workers have room for; None if it has none with work.
    :param dropped: how many messages of others it has dropped, because the device was too slow.
    """

    def __init__(
        self,
        relay: bytes,
        interested: Interested,
        room: Callable[[], int | None],
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self._relay = relay
        self._interested = interested
        self._room = room
        self._dropped = dropped
        self._pending: dict[bytes, _Pending] = {}

    def hear(self, probe: Probe, now: float, flows: Sequence[Flow]) -> Traced:
        """Take in a `probe` that has come `now`, and what came before it, `flows`; what to say at once.

        If its step is TAKEN, the answer is to wait its turn from now on: see `turn`.
        """
        passage = Passage(now, flows)
        word = Traced(
            relay=self._relay,
            number=probe.number,
            step=Step.CAME,
            incoming=passage.incoming,
            untaken=passage.untaken,
            dropped=self._dropped(),
            room=self._room(),
        )
        interest = None if probe.topic is None else self._interested(probe.topic)
        if interest is not None:
            word = replace(word, wanted=interest[0], subscriptions=interest[1])
        pending = self._pending[probe.relay] = _Pending(passage, word)
        self._go_on(pending)
        return pending.word

    def look(self, now: float, flows: Sequence[Flow]) -> list[tuple[bytes, Traced]]:
        """What there is to say to which devices `now`, since more has gone into this one: `flows`."""
        said: list[tuple[bytes, Traced]] = []
        for relay, pending in self._pending.items():
            if pending.passage.taken is None:
                pending.passage.look(now, flows)
                if self._go_on(pending):
                    said.append((relay, pending.word))
        return said

    def waits(self, relay: bytes, now: float, waiting: int) -> None:
        """The answer to the device `relay` waits its turn from `now` on, behind so many messages that are `waiting`."""
        pending = self._pending.get(relay)
        if pending is not None:
            pending.answers_at = now
            pending.word = replace(pending.word, waiting=waiting)

    def turn(self, relay: bytes, now: float) -> Traced | None:
        """It is the turn of the answer to the device `relay`, `now`: what it says; None if it does not go."""
        pending = self._pending.get(relay)
        if pending is None or pending.answers_at is None:
            return None
        return replace(pending.word, step=Step.BACK, outbox_us=_us(now - pending.answers_at))

    def gone(self, relay: bytes, number: int) -> None:
        """The answer to the question with that `number` has gone to the device `relay`."""
        pending = self._pending.get(relay)
        if pending is not None and pending.word.number == number:
            del self._pending[relay]

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone: it is not answered any more."""
        self._pending.pop(relay, None)

    def pause_s(self, now: float) -> float | None:
        """How long to wait for the next `look`, `now`; None if nothing waits to go into the device."""
        looking = (one.passage.pause_s(now) for one in self._pending.values() if one.passage.taken is None)
        return min(looking, default=None)

    def _go_on(self, pending: _Pending) -> bool:
        """Whether the probe has come further; then its word says so."""
        passage, step = pending.passage, pending.word.step
        if passage.handed is not None and pending.word.step < Step.HANDED:
            pending.word = replace(
                pending.word, step=Step.HANDED, inbox_us=_us(passage.handed - passage.came), room=self._room()
            )
        if passage.taken is not None and passage.handed is not None and pending.word.step < Step.TAKEN:
            pending.word = replace(pending.word, step=Step.TAKEN, device_us=_us(passage.taken - passage.handed))
        return pending.word.step > step


class Way:
    """The way to one other device, as the one that asks sees it.

    :param relay: the id of the other one.
    :param host: the host that it is on.
    :param is_older: whether it knows no probes.
    :param sent: whether messages with the topic go to it; None without a topic.
    :param now: when the probe began to wait.
    :param waiting: how many messages wait for others then.
    :ivar has_left: whether the other one has gone.
    """

    def __init__(self, relay: bytes, host: str, *, is_older: bool, sent: bool | None, now: float, waiting: int) -> None:
        self.relay, self.host = relay, host
        self.has_left = False
        self._is_older = is_older
        self._sent = sent
        self._began, self._waiting = now, waiting
        self._going: float | None = None
        self._gone: float | None = None
        self._first: tuple[float, Traced] | None = None
        self._last: tuple[float, Traced] | None = None
        self.passage: Passage | None = None

    @property
    def is_over(self) -> bool:
        """Whether no more is to come."""
        return self._is_older or self.has_left or (self.passage is not None and self.passage.taken is not None)

    def going(self, now: float) -> None:
        """It is the turn of the probe, `now`: it goes, unless the connection ends."""
        self._going = now

    def gone(self, now: float) -> None:
        """The probe has gone, `now`."""
        if self._gone is None:
            self._gone = now

    def hear(self, word: Traced, now: float, flows: Sequence[Flow]) -> None:
        """Take in a `word` that has come `now`, and what came before it, `flows`."""
        if self._gone is None:
            # The answer may be here before it is known that the question has gone.
            self._gone = self._going
        if self._gone is None or (self._last is not None and word.step <= self._last[1].step):
            return
        self._last = now, word
        self._first = self._first or self._last
        if word.step is Step.BACK:
            self.passage = Passage(now, flows)

    def found(
        self, now: float, *, silent_s: float | None, limit_s: float, stays: str, credit: int | None
    ) -> TracedRelay:
        """What is known `now`.

        :param silent_s: how long ago the other one was heard of, in seconds.
        :param limit_s: how long an answer was waited for, in seconds.
        :param stays: why a probe does not go from here, where that is known.
        :param credit: how many messages with work may be sent to it.
        """
        hops = () if self._is_older else tuple(self._hops(now))
        outcome = self._outcome(hops)
        word = None if self._last is None else self._last[1]
        return TracedRelay(
            relay=self.relay.hex(),
            host=self.host,
            outcome=outcome,
            reason=_reason(outcome, hops, silent_s=silent_s, limit_s=limit_s, stays=stays),
            hops=hops,
            silent_s=None if self.has_left else silent_s,
            sent=self._sent,
            dropped=None if word is None else word.dropped,
            wanted=None if word is None else word.wanted,
            subscriptions=None if word is None or word.wanted is None else word.subscriptions,
            room=None if word is None else word.room,
            credit=credit,
        )

    def _outcome(self, hops: Sequence[Hop]) -> Outcome:
        if self._is_older:
            return Outcome.OLDER
        if all(hop.is_over for hop in hops):
            return Outcome.ANSWERED
        if self.has_left:
            return Outcome.LEFT
        return Outcome.SILENT if hops[-1].place is Place.NATS else Outcome.WAITS

    def _hops(self, now: float) -> list[Hop]:
        hops = [_hop(Place.OUTBOX, self._began, self._gone, now, self._waiting)]
        if self._gone is None:
            return hops
        if self._first is None or self._last is None:
            return [*hops, _hop(Place.NATS, self._gone, None, now)]
        heard, word = self._last
        first = self._last if word.step is Step.BACK else self._first
        nats_s = first[0] - self._gone - (first[1].inbox_us + first[1].device_us + first[1].outbox_us) / _US
        hops.append(Hop(Place.NATS, max(0.0, nats_s)))
        parts = (
            (Place.INBOX_THERE, Step.HANDED, word.inbox_us, word.incoming),
            (Place.DEVICE_THERE, Step.TAKEN, word.device_us, word.untaken),
            (Place.OUTBOX_THERE, Step.BACK, word.outbox_us, word.waiting),
        )
        for place, over, spent_us, messages in parts:
            if word.step < over:
                return [*hops, Hop(place, max(0.0, now - heard), messages, is_over=False)]
            hops.append(Hop(place, spent_us / _US, messages))
        back = self.passage
        assert back is not None  # the last step has come
        hops.append(_hop(Place.INBOX, back.came, back.handed, now, back.incoming))
        if back.handed is not None:
            hops.append(_hop(Place.DEVICE, back.handed, back.taken, now, back.untaken))
        return hops


def _hop(place: Place, began: float, ended: float | None, now: float, messages: int | None = None) -> Hop:
    return Hop(place, (now if ended is None else ended) - began, messages, is_over=ended is not None)


def _us(seconds: float) -> int:
    return max(0, round(seconds * _US))


_STAYS = {
    Place.INBOX_THERE: "it waits there for the device",
    Place.DEVICE_THERE: "the device there has not taken all that it was handed before",
    Place.OUTBOX_THERE: "the answer waits there to go",
    Place.INBOX: "the answer is back, and waits here for this device",
    Place.DEVICE: "the answer is back, and this device has not taken all that it was handed before",
}


def _reason(outcome: Outcome, hops: Sequence[Hop], *, silent_s: float | None, limit_s: float, stays: str) -> str:
    match outcome:
        case Outcome.ANSWERED:
            return ""
        case Outcome.OLDER:
            return "its version of geventrelay knows no probes"
        case Outcome.LEFT:
            return "it has stopped, or was silent for too long"
        case Outcome.SILENT:
            heard = "" if silent_s is None else f"; it was heard of {silent_s:.1f} s ago"
            return f"no answer within {limit_s:g} s{heard}"
    last = hops[-1]
    behind = ""
    if last.messages:
        behind = f", behind {last.messages:,} message{'s' * (last.messages != 1)}"
    if last.place is Place.OUTBOX:
        return f"it waits here to go{behind}: {stays or 'what goes to NATS is too slow'}"
    return _STAYS[last.place] + behind
