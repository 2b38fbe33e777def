# The last message of each topic, for subscribers that come later: a table in order of coming. Without Python.
#
#     table of topics --> Value <--older, newer--> Value ...        Each has a copy of its message in a block.
#     tree of topics --node.value--^        For subscriptions, which are beginnings of topics.
#
# The copy is in a block of its own: what comes is read into blocks of 256 KiB, and one value would keep all of such a block.

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .account cimport give_stored, take_stored
from .blocks cimport Block, Heap, data_of, let_go, new_block
from .granted cimport Prefixes, allows
from .nodes cimport Node, Topics, make_node, prune
from .table cimport Slot, Table, find_in, put_in, take_out
from .topic_rule cimport TopicRule, topic_size_of

# Why values were forgotten; native_side.pxi has their names.
cdef enum:
    MOST_TOPICS
    MOST_BYTES
    MAX_AGE
    NO_BUDGET
    FORGOTTEN_COUNT


cdef struct Value:
    Node *node
    # Its topic stands right behind this.
    size_t topic_size
    Block *block
    # Of the message, as frames.
    size_t size
    # When it came, by CLOCK_MONOTONIC, and in which order.
    double since
    unsigned long long number
    Value *older
    Value *newer


cdef struct LastValues:
    Heap *heap
    Table table
    Topics topics
    Value *oldest
    Value *newest
    size_t count
    size_t nbytes
    unsigned long long number
    TopicRule rule
    # `geventrelay.switch.contract.LastValuePlan`
    size_t most_topics
    size_t most_bytes
    double max_age
    Prefixes prefixes
    # What is counted.
    long long given
    long long forgotten[FORGOTTEN_COUNT]


cdef inline void keep_value(
    LastValues *kept, const unsigned char *message, size_t message_size, const unsigned char *first, size_t size,
    bint several, double now
) noexcept nogil:
    # Keeps a message as the last value of its topic. Without memory for it, the topic has no value any more.
    cdef Value *value
    cdef size_t topic_size
    if kept.prefixes.limited and not allows(&kept.prefixes, first, size):
        return
    topic_size = topic_size_of(&kept.rule, first, size, several)
    value = <Value *>find_in(&kept.table, first, topic_size)
    if value != NULL:
        unlink(kept, value)
    else:
        value = new_value(kept, first, topic_size)
        if value == NULL:
            kept.forgotten[NO_BUDGET] += 1
            return
    if not set_message(kept, value, message, message_size):
        free_value(kept, value)
        kept.forgotten[NO_BUDGET] += 1
        return
    value.since = now
    link_newest(kept, value)
    keep_to_bounds(kept, value, now)


cdef inline unsigned char *topic_of(Value *value) noexcept nogil:
    return <unsigned char *>value + sizeof(Value)


cdef inline size_t cost_of_value(size_t topic_size) noexcept nogil:
    # With its place in the table, about.
    return sizeof(Value) + topic_size + 2 * sizeof(Slot)


cdef inline Value *new_value(LastValues *kept, const unsigned char *topic, size_t size) noexcept nogil:
    # A value without a message; NULL if there is no memory.
    cdef Value *value
    cdef Node *node = make_node(&kept.topics, topic, size)
    if node == NULL:
        return NULL
    value = <Value *>malloc(sizeof(Value) + size)
    if value != NULL:
        memcpy(topic_of(value), topic, size)
    if value == NULL or not put_in(&kept.table, value, topic_of(value), size):
        free(value)
        prune(&kept.topics, node)
        return NULL
    take_stored(kept.topics.account, cost_of_value(size))
    node.value = value
    value.node = node
    value.topic_size = size
    value.block = NULL
    value.size = 0
    kept.count += 1
    return value


cdef inline bint set_message(LastValues *kept, Value *value, const unsigned char *message, size_t size) noexcept nogil:
    # Gives a value that is in no order another message; False if there is no memory.
    count_bytes(kept, size)
    count_bytes(kept, -value.size)
    value.size = size
    if value.block != NULL and not (value.block.holders == 1 and size <= value.block.size <= 2 * size):
        # A queue has it, or it is too small, or much too large.
        let_go(kept.heap, value.block)
        value.block = NULL
    if value.block == NULL:
        value.block = new_block(kept.heap, size)
        if value.block == NULL:
            return False
    memcpy(data_of(value.block), message, size)
    return True


cdef inline void count_bytes(LastValues *kept, size_t more) noexcept nogil:
    # The blocks that messages lie in are counted by the heap: here, that they are stored.
    kept.nbytes += more
    kept.topics.account.stored += more


cdef inline void link_newest(LastValues *kept, Value *value) noexcept nogil:
    kept.number += 1
    value.number = kept.number
    value.newer = NULL
    value.older = kept.newest
    if kept.newest != NULL:
        kept.newest.newer = value
    else:
        kept.oldest = value
    kept.newest = value


cdef inline void unlink(LastValues *kept, Value *value) noexcept nogil:
    if value.older != NULL:
        value.older.newer = value.newer
    else:
        kept.oldest = value.newer
    if value.newer != NULL:
        value.newer.older = value.older
    else:
        kept.newest = value.older


cdef inline void free_value(LastValues *kept, Value *value) noexcept nogil:
    # Of a value that is in no order.
    take_out(&kept.table, topic_of(value), value.topic_size)
    value.node.value = NULL
    prune(&kept.topics, value.node)
    if value.block != NULL:
        let_go(kept.heap, value.block)
    count_bytes(kept, -value.size)
    kept.count -= 1
    give_stored(kept.topics.account, cost_of_value(value.topic_size))
    free(value)


# Forgetting -----------------------------------------------------------------------------------------------------

cdef inline void forget_value(LastValues *kept, Value *value, int why) noexcept nogil:
    unlink(kept, value)
    free_value(kept, value)
    kept.forgotten[why] += 1


cdef inline void keep_to_bounds(LastValues *kept, Value *last, double now) noexcept nogil:
    # Forgets the oldest values that are too many, and the last one alone if it is too large.
    if last.size > kept.most_bytes:
        forget_value(kept, last, MOST_BYTES)
    while kept.count > kept.most_topics:
        forget_value(kept, kept.oldest, MOST_TOPICS)
    while kept.nbytes > kept.most_bytes:
        forget_value(kept, kept.oldest, MOST_BYTES)
    # Half of the memory budget is for what waits, however much is to be kept.
    while kept.nbytes > kept.topics.account.limit // 2:
        forget_value(kept, kept.oldest, NO_BUDGET)
    forget_old(kept, now)


cdef inline void forget_old(LastValues *kept, double now) noexcept nogil:
    while kept.max_age > 0 and kept.oldest != NULL and kept.oldest.since < now - kept.max_age:
        forget_value(kept, kept.oldest, MAX_AGE)


cdef inline void forget_to(LastValues *kept, size_t nbytes) noexcept nogil:
    # Forgets the oldest for want of memory, until so many bytes are kept.
    while kept.nbytes > nbytes:
        forget_value(kept, kept.oldest, NO_BUDGET)


cdef inline void forget_some(LastValues *kept, int most) noexcept nogil:
    # Forgets the oldest without counting them.
    cdef Value *value = kept.oldest
    while value != NULL and most:
        unlink(kept, value)
        free_value(kept, value)
        value = kept.oldest
        most -= 1
