# The last values of a PUB or XPUB, as Python has them.

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import random

from .last_values cimport FORGOTTEN_COUNT, LastValues, forget_old, forget_some
from .log_reading cimport Picked
from .parts cimport parts_of
from .peer cimport Side, monotonic
from .topics cimport free_topics
from .values_reading cimport Asked, ValueHead, pick_values

from ..contract import Forgotten, KeptValues

cdef enum:
    # Without a look at the clock.
    FORGOTTEN_AT_A_TIME = 100

# In the order of last_values.pxd.
cdef tuple FORGOTTEN = (Forgotten.TOPICS, Forgotten.BYTES, Forgotten.AGE, Forgotten.MEMORY)
assert len(FORGOTTEN) == FORGOTTEN_COUNT


cdef tuple keep_values(Side *side, plan):
    """Keep last values from now on, as a `LastValuePlan` has it; what they point to then, which has to be kept."""
    cdef LastValues *kept = side.last_values
    cdef bytes until = plan.topic_until
    if kept == NULL:
        kept = <LastValues *>calloc(1, sizeof(LastValues))
        if kept == NULL:
            raise MemoryError
        kept.heap = &side.core.heap
        kept.topics.account = kept.heap.account
        kept.table.seed = random.getrandbits(64)
        side.last_values = kept
    kept.rule.most = side.limits.topic
    kept.rule.until = until
    kept.rule.until_size = len(until)
    kept.most_topics = min(plan.topics, MOST_LIMIT)
    kept.most_bytes = min(plan.nbytes, MOST_LIMIT)
    kept.max_age = plan.max_age_s
    return take_prefixes(&kept.prefixes, plan.prefixes), until


cdef void free_values(Side *side) noexcept:
    cdef LastValues *kept = side.last_values
    if kept != NULL:
        while kept.oldest != NULL:
            forget_some(kept, FORGOTTEN_AT_A_TIME)
        free(kept.table.slots)
        free_topics(&kept.topics)
        free_prefixes(&kept.prefixes)
        free(kept)
        side.last_values = NULL


cdef object kept_in(LastValues *kept):
    """What is kept for later subscribers, see `geventrelay.switch.contract.Side.kept_values`."""
    cdef int index
    if kept == NULL:
        return None
    forget_old(kept, monotonic())
    forgotten = {FORGOTTEN[index]: kept.forgotten[index] for index in range(FORGOTTEN_COUNT) if kept.forgotten[index]}
    return KeptValues(kept.count, kept.nbytes, kept.given, forgotten)


cdef bint forget_values(LastValues *kept, double until) noexcept:
    """Forget them, and count none; whether a time is over before that is done."""
    while kept != NULL and kept.oldest != NULL:
        forget_some(kept, FORGOTTEN_AT_A_TIME)
        if monotonic() >= until:
            return True
    return False


cdef list values_from(LastValues *kept, bytes prefix, after, size_t most):
    """Some last values, see `geventrelay.switch.contract.Side.last_values_from`."""
    cdef bytes behind = after
    cdef Asked asked
    cdef Picked picked
    if kept == NULL:
        return []
    asked.prefix = prefix
    asked.prefix_size = len(prefix)
    asked.after = NULL
    asked.after_size = 0
    if behind is not None:
        asked.after = behind
        asked.after_size = len(behind)
    asked.most = most
    memset(&picked, 0, sizeof(picked))
    try:
        forget_old(kept, monotonic())
        if not pick_values(kept, &asked, &picked):
            raise MemoryError
        return values_of(&picked)
    finally:
        free(picked.bytes)


cdef list values_of(const Picked *picked):
    cdef ValueHead head
    cdef size_t at = 0
    cdef list found = []
    while at < picked.size:
        memcpy(&head, picked.bytes + at, sizeof(ValueHead))
        at += sizeof(ValueHead)
        topic = picked.bytes[at:at + head.topic_size]
        at += head.topic_size
        found.append((topic, head.since, parts_of(picked.bytes + at, head.size)))
        at += head.size
    return found
