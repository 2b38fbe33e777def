# What a PUB or XPUB counts by topic: what it publishes, and what its subscribers lose. Without Python.

from .busiest cimport Busiest, count_message, count_topic
from .frames cimport message_size, read_frame
from .topic_rule cimport TopicRule, topic_size_of


# Of one side.
cdef struct CountedTopics:
    TopicRule rule
    # Whether what it sends has stamps.
    bint stamps
    Busiest published
    Busiest lost


# Of one peer.
cdef struct Losses:
    # NULL where nothing is counted.
    CountedTopics *counts
    Busiest lost


cdef inline void count_published(
    CountedTopics *counts, const unsigned char *first, size_t size, bint several, size_t nbytes, double now
) noexcept nogil:
    # A message with this first part, and so many bytes; `several` is whether it has more parts.
    count_message(&counts.published, first, topic_size_of(&counts.rule, first, size, several), nbytes, now)


cdef inline void count_lost(
    Losses *losses, const unsigned char *message, Py_ssize_t messages, bint v1_0
) noexcept nogil:
    # Messages that lie one behind the other, as they were to be sent, and will not be.
    if losses.counts != NULL:
        count_all_lost(losses, message, messages, v1_0)


cdef inline void count_all_lost(
    Losses *losses, const unsigned char *message, Py_ssize_t messages, bint v1_0
) noexcept nogil:
    cdef size_t size = 0, of_stamp = 0, head
    cdef bint several = False
    while messages:
        head = read_frame(message, v1_0, &size, &several)
        if several and losses.counts.stamps:
            # The last part is the stamp: with two, it had one.
            read_frame(message + head + size, v1_0, &of_stamp, &several)
        size = topic_size_of(&losses.counts.rule, message + head, size, several)
        count_topic(&losses.lost, message + head, size, 1)
        count_topic(&losses.counts.lost, message + head, size, 1)
        message += message_size(message, v1_0)
        messages -= 1
