"""The last message of each topic, for subscribers that come later: a table in order of coming."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from ...topics import topic_of as topic_of
from ..contract import Forgotten, KeptValues, LastValuePlan
from .run import Run, frame_body
from .topics import Node, Topics

if TYPE_CHECKING:
    from .side import Side

_VALUE_BYTES = 800
"""What a value takes beside its topic and its message, about."""
_FORGOTTEN_AT_A_TIME = 100
_MOST_READ_BYTES = 1 << 20


class Value(NamedTuple):
    """The last message of one topic.

    :ivar number: in which order it came.
    :ivar at: when, by `time.monotonic`.
    :ivar data: the message as frames of ZMTP 2.0 and later.
    """

    number: int
    at: float
    data: bytes

    @property
    def first(self) -> bytes:
        """The body of its first part: what a subscription is held against."""
        return self.data[slice(*frame_body(self.data, 0))]


class LastValues:
    """What one side keeps.

    :param side: the side, whose plan says what that is.
    :ivar given: how many were given to subscribers.
    :ivar nbytes: of all messages that are kept, heads of frames among them.
    """

    def __init__(self, side: Side) -> None:
        self.given = 0
        self.nbytes = 0
        self._side = side
        self._account, self._kept = side.core.account, side.core.kept
        # By topic, the oldest one first.
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        self._tree: Topics[bytes] = Topics()
        self._nodes: dict[bytes, Node[bytes]] = {}
        self._number = 0
        self._forgotten: Counter[Forgotten] = Counter()

    @property
    def plan(self) -> LastValuePlan:
        """What is kept; it may be replaced with the side's."""
        plan = self._side.plan.last_values
        assert plan is not None
        return plan

    def counts(self, now: float) -> KeptValues:
        """What is kept at the time `now`, and what has been counted."""
        self.forget_old(now)
        return KeptValues(len(self._values), self.nbytes, self.given, dict(self._forgotten))

    def keep(self, run: Run, sent: Run) -> None:
        """Keep each message of `run` as the last value of its topic.

        :param sent: the same messages as they are sent, which have stamps perhaps: these are kept.
        """
        plan, longest, start = self.plan, self._side.plan.bounds.topic_bytes, 0
        for index, end in enumerate(run.ends):
            body, body_end = frame_body(run.data, start)
            first = run.data[body : min(body_end, body + longest)]
            if plan.prefixes is None or run.data.startswith(plan.prefixes, body, body_end):
                topic = topic_of(first, several=body_end < end, until=plan.topic_until)
                self._set(topic, sent.data[sent.start(index) : sent.ends[index]], run.at, plan)
            start = end
        self.forget_old(run.at)

    def found(self, topic: bytes, others: Collection[bytes], now: float) -> list[bytes]:
        """The messages that begin with `topic`, in order of coming.

        :param others: those that begin with one of these are left out, which are longer.
        :param now: what is too old by then is forgotten.
        """
        self.forget_old(now)
        # A value's topic may be shorter than what is subscribed to.
        shorter = (one for one in self._tree.match(topic, 0, len(topic)) if one != topic)
        values = [self._values[one] for one in (*shorter, *self._tree.below(topic))]
        lengths = sorted({len(one) for one in others})
        return [
            one.data
            for one in sorted(values)
            if one.first.startswith(topic) and not any(one.first[:length] in others for length in lengths)
        ]

    def read(self, prefix: bytes, after: bytes | None, most: int, now: float) -> list[tuple[bytes, float, list[bytes]]]:
        """Some values, see `geventrelay.switch.contract.Side.last_values_from`.

        :param prefix: see there, as of `after` and `most`.
        :param after: see there.
        :param most: see there.
        :param now: what is too old by then is forgotten.
        """
        self.forget_old(now)
        found: list[tuple[bytes, float, list[bytes]]] = []
        # A value's topic may be shorter than the prefix, and then stands before all that begin with it.
        shorter = sorted(one for one in self._tree.match(prefix, 0, len(prefix)) if one != prefix)
        behind = (one for one in shorter if after is None or one > after)
        nbytes = 0
        for topic in itertools.chain(behind, self._tree.sorted_below(prefix, after)):
            value = self._values[topic]
            if not value.first.startswith(prefix):
                continue
            nbytes += len(value.data)
            if found and nbytes > _MOST_READ_BYTES:
                break
            found.append((topic, value.at, Run.last_values([value.data], now).parts_of(0)))
            if len(found) == most:
                break
        return found

    def forget_old(self, now: float) -> None:
        """Forget what is too old at the time `now`."""
        age_s = self.plan.max_age_s
        while age_s and self._values:
            topic, value = next(iter(self._values.items()))
            if value.at >= now - age_s:
                break
            self._forget(topic, Forgotten.AGE)

    def forget_to(self, nbytes: int) -> None:
        """Forget the oldest for want of memory, until `nbytes` are kept."""
        while self.nbytes > nbytes:
            self._forget(next(iter(self._values)), Forgotten.MEMORY)

    def forget_some(self) -> bool:
        """Forget a few without counting them; whether more are left."""
        for topic in list(itertools.islice(self._values, _FORGOTTEN_AT_A_TIME)):
            self._take_out(topic)
        return bool(self._values)

    def _set(self, topic: bytes, data: bytes, at: float, plan: LastValuePlan) -> None:
        self._number += 1
        before = self._values.pop(topic, None)
        more = len(data)
        if before is None:
            self._nodes[topic] = self._tree.add(topic, topic)
            self._kept.store(len(topic) + _VALUE_BYTES)
        else:
            more -= len(before.data)
        self._values[topic] = Value(self._number, at, data)
        self.nbytes += more
        self._kept.store(more)
        if len(data) > plan.nbytes:
            self._forget(topic, Forgotten.BYTES)
        while len(self._values) > plan.topics:
            self._forget(next(iter(self._values)), Forgotten.TOPICS)
        while self.nbytes > plan.nbytes:
            self._forget(next(iter(self._values)), Forgotten.BYTES)
        # Half of the memory budget is for what waits, however much is to be kept.
        if self.nbytes > self._account.most_kept_bytes:
            self.forget_to(self._account.most_kept_bytes)

    def _forget(self, topic: bytes, why: Forgotten) -> None:
        self._take_out(topic)
        self._forgotten[why] += 1

    def _take_out(self, topic: bytes) -> None:
        size = len(self._values.pop(topic).data)
        self._tree.remove(self._nodes.pop(topic), topic)
        self.nbytes -= size
        self._kept.store(-size - len(topic) - _VALUE_BYTES)
