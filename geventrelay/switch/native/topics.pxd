# Who is subscribed to what: a radix tree of topics. Without Python, and without recursion: peers choose the topics.
#
#     root --"news."--> node --"sport"--> node        Each node has entries: the members that are subscribed to its topic.
#                            --"art"----> node        A member is what one connection is subscribed to: a list of records.
#
# The end of a connection makes its member dead at once, and `sweep` takes its records out a few at a time.

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from .nodes cimport (
    FEW, Entry, Member, Node, Record, Topics, add_entry, child_of, cost_of, count_bytes, free_node, free_parts, make_node,
    prune, set_entry_room
)


# Finding ------------------------------------------------------------------------------------------------------

cdef inline Node *deepest(Topics *topics, const unsigned char *topic, size_t size) noexcept nogil:
    # The node with entries whose topic is the longest beginning of this one; NULL if there is none.
    cdef Node *node = &topics.root
    cdef Node *found = node if node.entry_count else NULL
    while size:
        node = child_of(node, topic[0])
        if node == NULL or node.label_size > size or memcmp(node.label, topic, node.label_size):
            break
        topic += node.label_size
        size -= node.label_size
        if node.entry_count:
            found = node
    return found


cdef inline bint is_as_before(Topics *topics, const Node *node) noexcept nogil:
    # Whether `found` has the peers of this node and of those above it already.
    return node == topics.matched and topics.version == topics.matched_version


cdef inline bint find_peers(Topics *topics, Node *node) noexcept nogil:
    # Has `found` list the peers that are subscribed to the topic of a node or a beginning of it, each once. False if there
    # is no memory.
    cdef size_t index
    cdef Member *member
    cdef Node *above = node
    topics.matched = NULL
    topics.found_count = 0
    topics.stamp += 1
    while above != NULL:
        if topics.found_count + above.entry_count > topics.found_room:
            if not make_found_room(topics, topics.found_count + above.entry_count):
                return False
        for index in range(above.entry_count):
            member = above.entries[index].member
            if member.peer != NULL and member.stamp != topics.stamp:
                member.stamp = topics.stamp
                topics.found[topics.found_count] = member.peer
                topics.found_count += 1
        above = above.parent
    topics.matched = node
    topics.matched_version = topics.version
    return True


cdef inline bint make_found_room(Topics *topics, size_t room) noexcept nogil:
    cdef void **found = <void **>realloc(topics.found, 2 * room * sizeof(void *))
    if found == NULL:
        return False
    topics.found = found
    topics.found_room = 2 * room
    return True


# Subscribing --------------------------------------------------------------------------------------------------

cdef inline Record *record_of(const Node *node, const Member *member) noexcept nogil:
    cdef size_t index
    for index in range(node.entry_count):
        if node.entries[index].member == member:
            return node.entries[index].record
    return NULL


cdef inline bint subscribe(Member *member, const unsigned char *topic, size_t size) noexcept nogil:
    # Makes a topic one of its own, if it is none. False if there is no memory.
    cdef Node *node = make_node(member.topics, topic, size)
    cdef Record *record
    if node == NULL:
        return False
    if record_of(node, member) != NULL:
        return True
    record = add_entry(member.topics, node, member)
    if record == NULL:
        prune(member.topics, node)
        return False
    record.previous = NULL
    record.next = member.first
    if member.first != NULL:
        member.first.previous = record
    member.first = record
    member.count += 1
    member.nbytes += cost_of(node)
    member.topics.version += 1
    return True


cdef inline Node *exact(Topics *topics, const unsigned char *topic, size_t size) noexcept nogil:
    # The node of just this topic; NULL if there is none.
    cdef Node *node = &topics.root
    while size:
        node = child_of(node, topic[0])
        if node == NULL or node.label_size > size or memcmp(node.label, topic, node.label_size):
            return NULL
        topic += node.label_size
        size -= node.label_size
    return node


cdef inline void write_topic(const Node *node, unsigned char *end) noexcept nogil:
    # Writes the topic of a node, so that it ends there. The root has no label.
    while node.parent != NULL:
        end -= node.label_size
        memcpy(end, node.label, node.label_size)
        node = node.parent


cdef inline void remove_record(Record *record) noexcept nogil:
    cdef Node *node = record.node
    cdef Member *member = record.member
    cdef Topics *topics = member.topics
    if record.previous != NULL:
        record.previous.next = record.next
    else:
        member.first = record.next
    if record.next != NULL:
        record.next.previous = record.previous
    member.count -= 1
    member.nbytes -= cost_of(node)
    if member.is_dying:
        topics.account.dying -= cost_of(node)
    topics.version += 1
    node.entry_count -= 1
    node.entries[record.at] = node.entries[node.entry_count]
    node.entries[record.at].record.at = record.at
    free(record)
    count_bytes(topics, -<Py_ssize_t>sizeof(Record))
    if node.entry_room > FEW and node.entry_count <= node.entry_room // 4:
        set_entry_room(topics, node, node.entry_room // 2)
    if not node.entry_count:
        prune(topics, node)


cdef inline void free_topics(Topics *topics) noexcept nogil:
    # All nodes below the root, and all records; members are their owners'. From the leaves up.
    cdef Node *node = &topics.root
    cdef Node *above
    cdef size_t index
    while node != NULL:
        if node.child_count:
            node.child_count -= 1
            node = node.children[node.child_count]
            continue
        above = node.parent
        for index in range(node.entry_count):
            forget_records(node.entries[index].member)
            free(node.entries[index].record)
            count_bytes(topics, -<Py_ssize_t>sizeof(Record))
        if node == &topics.root:
            free_parts(topics, node)
        else:
            free_node(topics, node)
        node = above
    free(topics.found)
    memset(topics, 0, sizeof(Topics))


cdef inline void forget_records(Member *member) noexcept nogil:
    # They are freed.
    if member.is_dying:
        member.topics.account.dying -= member.nbytes
    member.first = NULL
    member.count = member.nbytes = 0
