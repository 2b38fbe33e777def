# What a new subscription is given at once: the last values of the topics that it matches. Without Python.
#
# They are put in the peer's queue whatever its high-water mark is, in the order in which they came, so that all that is
# published later comes behind them. Topics that the peer was subscribed to before are left out: it has got them.

from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy

from .blocks cimport BLOCK_BYTES, Block, data_of, let_go, place_copy
from .copies cimport put_recoded
from .frames cimport read_frame
from .last_values cimport LastValues, Value, forget_old
from .nodes cimport Member, Node, Record, child_of
from .peer cimport SLOW, Peer, Side, mark_dirty, monotonic
from .publish cimport give_group
from .queue cimport append_beyond
from .topic_counts cimport count_lost
from .topics cimport exact, record_of


# Values that a subscription matches.
cdef struct Found:
    Value **values
    size_t count
    size_t room


cdef inline bint give_last_values(Peer *peer, const unsigned char *topic, size_t size) noexcept nogil:
    # To a peer that has just subscribed to a topic; False if there is no memory.
    cdef Side *side = peer.side
    cdef Node *node = exact(&side.topics, topic, size)
    cdef Found found
    cdef bint done
    side.core.now = monotonic()
    forget_old(side.last_values, side.core.now)
    if side.last_values.oldest == NULL or has_above(node, peer.member):
        return True
    # What was published before goes before.
    give_group(side)
    found.values = NULL
    found.count = found.room = 0
    done = find_values(side.last_values, topic, size, &found) and give_found(peer, node, &found)
    # One command is as much work as so many messages. Those that are left out or lost are work, too.
    peer.handled += found.count
    free(found.values)
    mark_dirty(peer)
    return done


cdef inline bint give_found(Peer *peer, Node *node, Found *found) noexcept nogil:
    cdef size_t index
    cdef bint overlaps = node.child_count and peer.member.count > 1
    # For a few values, what it costs to mark all that the peer is subscribed to is too much.
    cdef bint marked = overlaps and found.count >= peer.member.count // 16
    if found.count > 1:
        qsort(found.values, found.count, sizeof(Value *), by_number)
    if marked:
        mark_topics(peer.member)
    for index in range(found.count):
        if overlaps and has_below(node, peer.member, found.values[index], marked):
            continue
        if not give_value(peer, found.values[index]):
            return False
    return True


cdef inline int by_number(const void *one, const void *other) noexcept nogil:
    cdef unsigned long long first = (<Value **>one)[0].number
    return -1 if first < (<Value **>other)[0].number else 1


cdef inline bint give_value(Peer *peer, const Value *value) noexcept nogil:
    # Puts a value in the queue; False if there is no memory. No more wait there than may be kept.
    cdef LastValues *kept = peer.side.last_values
    cdef Block *block = value.block
    cdef unsigned char *copy
    cdef size_t at = 0
    cdef bint done
    peer.matched += 1
    kept.given += 1
    if peer.queue.beyond >= <long long>kept.most_topics or peer.queue.beyond_bytes + value.size > kept.most_bytes:
        peer.dropped[SLOW] += 1
        count_lost(&peer.queue.losses, data_of(block), 1, False)
        return True
    peer.core.queued += value.size
    if peer.queue.v1_0:
        return put_recoded(
            &peer.core.heap, &peer.queue, data_of(block), value.size, False, peer.core.now, True
        )
    if value.size > BLOCK_BYTES // 4:
        return append_beyond(&peer.queue, block, 0, value.size, peer.core.now)
    # Small ones lie one behind the other, as few runs.
    copy = place_copy(&peer.core.heap, value.size, &block, &at)
    if copy == NULL:
        return False
    memcpy(copy, data_of(value.block), value.size)
    done = append_beyond(&peer.queue, block, at, value.size, peer.core.now)
    let_go(&peer.core.heap, block)
    return done


