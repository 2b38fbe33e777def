# What waits for one peer: runs of messages, each in a block. Without Python.

from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .account cimport Account, give_memory, take_memory
from .blocks cimport Block, Heap, data_of, let_go
from .frames cimport message_size
from .topic_counts cimport Losses, count_lost

cdef enum:
    FEW_RUNS = 8
    # An empty queue gives its room back from here on.
    MANY_RUNS = 64


# Whole messages that lie one behind the other.
cdef struct Run:
    Block *block
    size_t at
    size_t size
    Py_ssize_t messages
    # When they came.
    double since
    # Whether they wait whatever the high-water mark is: last values.
    bint beyond


cdef struct Queue:
    Account *account
    # A ring; `room` is 0 or a power of two.
    Run *runs
    size_t room
    size_t first
    size_t count
    # How many bytes of the first message were written. It lies whole in the first run until it is written whole.
    size_t written
    long long messages
    size_t nbytes
    # Of them: those that wait whatever the high-water mark is.
    long long beyond
    size_t beyond_bytes
    # Whether they are written as ZMTP 1.0 has them.
    bint v1_0
    # What was dropped, here and before it came here.
    Losses losses


cdef inline Run *run_at(Queue *queue, size_t index) noexcept nogil:
    return &queue.runs[(queue.first + index) & (queue.room - 1)]


cdef inline bint append(
    Queue *queue, Block *block, size_t at, size_t size, Py_ssize_t messages, double since
) noexcept nogil:
    # Puts messages at the end; False if there is no memory.
    return append_run(queue, block, at, size, messages, since, False)


cdef inline bint append_beyond(Queue *queue, Block *block, size_t at, size_t size, double since) noexcept nogil:
    # Puts a message at the end, whatever the high-water mark is; False if there is no memory.
    if not append_run(queue, block, at, size, 1, since, True):
        return False
    queue.beyond += 1
    queue.beyond_bytes += size
    return True


cdef inline bint append_run(
    Queue *queue, Block *block, size_t at, size_t size, Py_ssize_t messages, double since, bint beyond
) noexcept nogil:
    cdef Run *run
    if queue.count:
        run = run_at(queue, queue.count - 1)
        if run.block == block and run.at + run.size == at and run.since == since and run.beyond == beyond:
            run.size += size
            run.messages += messages
            count_in(queue, block, size, messages)
            return True
    if queue.count == queue.room and not make_more_room(queue):
        return False
    run = run_at(queue, queue.count)
    run.block = block
    run.at = at
    run.size = size
    run.messages = messages
    run.since = since
    run.beyond = beyond
    block.holders += 1
    queue.count += 1
    count_in(queue, block, size, messages)
    return True


cdef inline void count_in(Queue *queue, Block *block, size_t size, Py_ssize_t messages) noexcept nogil:
    block.referred += size
    queue.nbytes += size
    queue.messages += messages


cdef inline bint make_more_room(Queue *queue) noexcept nogil:
    cdef size_t room = queue.room * 2 or FEW_RUNS
    cdef size_t index
    cdef Run *runs = <Run *>malloc(room * sizeof(Run))
    if runs == NULL:
        return False
    for index in range(queue.count):
        runs[index] = run_at(queue, index)[0]
    free_runs(queue)
    take_memory(queue.account, room * sizeof(Run))
    queue.runs = runs
    queue.room = room
    queue.first = 0
    return True


cdef inline void pop_run(Queue *queue, Heap *heap) noexcept nogil:
    # Forgets the first run.
    let_run_go(queue, heap, run_at(queue, 0))
    queue.first = (queue.first + 1) & (queue.room - 1)
    take_one_off(queue)


cdef inline void let_run_go(Queue *queue, Heap *heap, Run *run) noexcept nogil:
    # Of a run that is taken out.
    queue.messages -= run.messages
    queue.nbytes -= run.size
    if run.beyond:
        queue.beyond -= run.messages
        queue.beyond_bytes -= run.size
    run.block.referred -= run.size
    let_go(heap, run.block)


cdef inline void take_one_off(Queue *queue) noexcept nogil:
    queue.count -= 1
    if not queue.count and queue.room > MANY_RUNS:
        free_runs(queue)


cdef inline void free_runs(Queue *queue) noexcept nogil:
    give_memory(queue.account, queue.room * sizeof(Run))
    free(queue.runs)
    queue.runs = NULL
    queue.room = queue.first = 0


cdef inline size_t first_size(const Queue *queue, const Run *run) noexcept nogil:
    # The bytes of the first message of a run.
    return message_size(data_of(run.block) + run.at, queue.v1_0)


cdef inline void pop_first(Queue *queue, Run *run, size_t size) noexcept nogil:
    # Forgets the first message of a run that has more than that.
    run.at += size
    run.size -= size
    run.messages -= 1
    run.block.referred -= size
    queue.messages -= 1
    queue.nbytes -= size
    if run.beyond:
        queue.beyond -= 1
        queue.beyond_bytes -= size


cdef inline Py_ssize_t take_written(Queue *queue, Heap *heap, size_t nbytes) noexcept nogil:
    # The kernel has taken so many bytes: how many messages are whole with them. Those are then no more here.
    cdef long long before = queue.messages
    cdef size_t size
    # From the beginning of the first message on.
    nbytes += queue.written
    while queue.count and nbytes >= run_at(queue, 0).size:
        nbytes -= run_at(queue, 0).size
        pop_run(queue, heap)
    while nbytes:
        size = first_size(queue, run_at(queue, 0))
        if size > nbytes:
            break
        nbytes -= size
        pop_first(queue, run_at(queue, 0), size)
    queue.written = nbytes
    return before - queue.messages


