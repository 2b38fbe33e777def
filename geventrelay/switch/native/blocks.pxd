# Memory for bytes that have come and wait to go on: blocks, each with a count of its holders. Without Python.
#
# Bytes are read into the current block, and a queue refers to them there: no message is copied on its way. Once no
# queue refers to the current block, it is filled from its beginning again.

from libc.stdlib cimport free, malloc, realloc

from .account cimport Account, give_memory, take_memory

cdef enum:
    # Of the current block, and how much is read at a time. A read of this size stays in the processor's second cache
    # until it is written, and its system call is 1 % of the cost of its messages.
    BLOCK_BYTES = 262144
    READ_BYTES = 65536
    # How many blocks that are free are kept: a burst to a slow peer takes some, and gives them back.
    MOST_SPARES = 4


cdef struct Block:
    # Runs of queues, the connection that reads into it, and the heap whose current one it is.
    Py_ssize_t holders
    size_t size
    # How many bytes queues refer to, each time counted.
    size_t referred
    # Whether the account has it.
    bint counted
    # Of those that are spare.
    Block *next


cdef struct Heap:
    Account *account
    Block *current
    # What follows is free in the current block.
    size_t at
    # The same for messages that are not sent as they came.
    Block *copies
    size_t copies_at
    Block *spares
    Py_ssize_t spare_count
    # The bytes of all blocks but the spare ones.
    size_t live


cdef inline unsigned char *data_of(Block *block) noexcept nogil:
    return <unsigned char *>block + sizeof(Block)


cdef inline Block *new_block(Heap *heap, size_t size) noexcept nogil:
    # A block of at least that size with one holder; NULL if there is no memory.
    cdef Block *block
    if size == BLOCK_BYTES and heap.spares != NULL:
        block = heap.spares
        heap.spares = block.next
        heap.spare_count -= 1
    else:
        block = <Block *>malloc(sizeof(Block) + size)
        if block == NULL:
            return NULL
        block.size = size
    block.holders = 1
    block.referred = 0
    block.next = NULL
    block.counted = False
    set_counted(heap, block, True)
    heap.live += block.size
    return block


cdef inline void set_counted(Heap *heap, Block *block, bint counted) noexcept nogil:
    if counted and not block.counted:
        take_memory(heap.account, block.size)
    elif block.counted and not counted:
        give_memory(heap.account, block.size)
    block.counted = counted


cdef inline Block *grown(Heap *heap, Block *block, size_t size) noexcept nogil:
    # The same block, which has one holder, with more room; NULL if there is no memory, and then it is as it was.
    block = <Block *>realloc(block, sizeof(Block) + size)
    if block != NULL:
        heap.live += size - block.size
        take_memory(heap.account, size - block.size)
        block.size = size
    return block


cdef inline void let_go(Heap *heap, Block *block) noexcept nogil:
    # One holder less.
    block.holders -= 1
    if block.holders:
        return
    heap.live -= block.size
    set_counted(heap, block, False)
    if block.size == BLOCK_BYTES and heap.spare_count < MOST_SPARES:
        block.next = heap.spares
        heap.spares = block
        heap.spare_count += 1
    else:
        free(block)


cdef inline bint make_current(Heap *heap, size_t room) noexcept nogil:
    # Has the current block so much room after `at`; `room` is at most BLOCK_BYTES. False if there is no memory.
    return have_room(heap, &heap.current, &heap.at, room)


cdef inline bint have_room(Heap *heap, Block **current, size_t *at, size_t room) noexcept nogil:
    cdef Block *block
    if current[0] != NULL:
        if current[0].holders == 1:
            at[0] = 0
        if current[0].size - at[0] >= room:
            return True
    block = new_block(heap, BLOCK_BYTES)
    if block == NULL:
        return False
    if current[0] != NULL:
        set_counted(heap, current[0], True)
        let_go(heap, current[0])
    current[0] = block
    set_counted(heap, block, False)
    at[0] = 0
    return True


cdef inline unsigned char *place_copy(Heap *heap, size_t size, Block **block, size_t *at) noexcept nogil:
    # Room for a copy of so many bytes; NULL if there is no memory. The block has one holder more, until `let_go`.
    at[0] = 0
    if size > BLOCK_BYTES // 4:
        block[0] = new_block(heap, size)
        return NULL if block[0] == NULL else data_of(block[0])
    if not have_room(heap, &heap.copies, &heap.copies_at, size):
        return NULL
    block[0] = heap.copies
    block[0].holders += 1
    at[0] = heap.copies_at
    heap.copies_at += size
    return data_of(block[0]) + at[0]


cdef inline void free_heap(Heap *heap) noexcept nogil:
    cdef Block *block
    free(heap.current)
    free(heap.copies)
    while heap.spares != NULL:
        block = heap.spares
        heap.spares = block.next
        free(block)
