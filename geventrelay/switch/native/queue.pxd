# What waits for one peer: runs of messages, each in a block. Without Python.

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .blocks cimport Block, Heap, data_of, let_go
from .frames cimport message_size

cdef enum:
    FEW_RUNS = 8
    # An empty queue gives its room back from here on.
    MANY_RUNS = 64


# Whole messages that lie one behind the other.
cdef struct Run:
    Block *block
    size_t at
    size_t size
    # The bytes of their parts alone.
    size_t body
    Py_ssize_t messages


cdef struct Queue:
    # A ring; `room` is 0 or a power of two.
    Run *runs
    size_t room
    size_t first
    size_t count
    # How many bytes of the first message were written. It lies whole in the first run until it is written whole.
    size_t written
    long long messages
    # Of their parts.
    long long body
    # Whether they are written as ZMTP 1.0 has them.
    bint v1_0


cdef inline Run *run_at(Queue *queue, size_t index) noexcept nogil:
    return &queue.runs[(queue.first + index) & (queue.room - 1)]


cdef inline bint append(Queue *queue, Block *block, size_t at, size_t size, size_t body, Py_ssize_t messages) noexcept nogil:
    # Puts messages at the end; False if there is no memory.
    cdef Run *run
    if queue.count:
        run = run_at(queue, queue.count - 1)
        if run.block == block and run.at + run.size == at:
            run.size += size
            run.body += body
            run.messages += messages
            queue.messages += messages
            queue.body += body
            return True
    if queue.count == queue.room and not make_more_room(queue):
        return False
    run = run_at(queue, queue.count)
    run.block = block
    run.at = at
    run.size = size
    run.body = body
    run.messages = messages
    block.holders += 1
    queue.count += 1
    queue.messages += messages
    queue.body += body
    return True


cdef inline bint make_more_room(Queue *queue) noexcept nogil:
    cdef size_t room = queue.room * 2 or FEW_RUNS
    cdef size_t index
    cdef Run *runs = <Run *>malloc(room * sizeof(Run))
    if runs == NULL:
        return False
    for index in range(queue.count):
        runs[index] = run_at(queue, index)[0]
    free(queue.runs)
    queue.runs = runs
    queue.room = room
    queue.first = 0
    return True


cdef inline void pop_run(Queue *queue, Heap *heap) noexcept nogil:
    cdef Run *run = run_at(queue, 0)
    queue.messages -= run.messages
    queue.body -= run.body
    let_go(heap, run.block)
    queue.first = (queue.first + 1) & (queue.room - 1)
    queue.count -= 1
    if not queue.count and queue.room > MANY_RUNS:
        free(queue.runs)
        queue.runs = NULL
        queue.room = queue.first = 0


cdef inline Py_ssize_t take_written(Queue *queue, Heap *heap, size_t nbytes) noexcept nogil:
    # The kernel has taken so many bytes: how many messages are whole with them. Those are then no more here.
    cdef Py_ssize_t whole = 0
    cdef size_t size, body
    cdef Run *run
    # From the beginning of the first message on.
    nbytes += queue.written
    while queue.count and nbytes >= run_at(queue, 0).size:
        run = run_at(queue, 0)
        nbytes -= run.size
        whole += run.messages
        pop_run(queue, heap)
    while nbytes:
        run = run_at(queue, 0)
        size = message_size(data_of(run.block) + run.at, queue.v1_0, &body)
        if size > nbytes:
            break
        nbytes -= size
        whole += 1
        run.at += size
        run.size -= size
        run.body -= body
        run.messages -= 1
        queue.messages -= 1
        queue.body -= body
    queue.written = nbytes
    return whole


cdef inline void drop_all(Queue *queue, Heap *heap) noexcept nogil:
    while queue.count:
        pop_run(queue, heap)
    queue.written = 0
    free(queue.runs)
    queue.runs = NULL
    queue.room = queue.first = 0
