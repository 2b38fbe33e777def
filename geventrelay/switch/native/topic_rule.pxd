# What of a message is its topic; `geventrelay.switch.core_values.LastValuePlan` says it in words. Without Python.

from libc.string cimport memchr, memcmp


cdef struct TopicRule:
    # A topic is cut there.
    size_t most
    # It ends before these bytes; with none, before the first space of a message of one part.
    const unsigned char *until
    size_t until_size


cdef inline size_t topic_size_of(
    const TopicRule *rule, const unsigned char *first, size_t size, bint several
) noexcept nogil:
    # How much of the first part of a message is its topic; `several` is whether it has more parts.
    size = min(size, rule.most)
    cdef const unsigned char *at = first
    cdef const unsigned char *end = first + size
    if not rule.until_size:
        at = NULL if several or not size else <const unsigned char *>memchr(first, 32, size)
        return size if at == NULL else <size_t>(at - first)
    while <size_t>(end - at) >= rule.until_size:
        at = <const unsigned char *>memchr(at, rule.until[0], end - at - rule.until_size + 1)
        if at == NULL:
            break
        if not memcmp(at, rule.until, rule.until_size):
            return at - first
        at += 1
    return size
