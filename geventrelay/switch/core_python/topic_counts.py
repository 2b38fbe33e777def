"""What one side counts by topic: what it publishes, and what its subscribers have lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..contract import LOST_TOPICS, LOST_TOPICS_FIRST, TOPIC_BYTES, LostTopic, TopicCount, TopicCounts, TopicPlan
from .busiest import Busiest, Entry, decay
from .last_values import topic_of
from .run import Run, frame_body

if TYPE_CHECKING:
    from .peer import Peer
    from .side import Side


class CountedTopics:
    """What one side counts, see `geventrelay.switch.contract.TopicCounts`.

    :param side: the side.
    :param plan: which topics it counts.
    """

    def __init__(self, side: Side, plan: TopicPlan) -> None:
        self._side = side
        self._plan = plan
        self._published = Busiest(plan.topics)
        self._lost = Busiest(plan.topics)

    def publish(self, run: Run) -> None:
        """Count a `run` that is published, as it came: without stamps."""
        for topic, first, last in self._same_topics(run, 0, len(run.ends), stamps=False):
            self._published.add(topic, last - first).measure(last - first, run.bodies_of(first, last), run.at)

    def lose(self, peer: Peer, run: Run, first: int, last: int) -> None:
        """Count the messages of `run` from `first` to `last`, as they were sent, as lost for `peer`."""
        table = peer.lost
        if table is None:
            table = peer.lost = Busiest(LOST_TOPICS)
        account = self._side.core.account
        # Without a log, there are no stamps.
        stamps = self._side.plan.stamp and self._side.log is not None
        for topic, start, end in self._same_topics(run, first, last, stamps=stamps):
            if len(table) >= LOST_TOPICS_FIRST and table.get(topic) is None and not account.has_room_for_losses:
                table.stop_growing()
            table.add(topic, end - start)
            peer.count_lost(table.nbytes)
            self._lost.add(topic, end - start)

    def counts(self, now: float, subscribers: Callable[[bytes], int]) -> TopicCounts:
        """All of it at the time `now`; `subscribers` says how many peers a topic has."""
        alone = sorted(one.topic for one in self._lost if self._published.get(one.topic) is None)
        entries = [*self._published.most_first(), *(Entry(topic, 0) for topic in alone)]
        every = tuple(self._count(one, now, subscribers(one.topic)) for one in entries)
        return TopicCounts(self._published.total, self._lost.total, every)

    def forget(self) -> None:
        """Begin anew."""
        self._published = Busiest(self._plan.topics)
        self._lost = Busiest(self._plan.topics)

    def _count(self, entry: Entry, now: float, subscribers: int) -> TopicCount:
        lost, left = self._lost.get(entry.topic), decay(now - entry.last)
        return TopicCount(
            topic=entry.topic,
            messages=entry.count,
            error=entry.error,
            nbytes=entry.nbytes,
            per_s=entry.per_s * left,
            bytes_per_s=entry.bytes_per_s * left,
            last=entry.last,
            lost=0 if lost is None else lost.count,
            lost_error=0 if lost is None else lost.error,
            subscribers=subscribers,
        )

    def _same_topics(self, run: Run, first: int, last: int, *, stamps: bool) -> Iterator[tuple[bytes, int, int]]:
        """Of the messages of `run` from `first` to `last`, from where to where they have one topic, and which.

        :param stamps: whether they may have a stamp each: then one of two parts has come as one of one part.
        """
        data, longest, until = run.data, self._side.plan.bounds.topic_bytes, self._plan.topic_until
        start, before, begin = run.start(first), None, first
        for index in range(first, last):
            end = run.ends[index]
            body, body_end = frame_body(data, start)
            second_end = frame_body(data, body_end)[1] if stamps and body_end < end else body_end
            part = data[body : min(body_end, body + longest)]
            topic = topic_of(part, several=second_end < end, until=until)[:TOPIC_BYTES]
            if topic != before:
                if before is not None:
                    yield before, begin, index
                before, begin = topic, index
            start = end
        if before is not None:
            yield before, begin, last


def lost_topics(table: Busiest | None) -> list[LostTopic]:
    """What one subscriber has lost, as its `table` has it; None if it has lost nothing."""
    return [] if table is None else [LostTopic(one.topic, one.count, one.error) for one in table.most_first()]
