# The log of a PUB or XPUB, as Python has it.

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from .granted cimport Prefixes
from .log cimport Log, forget_aged, forget_piece
from .log_reading cimport Head, Picked, pick
from .parts cimport parts_of
from .peer cimport Side, monotonic

from ..contract import LogState

cdef object MOST_NUMBER = (1 << 64) - 1


cdef int keep_log(Side *side, plan) except -1:
    """Keep what a side publishes from now on, as a `LogPlan` has it."""
    cdef Log *log = side.log
    if log == NULL:
        log = <Log *>calloc(1, sizeof(Log))
        if log == NULL:
            raise MemoryError
        log.account = side.core.heap.account
        log.oldest = log.next = plan.first
        side.log = log
    log.most_messages = min(plan.messages, MOST_LIMIT)
    log.most_bytes = min(plan.nbytes, MOST_LIMIT)
    log.max_age = plan.max_age_s
    return 0


cdef bint forget_log(Log *log, double until) noexcept:
    """Forget all that is there, and count none of it; whether a time is over before that is done."""
    while log != NULL and log.count:
        forget_piece(log)
        if monotonic() >= until:
            return True
    return False


cdef void free_log(Side *side) noexcept:
    forget_log(side.log, INFINITY)
    free(side.log)
    side.log = NULL


cdef object state_of(Log *log):
    if log == NULL:
        return None
    forget_aged(log, monotonic())
    return LogState(log.oldest, log.next, log.nbytes, log.for_memory)


cdef tuple read_log(Log *log, first, last, prefixes, size_t most, double until):
    """Some messages of a log, see `geventrelay.switch.contract.Side.logged`."""
    cdef uint64_t number = min(max(first, 0), MOST_NUMBER)
    cdef uint64_t end = min(max(last, 0), MOST_NUMBER)
    cdef Prefixes wanted
    cdef Picked picked
    if log == NULL:
        raise ValueError("logged: expected a side with a log")
    memset(&wanted, 0, sizeof(wanted))
    memset(&picked, 0, sizeof(picked))
    kept = take_prefixes(&wanted, prefixes or None)
    try:
        forget_aged(log, monotonic())
        if not pick(log, &number, end, &wanted, most, until, &picked):
            raise MemoryError
        return messages_of(&picked), number
    finally:
        free(picked.bytes)
        free_prefixes(&wanted)


cdef list messages_of(const Picked *picked):
    cdef Head head
    cdef size_t at = 0
    cdef list found = []
    while at < picked.size:
        memcpy(&head, picked.bytes + at, sizeof(Head))
        at += sizeof(Head)
        found.append((head.number, parts_of(picked.bytes + at, head.size)))
        at += head.size
    return found
