# Things by bytes, as peers by routing id: a table with open addresses. Without Python.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

cdef struct Slot:
    void *thing
    const unsigned char *key
    size_t size


cdef struct Table:
    Slot *slots
    # 0 or a power of two, at least twice as many as there are things.
    size_t room
    size_t count
    # Peers choose the keys, and must not know where that leads.
    uint64_t seed


cdef inline size_t place_of(const Table *table, const unsigned char *key, size_t size) noexcept nogil:
    # Where it belongs: FNV-1a.
    cdef uint64_t hashed = 14695981039346656037ULL ^ table.seed
    cdef size_t index
    for index in range(size):
        hashed = (hashed ^ key[index]) * 1099511628211ULL
    return (hashed ^ hashed >> 32) & (table.room - 1)


cdef inline size_t slot_of(const Table *table, const unsigned char *key, size_t size) noexcept nogil:
    # The slot that has it, or a free one. There is room.
    cdef size_t at = place_of(table, key, size)
    while table.slots[at].thing != NULL:
        if table.slots[at].size == size and not memcmp(table.slots[at].key, key, size):
            break
        at = (at + 1) & (table.room - 1)
    return at


cdef inline void *find_in(const Table *table, const unsigned char *key, size_t size) noexcept nogil:
    # NULL if there is none.
    return table.slots[slot_of(table, key, size)].thing if table.count else NULL


cdef inline bint put_in(Table *table, void *thing, const unsigned char *key, size_t size) noexcept nogil:
    # The key is not there yet, and stays where it is. False if there is no memory.
    cdef Slot *old = table.slots
    cdef size_t index, room = table.room
    cdef Slot *slot
    if 2 * (table.count + 1) > room:
        table.slots = <Slot *>calloc(2 * room or 8, sizeof(Slot))
        if table.slots == NULL:
            table.slots = old
            return False
        table.room = 2 * room or 8
        for index in range(room):
            if old[index].thing != NULL:
                table.slots[slot_of(table, old[index].key, old[index].size)] = old[index]
        free(old)
    slot = &table.slots[slot_of(table, key, size)]
    slot.thing = thing
    slot.key = key
    slot.size = size
    table.count += 1
    return True


cdef inline void take_out(Table *table, const unsigned char *key, size_t size) noexcept nogil:
    # Takes it out, and puts those behind it where they are found without it.
    cdef size_t at
    cdef Slot moved
    if not table.count:
        return
    at = slot_of(table, key, size)
    if table.slots[at].thing == NULL:
        return
    table.slots[at].thing = NULL
    table.count -= 1
    at = (at + 1) & (table.room - 1)
    while table.slots[at].thing != NULL:
        moved = table.slots[at]
        table.slots[at].thing = NULL
        table.slots[slot_of(table, moved.key, moved.size)] = moved
        at = (at + 1) & (table.room - 1)
