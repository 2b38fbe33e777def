# Memory for bytes that have come and wait to go on: blocks, each with a count of its holders. Without Python.
#
# Bytes are read into the current block, and a queue refers to them there: no message is copied on its way. Once no
# queue refers to the current block, it is filled from its beginning again.

from libc.stdlib cimport free, malloc, realloc

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
    # Of those that are spare.
    Block *next


cdef struct Heap:
    Block *current
    # What follows is free in the current block.
    size_t at
    Block *spares
    Py_ssize_t spare_count


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
    block.next = NULL
    return block


cdef inline Block *grown(Block *block, size_t size) noexcept nogil:
    # The same block, which has one holder, with more room; NULL if there is no memory, and then it is as it was.
    block = <Block *>realloc(block, sizeof(Block) + size)
    if block != NULL:
        block.size = size
    return block


cdef inline void let_go(Heap *heap, Block *block) noexcept nogil:
    # One holder less.
    block.holders -= 1
    if block.holders:
        return
    if block.size == BLOCK_BYTES and heap.spare_count < MOST_SPARES:
        block.next = heap.spares
        heap.spares = block
        heap.spare_count += 1
    else:
        free(block)


cdef inline bint make_current(Heap *heap, size_t room) noexcept nogil:
    # Has the current block so much room after `at`; `room` is at most BLOCK_BYTES. False if there is no memory.
    cdef Block *block
    if heap.current != NULL:
        if heap.current.holders == 1:
            heap.at = 0
        if heap.current.size - heap.at >= room:
            return True
    block = new_block(heap, BLOCK_BYTES)
    if block == NULL:
        return False
    if heap.current != NULL:
        let_go(heap, heap.current)
    heap.current = block
    heap.at = 0
    return True


cdef inline void free_heap(Heap *heap) noexcept nogil:
    cdef Block *block
    if heap.current != NULL:
        free(heap.current)
    while heap.spares != NULL:
        block = heap.spares
        heap.spares = block.next
        free(block)
