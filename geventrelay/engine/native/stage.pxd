# What sees a message between its recv and its outlets; `geventrelay.engine.stages.contract` has the contract.

from libc.stdlib cimport calloc, free

from .libzmq cimport zmq_msg_t

# Whether a message, given by its parts and their number, goes on; first comes what the stage has of its own.
ctypedef bint (*passes_fn)(const void *own, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil


cdef struct Stage:
    passes_fn passes
    const void *own
    # Since that was last added to the counters.
    long long dropped


cdef struct Stages:
    Stage *each
    Py_ssize_t count


cdef inline int make_stages(Stages *stages, Py_ssize_t count) except -1:
    # Room for so many, in the place of those that there were; each is to be set.
    clear_stages(stages)
    stages.each = <Stage *>calloc(count or 1, sizeof(Stage))
    if stages.each == NULL:
        raise MemoryError
    stages.count = count
    return 0


cdef inline void clear_stages(Stages *stages) noexcept nogil:
    free(stages.each)
    stages.each = NULL
    stages.count = 0


cdef inline bint pass_stages(Stages *stages, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil:
    # Whether a message passes all of them; the first that it does not pass counts it.
    cdef Py_ssize_t index
    for index in range(stages.count):
        if not stages.each[index].passes(stages.each[index].own, parts, count):
            stages.each[index].dropped += 1
            return False
    return True


cdef inline int count_dropped(Stages *stages, tuple reasons, tuple outlet_counters) except -1:
    # Adds what each has dropped to the counters of every outlet, by its reason.
    cdef Py_ssize_t index
    for index in range(stages.count):
        if stages.each[index].dropped:
            for outlet in outlet_counters:
                outlet.drop(reasons[index], stages.each[index].dropped)
            stages.each[index].dropped = 0
    return 0
