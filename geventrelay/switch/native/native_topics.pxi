# What is counted by topic, as Python has it.

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc

import random

from .busiest cimport (
    FEW_COUNTERS, MOST_TOPIC, RATE_SECONDS, Busiest, Counter, begin_table, copy_table, count_of, decayed, free_table
)
from .peer cimport Peer, Side, monotonic
from .subscribers cimport Matched, count_subscribers, match_topic
from .topic_counts cimport CountedTopics

from ..contract import LOST_TOPICS, LOST_TOPICS_FIRST, RATE_S, TOPIC_BYTES, LostTopic, TopicCount, TopicCounts

assert (RATE_S, TOPIC_BYTES, LOST_TOPICS_FIRST) == (RATE_SECONDS, MOST_TOPIC, FEW_COUNTERS)
# The place of a counter is a number of 32 bits.
cdef object MOST_COUNTERS = 1 << 30


cdef bytes count_topics(Side *side, plan):
    """Count by topic what a side publishes, as a `TopicPlan` has it; what it points to then, which has to be kept."""
    cdef bytes until = plan.topic_until
    side.counts = <CountedTopics *>calloc(1, sizeof(CountedTopics))
    if side.counts == NULL:
        raise MemoryError
    side.counts.rule.until = until
    side.counts.rule.until_size = len(until)
    begin_counts(side.counts, min(plan.topics, MOST_COUNTERS))
    adapt_counts(side)
    return until


cdef int begin_counts(CountedTopics *counts, uint32_t most) except -1:
    begin_table(&counts.published, NULL, most, random.getrandbits(64))
    begin_table(&counts.lost, NULL, most, random.getrandbits(64))
    return 0


cdef void adapt_counts(Side *side) noexcept:
    """Have topics be found as its plan says now."""
    cdef CountedTopics *counts = side.counts
    if counts != NULL:
        # No more of a first part is looked at than is needed to see where its topic ends, or that it is cut.
        counts.rule.most = min(side.limits.topic, <size_t>MOST_TOPIC + max(counts.rule.until_size, <size_t>1) - 1)
        counts.stamps = side.stamps and side.log != NULL


cdef int forget_counts(CountedTopics *counts) except -1:
    """Begin anew."""
    cdef uint32_t most
    if counts != NULL:
        most = counts.lost.most
        free_table(&counts.published)
        free_table(&counts.lost)
        begin_counts(counts, most)
    return 0


cdef void free_counts(Side *side) noexcept:
    if side.counts != NULL:
        free_table(&side.counts.published)
        free_table(&side.counts.lost)
        free(side.counts)
        side.counts = NULL


cdef int count_losses(Peer *peer) except -1:
    """Count what a new peer loses by topic, if its side does."""
    if peer.side.counts != NULL:
        peer.queue.losses.counts = peer.side.counts
        begin_table(&peer.queue.losses.lost, peer.core.heap.account, LOST_TOPICS, random.getrandbits(64))
    return 0


cdef list losses_of(Peer *peer):
    """What a peer has lost by topic, see `geventrelay.switch.contract.Peer.lost_topics`."""
    cdef dict lost = counters_of(&peer.queue.losses.lost)
    found = [LostTopic(topic, count, error) for topic, (count, error) in lost.items()]
    return sorted(found, key=lambda one: (-one.lost, one.topic))


cdef object topic_counts_of(Side *side):
    """What a side has counted, see `geventrelay.switch.contract.Side.topic_counts`."""
    cdef double now = monotonic()
    if side.counts == NULL:
        return None
    published, lost_total = side.counts.published.total, side.counts.lost.total
    lost = counters_of(&side.counts.lost)
    rows = rows_of(&side.counts.published, now)
    topics = {row[0] for row in rows}
    rows += [(topic, 0, 0, 0, 0.0, 0.0, 0.0) for topic in lost if topic not in topics]
    rows.sort(key=lambda row: (-row[1], row[0]))
    peers = subscribers_of(side, [row[0] for row in rows])
    counts = (
        TopicCount(*row, *lost.get(row[0], (0, 0)), subscribers) for row, subscribers in zip(rows, peers, strict=True)
    )
    return TopicCounts(published, lost_total, tuple(counts))


cdef list rows_of(Busiest *table, double now):
    """Of each topic, what `TopicCount` has of messages."""
    cdef Busiest copy
    cdef Counter *one
    cdef uint32_t place
    rows = []
    # Python may run what it likes while it makes its objects, as its collector does.
    if not copy_table(table, &copy):
        raise MemoryError
    try:
        for place in range(copy.count):
            one = &copy.counters[place]
            rows.append((
                one.topic[:one.size], count_of(&copy, place), one.error, one.nbytes, decayed(&copy, one.rate, now),
                decayed(&copy, one.bytes_rate, now), one.last
            ))
        if copy.untold:
            rows.append((b"", copy.untold, copy.untold, 0, 0.0, 0.0, 0.0))
    finally:
        free_table(&copy)
    return rows


cdef dict counters_of(Busiest *table):
    """Of each topic, its count and how much that may be too high."""
    cdef dict found = {}
    for topic, count, error, *_ in rows_of(table, 0):
        before, before_error = found.get(topic, (0, 0))
        # What no counter has counted may be of any topic, and is told with the topic of no bytes.
        found[topic] = (before + count, before_error + error)
    return found


cdef list subscribers_of(Side *side, list topics):
    """How many peers each of these topics has."""
    cdef size_t index, count = len(topics)
    cdef bytes topic
    cdef Matched *matches = <Matched *>malloc((count + 1) * sizeof(Matched))
    cdef size_t *found = <size_t *>malloc((count + 1) * sizeof(size_t))
    try:
        if matches == NULL or found == NULL:
            raise MemoryError
        for index in range(count):
            topic = topics[index]
            match_topic(side, &matches[index], index, topic, len(topic))
        if not count_subscribers(side, matches, count, found):
            raise MemoryError
        return [found[index] for index in range(count)]
    finally:
        free(matches)
        free(found)
