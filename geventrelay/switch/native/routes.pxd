# Peers by routing id: a table with open addresses. Without Python.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

cdef enum:
    # zmq_setsockopt(3), ZMQ_ROUTING_ID
    MOST_ID = 255


cdef struct Route:
    void *peer
    const unsigned char *routing_id
    size_t size


cdef struct Routes:
    Route *slots
    # 0 or a power of two, at least twice as many as there are routes.
    size_t room
    size_t count
    # Peers choose their ids, and must not know where that leads.
    uint64_t seed


cdef inline size_t place_of(const Routes *routes, const unsigned char *routing_id, size_t size) noexcept nogil:
    # Where it belongs: FNV-1a.
    cdef uint64_t hashed = 14695981039346656037ULL ^ routes.seed
    cdef size_t index
    for index in range(size):
        hashed = (hashed ^ routing_id[index]) * 1099511628211ULL
    return (hashed ^ hashed >> 32) & (routes.room - 1)


cdef inline size_t slot_of(const Routes *routes, const unsigned char *routing_id, size_t size) noexcept nogil:
    # The slot that has it, or a free one. There is room.
    cdef size_t at = place_of(routes, routing_id, size)
    while routes.slots[at].peer != NULL:
        if routes.slots[at].size == size and not memcmp(routes.slots[at].routing_id, routing_id, size):
            break
        at = (at + 1) & (routes.room - 1)
    return at


cdef inline void *peer_by_id(const Routes *routes, const unsigned char *routing_id, size_t size) noexcept nogil:
    # NULL if there is none.
    return routes.slots[slot_of(routes, routing_id, size)].peer if routes.count else NULL


cdef inline bint add_route(Routes *routes, void *peer, const unsigned char *routing_id, size_t size) noexcept nogil:
    # The id is not there yet, and stays where it is. False if there is no memory.
    cdef Route *old = routes.slots
    cdef size_t index, room = routes.room
    cdef Route *slot
    if 2 * (routes.count + 1) > room:
        routes.slots = <Route *>calloc(2 * room or 8, sizeof(Route))
        if routes.slots == NULL:
            routes.slots = old
            return False
        routes.room = 2 * room or 8
        for index in range(room):
            if old[index].peer != NULL:
                routes.slots[slot_of(routes, old[index].routing_id, old[index].size)] = old[index]
        free(old)
    slot = &routes.slots[slot_of(routes, routing_id, size)]
    slot.peer = peer
    slot.routing_id = routing_id
    slot.size = size
    routes.count += 1
    return True


cdef inline void remove_route(Routes *routes, const unsigned char *routing_id, size_t size) noexcept nogil:
    # Takes it out, and puts those behind it where they are found without it.
    cdef size_t at
    cdef Route moved
    if not routes.count:
        return
    at = slot_of(routes, routing_id, size)
    if routes.slots[at].peer == NULL:
        return
    routes.slots[at].peer = NULL
    routes.count -= 1
    at = (at + 1) & (routes.room - 1)
    while routes.slots[at].peer != NULL:
        moved = routes.slots[at]
        routes.slots[at].peer = NULL
        routes.slots[slot_of(routes, moved.routing_id, moved.size)] = moved
        at = (at + 1) & (routes.room - 1)