# Which values ----------------------------------------------------------------------------------------------------

cdef inline bint find_values(
    const LastValues *kept, const unsigned char *topic, size_t size, Found *found
) noexcept nogil:
    # Those whose message begins with a topic, in no order; False if there is no memory.
    cdef const Node *node = &kept.topics.root
    cdef const unsigned char *rest = topic
    cdef size_t left = size, common
    while left:
        # The topic of a value may be shorter than what is subscribed to.
        if node.value != NULL and begins_with(<Value *>node.value, topic, size) and not add_value(found, node):
            return False
        node = child_of(node, rest[0])
        if node == NULL:
            return True
        common = min(left, node.label_size)
        if memcmp(node.label, rest, common):
            return True
        rest += common
        left -= common
    return add_below(node, found)


cdef inline bint add_below(const Node *top, Found *found) noexcept nogil:
    # A node's value, and those of all nodes below it. Peers choose the depth: no recursion.
    cdef const Node *node = top
    cdef size_t index
    while True:
        if node.value != NULL and not add_value(found, node):
            return False
        if node.child_count:
            node = node.children[0]
            continue
        while node != top:
            index = child_index(node) + 1
            if index < node.parent.child_count:
                node = node.parent.children[index]
                break
            node = node.parent
        if node == top:
            return True


cdef inline size_t child_index(const Node *node) noexcept nogil:
    # Which child of its parent it is.
    cdef size_t index = 0
    while node.parent.keys[index] != node.label[0]:
        index += 1
    return index


cdef inline bint add_value(Found *found, const Node *node) noexcept nogil:
    cdef Value **grown
    if found.count == found.room:
        grown = <Value **>realloc(found.values, 2 * (found.room + 8) * sizeof(Value *))
        if grown == NULL:
            return False
        found.values = grown
        found.room = 2 * (found.room + 8)
    found.values[found.count] = <Value *>node.value
    found.count += 1
    return True


cdef inline bint begins_with(const Value *value, const unsigned char *topic, size_t size) noexcept nogil:
    cdef size_t first_size = 0
    cdef bint more = False
    cdef size_t head = read_frame(data_of(value.block), False, &first_size, &more)
    return size <= first_size and not memcmp(data_of(value.block) + head, topic, size)


# What the peer has got already -------------------------------------------------------------------------------------

cdef inline bint has_above(const Node *node, const Member *member) noexcept nogil:
    # Whether it was subscribed to a beginning of the topic.
    node = node.parent
    while node != NULL:
        if is_of(node, member):
            return True
        node = node.parent
    return False


cdef inline bint has_below(const Node *node, const Member *member, const Value *value, bint marked) noexcept nogil:
    # Whether it was subscribed to a longer topic that a value's message begins with; `marked` is whether its topics are.
    cdef size_t left = 0
    cdef bint more = False
    cdef const unsigned char *rest = data_of(value.block)
    rest += read_frame(rest, False, &left, &more) + node.topic_size
    left -= node.topic_size
    while left:
        node = child_of(node, rest[0])
        if node == NULL or node.label_size > left or memcmp(node.label, rest, node.label_size):
            return False
        if node.mark == member.topics.mark if marked else is_of(node, member):
            return True
        rest += node.label_size
        left -= node.label_size
    return False


cdef inline void mark_topics(const Member *member) noexcept nogil:
    # Has the node of each topic that it is subscribed to be known by its mark: others may be subscribed to them, too.
    cdef Record *record = member.first
    member.topics.mark += 1
    while record != NULL:
        record.node.mark = member.topics.mark
        record = record.next


cdef inline bint is_of(const Node *node, const Member *member) noexcept nogil:
    # Whether a member is subscribed to the topic of a node; the shorter of two lists says so.
    cdef Record *record = member.first
    if node.entry_count < member.count:
        return record_of(node, member) != NULL
    while record != NULL and record.node != node:
        record = record.next
    return record != NULL
