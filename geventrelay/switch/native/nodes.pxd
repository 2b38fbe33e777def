# The nodes of a radix tree of topics, as topics.pxd describes it. Without Python, and without recursion.

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove, memset

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
    # The first byte of each child's label, and the children.
    unsigned char *keys
    Node **children
    size_t child_count
    size_t child_room
    Entry *entries
    size_t entry_count
    size_t entry_room


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
    # The last match in which it was found.
    unsigned long long stamp
    Member *next_dead


cdef struct Topics:
    Node root
    # Changes with every entry.
    unsigned long long version
    unsigned long long stamp
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


cdef inline void free_parts(Node *node) noexcept nogil:
    free(node.label)
    free(node.keys)
    free(node.children)
    free(node.entries)


cdef inline bint set_child_room(Node *node, size_t room) noexcept nogil:
    cdef Node **children = <Node **>realloc(node.children, room * sizeof(Node *))
    cdef unsigned char *keys
    if children == NULL:
        return False
    node.children = children
    node.child_room = min(node.child_room, room)
    keys = <unsigned char *>realloc(node.keys, room)
    if keys == NULL:
        return False
    node.keys = keys
    node.child_room = room
    return True


cdef inline bint set_entry_room(Node *node, size_t room) noexcept nogil:
    cdef Entry *entries = <Entry *>realloc(node.entries, room * sizeof(Entry))
    if entries == NULL:
        return False
    node.entries = entries
    node.entry_room = room
    return True


cdef inline Record *add_entry(Node *node, Member *member) noexcept nogil:
    cdef Record *record
    if node.entry_count == node.entry_room and not set_entry_room(node, 2 * node.entry_room or 1):
        return NULL
    record = <Record *>malloc(sizeof(Record))
    if record == NULL:
        return NULL
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
            return add_child(node, topic, size)
        common = 1
        while common < child.label_size and common < size and child.label[common] == topic[common]:
            common += 1
        if common < child.label_size:
            child = split(child, common)
            if child == NULL:
                return NULL
        node = child
        topic += common
        size -= common
    return node


cdef inline Node *new_node(Node *parent, const unsigned char *label, size_t size) noexcept nogil:
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
    node.parent = parent
    return node


cdef inline Node *add_child(Node *node, const unsigned char *label, size_t size) noexcept nogil:
    cdef Node *child
    if node.child_count == node.child_room and not set_child_room(node, 2 * node.child_room or 1):
        prune(node)
        return NULL
    child = new_node(node, label, size)
    if child == NULL:
        prune(node)
        return NULL
    node.keys[node.child_count] = label[0]
    node.children[node.child_count] = child
    node.child_count += 1
    return child


cdef inline Node *split(Node *node, size_t size) noexcept nogil:
    # Puts a node above this one, with the first bytes of its label; NULL if there is no memory.
    cdef Node *above = new_node(node.parent, node.label, size)
    if above == NULL:
        return NULL
    if not set_child_room(above, 1):
        free_parts(above)
        free(above)
        return NULL
    replace_child(node, above)
    node.parent = above
    node.label_size -= size
    memmove(node.label, node.label + size, node.label_size)
    above.keys[0] = node.label[0]
    above.children[0] = node
    above.child_count = 1
    return above


cdef inline void replace_child(Node *node, Node *other) noexcept nogil:
    # Puts another node, whose label begins with the same byte, in its place.
    cdef unsigned char *place = <unsigned char *>memchr(node.parent.keys, node.label[0], node.parent.child_count)
    node.parent.children[place - node.parent.keys] = other


cdef inline void prune(Node *node) noexcept nogil:
    # Removes a node that is of no use any more, and then those above it; one that has become a mere link is joined with
    # what is below it.
    cdef Node *above
    cdef size_t at
    while node.parent != NULL and not node.entry_count and not node.child_count:
        above = node.parent
        at = <unsigned char *>memchr(above.keys, node.label[0], above.child_count) - above.keys
        above.child_count -= 1
        above.keys[at] = above.keys[above.child_count]
        above.children[at] = above.children[above.child_count]
        if above.child_room > FEW and above.child_count <= above.child_room // 4:
            set_child_room(above, above.child_room // 2)
        free_parts(node)
        free(node)
        node = above
    if node.parent != NULL and not node.entry_count and node.child_count == 1:
        join(node)


cdef inline void join(Node *node) noexcept nogil:
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
    below.label_size = size
    below.parent = node.parent
    replace_child(node, below)
    free_parts(node)
    free(node)
