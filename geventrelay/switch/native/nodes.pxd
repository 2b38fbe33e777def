# The nodes of a radix tree of topics, as topics.pxd describes it. Without Python, and without recursion.

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove, memset

from .account cimport Account, give_memory, take_memory

cdef enum:
    FEW = 4


cdef struct Entry:
    Record *record
    Member *member


cdef struct Node:
    Node *parent
    # The bytes between the parent's topic and its own.
    unsigned char *label
    size_t label_size
    size_t topic_size
    # The first byte of each child's label, and the children.
    unsigned char *keys
    Node **children
    size_t child_count
    size_t child_room
    Entry *entries
    size_t entry_count
    size_t entry_room
    # Of a tree of last values: what last_values.pxd keeps for the topic.
    void *value
    # See `mark_topics`.
    unsigned long long mark


# That a member is subscribed to a node's topic.
cdef struct Record:
    Node *node
    Member *member
    # Where it is among the node's entries.
    size_t at
    Record *previous
    Record *next


cdef struct Member:
    # Whose it is; NULL if it is dead.
    void *peer
    void *side
    Topics *topics
    Record *first
    size_t count
    # What its subscriptions take, about.
    size_t nbytes
    # Whether they are forgotten bit by bit.
    bint is_dying
    # The last match in which it was found.
    unsigned long long stamp
    Member *next_dead


cdef struct Topics:
    Account *account
    # What the account has of it.
    size_t nbytes
    Node root
    # Changes with every entry.
    unsigned long long version
    unsigned long long stamp
    # The last mark that was given to nodes.
    unsigned long long mark
    # Of the last match: the deepest node with entries, the version, and the peers.
    Node *matched
    unsigned long long matched_version
    void **found
    size_t found_count
    size_t found_room


cdef inline Node *child_of(const Node *node, unsigned char key) noexcept nogil:
    cdef unsigned char *place
    if not node.child_count:
        return NULL
    place = <unsigned char *>memchr(node.keys, key, node.child_count)
    return NULL if place == NULL else node.children[place - node.keys]


cdef inline void count_bytes(Topics *topics, Py_ssize_t more) noexcept nogil:
    topics.nbytes += more
    take_memory(topics.account, more)


cdef inline size_t cost_of(const Node *node) noexcept nogil:
    # Of a subscription to its topic, about.
    return node.topic_size + sizeof(Record) + sizeof(Entry) + sizeof(Node)


cdef inline void free_node(Topics *topics, Node *node) noexcept nogil:
    free_parts(topics, node)
    count_bytes(topics, -<Py_ssize_t>sizeof(Node))
    free(node)


cdef inline void free_parts(Topics *topics, Node *node) noexcept nogil:
    count_bytes(topics, -<Py_ssize_t>(
        node.label_size + node.child_room * (sizeof(Node *) + 1) + node.entry_room * sizeof(Entry)
    ))
    free(node.label)
    free(node.keys)
    free(node.children)
    free(node.entries)


cdef inline bint set_child_room(Topics *topics, Node *node, size_t room) noexcept nogil:
    cdef size_t before = node.child_room
    cdef Node **children = <Node **>realloc(node.children, room * sizeof(Node *))
    cdef unsigned char *keys
    if children == NULL:
        return False
    node.children = children
    node.child_room = min(before, room)
    keys = <unsigned char *>realloc(node.keys, room)
    if keys != NULL:
        node.keys = keys
        node.child_room = room
    count_bytes(topics, (<Py_ssize_t>node.child_room - <Py_ssize_t>before) * <Py_ssize_t>(sizeof(Node *) + 1))
    return keys != NULL


cdef inline bint set_entry_room(Topics *topics, Node *node, size_t room) noexcept nogil:
    cdef Entry *entries = <Entry *>realloc(node.entries, room * sizeof(Entry))
    if entries == NULL:
        return False
    node.entries = entries
    count_bytes(topics, (<Py_ssize_t>room - <Py_ssize_t>node.entry_room) * <Py_ssize_t>sizeof(Entry))
    node.entry_room = room
    return True


cdef inline Record *add_entry(Topics *topics, Node *node, Member *member) noexcept nogil:
    cdef Record *record
    if node.entry_count == node.entry_room and not set_entry_room(topics, node, 2 * node.entry_room or 1):
        return NULL
    record = <Record *>malloc(sizeof(Record))
    if record == NULL:
        return NULL
    count_bytes(topics, sizeof(Record))
    record.node = node
    record.member = member
    record.at = node.entry_count
    node.entries[node.entry_count].record = record
    node.entries[node.entry_count].member = member
    node.entry_count += 1
    return record