# Dropping -----------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t drop_oldest(Queue *queue, Heap *heap, Py_ssize_t most) noexcept nogil:
    # Forgets up to so many messages, but not one that is written in half, nor what waits whatever the high-water mark is;
    # how many that were.
    cdef long long before = queue.messages
    cdef size_t start = apart(queue), index
    cdef Run *run
    while before - queue.messages < most:
        index = first_within(queue, start)
        if index == queue.count:
            break
        run = run_at(queue, index)
        if run.messages <= most - (before - queue.messages):
            drop_run(queue, heap, index)
        else:
            drop_first(queue, run)
    return before - queue.messages


cdef inline size_t first_within(Queue *queue, size_t start) noexcept nogil:
    # From `start` on, which is 0 or 1, the first run that the high-water mark counts; `count` if there is none.
    cdef long long left = queue.messages - queue.beyond
    cdef size_t index = queue.count
    if start and not run_at(queue, 0).beyond:
        left -= run_at(queue, 0).messages
    if queue.beyond <= left:
        while start < queue.count and run_at(queue, start).beyond:
            start += 1
        return start
    # Many last values may stand before few of the others: these are looked for from the end.
    while left > 0:
        index -= 1
        if not run_at(queue, index).beyond:
            left -= run_at(queue, index).messages
    return index


cdef inline Py_ssize_t drop_older(Queue *queue, Heap *heap, double than) noexcept nogil:
    # Likewise all that came before a time.
    cdef long long before = queue.messages
    cdef size_t start
    if not queue.count or run_at(queue, 0).since >= than:
        return 0
    start = apart(queue)
    while queue.count > start and run_at(queue, start).since < than:
        drop_run(queue, heap, start)
    return before - queue.messages


cdef inline double oldest(Queue *queue) noexcept nogil:
    # When the first message came, but for one that is written in half; INFINITY if there is none.
    if queue.count and (not queue.written or run_at(queue, 0).messages > 1):
        return run_at(queue, 0).since
    return run_at(queue, 1).since if queue.count > 1 else INFINITY


cdef inline Py_ssize_t drop_to(Queue *queue, Heap *heap, size_t nbytes) noexcept nogil:
    # Likewise the oldest, until so many bytes wait.
    cdef long long before = queue.messages
    cdef size_t start = apart(queue)
    cdef Run *run
    while queue.count > start and queue.nbytes > nbytes:
        run = run_at(queue, start)
        if run.messages == 1 or queue.nbytes - run.size >= nbytes:
            drop_run(queue, heap, start)
        else:
            drop_first(queue, run)
    return before - queue.messages


cdef inline size_t apart(Queue *queue) noexcept nogil:
    # Makes a run of a message that is written in half: how many runs that is, 0 or 1. Without memory for that, the whole
    # run stays.
    cdef Run *run
    cdef Run *half
    cdef size_t size
    if not queue.written:
        return 0
    if run_at(queue, 0).messages == 1 or (queue.count == queue.room and not make_more_room(queue)):
        return 1
    run = run_at(queue, 0)
    size = first_size(queue, run)
    queue.first = (queue.first - 1) & (queue.room - 1)
    queue.count += 1
    half = run_at(queue, 0)
    half[0] = run[0]
    half.size = size
    half.messages = 1
    run.at += size
    run.size -= size
    run.messages -= 1
    run.block.holders += 1
    return 1


cdef inline void drop_first(Queue *queue, Run *run) noexcept nogil:
    # Forgets the first message of a run that has more than that.
    count_lost(&queue.losses, data_of(run.block) + run.at, 1, queue.v1_0)
    pop_first(queue, run, first_size(queue, run))


cdef inline void drop_run(Queue *queue, Heap *heap, size_t index) noexcept nogil:
    # Forgets one run; the others stay in their order. The fewer of those before and behind it move.
    lose_run(queue, run_at(queue, index))
    let_run_go(queue, heap, run_at(queue, index))
    if index < queue.count // 2:
        while index:
            run_at(queue, index)[0] = run_at(queue, index - 1)[0]
            index -= 1
        queue.first = (queue.first + 1) & (queue.room - 1)
    else:
        while index + 1 < queue.count:
            run_at(queue, index)[0] = run_at(queue, index + 1)[0]
            index += 1
    take_one_off(queue)


cdef inline void lose_run(Queue *queue, const Run *run) noexcept nogil:
    count_lost(&queue.losses, data_of(run.block) + run.at, run.messages, queue.v1_0)


cdef inline Py_ssize_t lose_all(Queue *queue, Heap *heap) noexcept nogil:
    # Drops all that waits, what is written in half too; how many messages that were.
    cdef Py_ssize_t messages = queue.messages
    cdef size_t index
    for index in range(queue.count):
        lose_run(queue, run_at(queue, index))
    drop_all(queue, heap)
    return messages


cdef inline void drop_all(Queue *queue, Heap *heap) noexcept nogil:
    # Without counting it.
    while queue.count:
        pop_run(queue, heap)
    queue.written = 0
    free_runs(queue)


cdef inline void move_run(Queue *queue, Heap *heap, Run *run, Block *block, size_t at) noexcept nogil:
    # What it has was copied to another block.
    run.block.referred -= run.size
    let_go(heap, run.block)
    run.block = block
    run.at = at
    block.holders += 1
    block.referred += run.size
