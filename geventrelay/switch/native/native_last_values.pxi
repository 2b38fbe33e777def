# The last values of a PUB or XPUB, as Python has them.

from libc.stdlib cimport calloc, free

import random

from .last_values cimport FORGOTTEN_COUNT, LastValues, forget_old, forget_some
from .peer cimport Side, monotonic
from .topics cimport free_topics

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
    kept.most_topic = side.limits.topic
    kept.most_topics = min(plan.topics, MOST_LIMIT)
    kept.most_bytes = min(plan.nbytes, MOST_LIMIT)
    kept.max_age = plan.max_age_s
    kept.until = until
    kept.until_size = len(until)
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