cdef inline Node *make_node(Topics *topics, const unsigned char *topic, size_t size) noexcept nogil:
    # The node of a topic; NULL if there is no memory.
    cdef Node *node = &topics.root
    cdef Node *child
    cdef size_t common
    while size:
        child = child_of(node, topic[0])
        if child == NULL:
            return add_child(topics, node, topic, size)
        common = 1
        while common < child.label_size and common < size and child.label[common] == topic[common]:
            common += 1
        if common < child.label_size:
            child = split(topics, child, common)
            if child == NULL:
                return NULL
        node = child
        topic += common
        size -= common
    return node


cdef inline Node *new_node(Topics *topics, Node *parent, const unsigned char *label, size_t size) noexcept nogil:
    cdef Node *node = <Node *>malloc(sizeof(Node))
    if node == NULL:
        return NULL
    memset(node, 0, sizeof(Node))
    node.label = <unsigned char *>malloc(size)
    if node.label == NULL:
        free(node)
        return NULL
    memcpy(node.label, label, size)
    node.label_size = size
    node.topic_size = parent.topic_size + size
    node.parent = parent
    count_bytes(topics, sizeof(Node) + size)
    return node


cdef inline Node *add_child(Topics *topics, Node *node, const unsigned char *label, size_t size) noexcept nogil:
    cdef Node *child
    if node.child_count == node.child_room and not set_child_room(topics, node, 2 * node.child_room or 1):
        prune(topics, node)
        return NULL
    child = new_node(topics, node, label, size)
    if child == NULL:
        prune(topics, node)
        return NULL
    node.keys[node.child_count] = label[0]
    node.children[node.child_count] = child
    node.child_count += 1
    return child


cdef inline Node *split(Topics *topics, Node *node, size_t size) noexcept nogil:
    # Puts a node above this one, with the first bytes of its label; NULL if there is no memory.
    cdef Node *above = new_node(topics, node.parent, node.label, size)
    if above == NULL:
        return NULL
    if not set_child_room(topics, above, 1):
        free_node(topics, above)
        return NULL
    replace_child(node, above)
    node.parent = above
    node.label_size -= size
    count_bytes(topics, -<Py_ssize_t>size)
    memmove(node.label, node.label + size, node.label_size)
    above.keys[0] = node.label[0]
    above.children[0] = node
    above.child_count = 1
    return above


cdef inline void replace_child(Node *node, Node *other) noexcept nogil:
    # Puts another node, whose label begins with the same byte, in its place.
    cdef unsigned char *place = <unsigned char *>memchr(node.parent.keys, node.label[0], node.parent.child_count)
    node.parent.children[place - node.parent.keys] = other


cdef inline bint is_used(const Node *node) noexcept nogil:
    # Whether its topic is one, and not a mere beginning of others.
    return node.entry_count or node.value != NULL


cdef inline void prune(Topics *topics, Node *node) noexcept nogil:
    # Removes a node that is of no use any more, and then those above it; one that has become a mere link is joined with
    # what is below it.
    cdef Node *above
    cdef size_t at
    while node.parent != NULL and not is_used(node) and not node.child_count:
        above = node.parent
        at = <unsigned char *>memchr(above.keys, node.label[0], above.child_count) - above.keys
        above.child_count -= 1
        above.keys[at] = above.keys[above.child_count]
        above.children[at] = above.children[above.child_count]
        if above.child_room > FEW and above.child_count <= above.child_room // 4:
            set_child_room(topics, above, above.child_room // 2)
        free_node(topics, node)
        node = above
    if node.parent != NULL and not is_used(node) and node.child_count == 1:
        join(topics, node)
    if not is_used(&topics.root) and not topics.root.child_count:
        free_parts(topics, &topics.root)
        memset(&topics.root, 0, sizeof(Node))


cdef inline void join(Topics *topics, Node *node) noexcept nogil:
    # Has its only child take its place. Without memory it stays, and costs a step.
    cdef Node *below = node.children[0]
    cdef size_t size = node.label_size + below.label_size
    cdef unsigned char *label = <unsigned char *>malloc(size)
    if label == NULL:
        return
    memcpy(label, node.label, node.label_size)
    memcpy(label + node.label_size, below.label, below.label_size)
    free(below.label)
    below.label = label
    count_bytes(topics, size - below.label_size)
    below.label_size = size
    below.parent = node.parent
    replace_child(node, below)
    free_node(topics, node)
