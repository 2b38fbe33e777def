# Reading last values again: in the order of their topics, which is that of the tree. Without Python.
#
# As messages of a log, they are copied before Python has any of them.

from libc.string cimport memcmp, memcpy

from .blocks cimport data_of
from .last_values cimport LastValues, Value, topic_of
from .log_reading cimport MOST_COPIED, Picked, room_for
from .nodes cimport Node, child_of
from .snapshot cimport begins_with


# What is asked for.
cdef struct Asked:
    const unsigned char *prefix
    size_t prefix_size
    # Only topics behind this one; NULL for all.
    const unsigned char *after
    size_t after_size
    size_t most


# Before each value that was copied; then come its topic and its frames.
cdef struct ValueHead:
    double since
    size_t topic_size
    size_t size


cdef inline bint pick_values(const LastValues *kept, Asked *asked, Picked *picked) noexcept nogil:
    # Copies values whose message begins with a prefix; False if there is no memory.
    cdef const Node *node = &kept.topics.root
    cdef const Node *top
    cdef size_t left = asked.prefix_size, common
    # A topic may be shorter than the prefix: then it stands before all that begin with it.
    while left:
        if node.value != NULL and is_asked_for(asked, node) and not pick_value(asked, node, picked):
            return False
        node = child_of(node, asked.prefix[asked.prefix_size - left])
        if node == NULL:
            return True
        common = min(left, node.label_size)
        if memcmp(node.label, asked.prefix + asked.prefix_size - left, common):
            return True
        left -= common
    top = node
    if asked.after != NULL:
        node = first_behind(asked, top)
    while node != NULL and not is_full(asked, picked):
        if node.value != NULL and not pick_value(asked, node, picked):
            return False
        node = next_behind(top, node, -1)
    return True


cdef inline bint is_asked_for(Asked *asked, const Node *node) noexcept nogil:
    # Of a node with a topic that is shorter than the prefix, and with a value.
    cdef int order = 1
    if asked.after != NULL:
        order = memcmp(asked.prefix, asked.after, min(node.topic_size, asked.after_size))
        if not order:
            order = node.topic_size > asked.after_size
    return order > 0 and begins_with(<const Value *>node.value, asked.prefix, asked.prefix_size)


cdef inline bint pick_value(Asked *asked, const Node *node, Picked *picked) noexcept nogil:
    # Copies one that is not too much; False if there is no memory.
    cdef const Value *value = <const Value *>node.value
    cdef ValueHead head
    cdef unsigned char *copy
    if is_full(asked, picked):
        return True
    if picked.count and picked.nbytes + value.size > MOST_COPIED:
        # Nor is any that follows copied.
        asked.most = picked.count
        return True
    copy = room_for(picked, sizeof(ValueHead) + value.topic_size + value.size)
    if copy == NULL:
        return False
    head.since = value.since
    head.topic_size = value.topic_size
    head.size = value.size
    memcpy(copy, &head, sizeof(ValueHead))
    memcpy(copy + sizeof(ValueHead), topic_of(<Value *>value), value.topic_size)
    memcpy(copy + sizeof(ValueHead) + value.topic_size, data_of(value.block), value.size)
    picked.nbytes += value.size
    return True


cdef inline bint is_full(Asked *asked, const Picked *picked) noexcept nogil:
    return picked.count >= asked.most


# The order of topics ----------------------------------------------------------------------------------------------

cdef inline const Node *first_behind(Asked *asked, const Node *top) noexcept nogil:
    # The first node, from one on that begins with the prefix, whose topic is behind `after`; NULL if there is none.
    cdef const Node *node = top
    cdef size_t at = top.topic_size - top.label_size, common
    cdef int order = memcmp(asked.prefix, asked.after, min(at, asked.after_size))
    if order > 0 or (not order and asked.after_size < at):
        return top
    if order < 0:
        return NULL
    while True:
        common = min(node.label_size, asked.after_size - at)
        order = memcmp(node.label, asked.after + at, common) if common else 0
        if order < 0:
            return NULL if node == top else next_behind(top, node.parent, node.label[0])
        if order > 0 or common < node.label_size:
            return node
        at += common
        if at == asked.after_size:
            return next_behind(top, node, -1)
        if child_of(node, asked.after[at]) == NULL:
            return next_behind(top, node, asked.after[at])
        node = child_of(node, asked.after[at])


cdef inline const Node *next_behind(const Node *top, const Node *node, int key) noexcept nogil:
    # The first node, from `top` on, that is behind all that begin as a node does, and go on with a byte up to `key`; NULL if
    # there is none. -1 is for the node itself.
    cdef const Node *child = child_behind(node, key)
    while child == NULL and node != top:
        key = node.label[0]
        node = node.parent
        child = child_behind(node, key)
    return child


cdef inline const Node *child_behind(const Node *node, int key) noexcept nogil:
    # Its child with the lowest byte above `key`; NULL if there is none.
    cdef const Node *found = NULL
    cdef size_t index
    cdef int lowest = 256
    for index in range(node.child_count):
        if key < node.keys[index] < lowest:
            lowest = node.keys[index]
            found = node.children[index]
    return found
