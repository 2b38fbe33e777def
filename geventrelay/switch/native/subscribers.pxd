# How many peers topics have: those that are subscribed to a beginning of one. Without Python.
#
# Topics that match the same are looked at together: what many have in common is found once.

from libc.stdlib cimport qsort

from .nodes cimport Node, Topics
from .peer cimport Side
from .publish cimport find, give_group
from .topics cimport deepest


# A topic, by its number, and the deepest node with entries that it has, and the next one above that.
cdef struct Matched:
    Node *node
    Node *above
    size_t index


cdef inline void match_topic(
    Side *side, Matched *matched, size_t index, const unsigned char *topic, size_t size
) noexcept nogil:
    matched.index = index
    matched.node = deepest(&side.topics, topic, size)
    matched.above = NULL if matched.node == NULL else matched.node.parent
    while matched.above != NULL and not matched.above.entry_count:
        matched.above = matched.above.parent


cdef inline bint count_subscribers(Side *side, Matched *matches, size_t count, size_t *found) noexcept nogil:
    # Sets `found` for each topic to how many peers it has; False if there is no memory.
    cdef size_t index, peers = 0
    cdef Node *above = NULL
    cdef Node *node = NULL
    # `find_peers` uses what the group needs.
    give_group(side)
    qsort(matches, count, sizeof(Matched), by_nodes)
    for index in range(count):
        if matches[index].node == NULL:
            found[matches[index].index] = 0
            continue
        if matches[index].node != node:
            node = matches[index].node
            if matches[index].above != NULL and matches[index].above != above and not find(side, matches[index].above):
                return False
            above = matches[index].above
            peers = count_at(&side.topics, node, above != NULL)
        found[matches[index].index] = peers
    return True


cdef inline size_t count_at(const Topics *topics, const Node *node, bint has_above) noexcept nogil:
    # The peers of a node, and of those above it, which were found last.
    cdef size_t index, count = topics.found_count if has_above else 0
    for index in range(node.entry_count):
        if node.entries[index].member.peer == NULL:
            continue
        if not has_above or node.entries[index].member.stamp != topics.stamp:
            count += 1
    return count


cdef inline int by_nodes(const void *one, const void *other) noexcept nogil:
    cdef const Matched *first = <const Matched *>one
    cdef const Matched *second = <const Matched *>other
    if first.above != second.above:
        return -1 if first.above < second.above else 1
    if first.node != second.node:
        return -1 if first.node < second.node else 1
    return 0
