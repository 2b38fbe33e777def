# Messages that are not sent as they came: in another version of ZMTP, or moved from a block that is kept for little.
# Without Python.

from libc.string cimport memcpy, memset

from .blocks cimport Block, Heap, data_of, let_go, place_copy
from .frames cimport message_size, recode
from .peer cimport Core, Peer, Side
from .queue cimport Queue, Run, append, append_beyond, drop_all, move_run, run_at

cdef enum:
    # With so much in blocks nothing is looked at.
    FEW_BYTES = 4194304


cdef inline bint put(Peer *peer, Block *block, size_t at, size_t size, Py_ssize_t messages) noexcept nogil:
    # Puts messages of ZMTP 2.0 and later in the peer's queue; False if there is no memory.
    cdef size_t one, end = at + size
    if not peer.queue.v1_0:
        return append(&peer.queue, block, at, size, messages, peer.core.now)
    while at < end:
        one = message_size(data_of(block) + at, False)
        if not put_recoded(&peer.core.heap, &peer.queue, data_of(block) + at, one, False, peer.core.now, False):
            return False
        at += one
    return True


cdef inline bint put_recoded(
    Heap *heap, Queue *queue, const unsigned char *message, size_t size, bint from_1_0, double since, bint beyond
) noexcept nogil:
    # Puts a message of one version of ZMTP in a queue for another.
    cdef Block *block = NULL
    cdef size_t at = 0, made, was
    cdef bint done
    # A frame has 2 bytes at least, and becomes 8 bytes longer at most.
    cdef unsigned char *copy = place_copy(heap, 5 * size, &block, &at)
    if copy == NULL:
        return False
    made = recode(copy, message, from_1_0, &was)
    if block == heap.copies:
        heap.copies_at = at + made
    done = append_beyond(queue, block, at, made, since) if beyond else append(queue, block, at, made, 1, since)
    let_go(heap, block)
    return done


cdef inline bint recode_queue(Peer *peer) noexcept nogil:
    # Its next connection speaks another version than the last one: ZMTP 1.0 now and not before, or the other way round.
    cdef Heap *heap = &peer.core.heap
    cdef Queue queue
    cdef Run *run
    cdef size_t index, size
    cdef const unsigned char *at
    memset(&queue, 0, sizeof(queue))
    queue.account = peer.queue.account
    queue.v1_0 = not peer.queue.v1_0
    queue.losses = peer.queue.losses
    for index in range(peer.queue.count):
        run = run_at(&peer.queue, index)
        at = data_of(run.block) + run.at
        while at < data_of(run.block) + run.at + run.size:
            size = message_size(at, peer.queue.v1_0)
            if not put_recoded(heap, &queue, at, size, peer.queue.v1_0, run.since, run.beyond):
                drop_all(&queue, heap)
                return False
            at += size
    drop_all(&peer.queue, heap)
    peer.queue = queue
    return True


# Blocks that are kept for little ---------------------------------------------------------------------------------

cdef inline void compact(Core *core) noexcept nogil:
    # A slow peer for which few messages wait must not keep all that came between them: what it has in a block that is kept
    # for less than half of it moves together with others. The rest is kept once for all that wait for it.
    core.compact_at = max(min(core.compact_at, 4 * core.heap.live), <size_t>FEW_BYTES)
    if core.heap.live < core.compact_at:
        return
    compact_all(core)


cdef inline void compact_all(Core *core) noexcept nogil:
    cdef Side *side = core.sides
    cdef Py_ssize_t index
    while side != NULL:
        for index in range(side.count):
            compact_queue(&side.peers[index].queue, &core.heap)
        side = side.next_side
    core.compact_at = 2 * core.heap.live


cdef inline void compact_queue(Queue *queue, Heap *heap) noexcept nogil:
    cdef size_t index, at = 0
    cdef Run *run
    cdef Block *block = NULL
    cdef unsigned char *copy
    for index in range(queue.count):
        run = run_at(queue, index)
        if run.block == heap.current or run.block == heap.copies or run.block.referred >= run.block.size // 2:
            continue
        copy = place_copy(heap, run.size, &block, &at)
        if copy == NULL:
            return
        memcpy(copy, data_of(run.block) + run.at, run.size)
        move_run(queue, heap, run, block, at)
        let_go(heap, block)
