# What sees a message between its recv and its outlets; `geventrelay.engine.stages.contract` has the contract.

from .libzmq cimport zmq_msg_t

# Whether a message, given by its parts and their number, goes on; first comes what the stage has of its own.
ctypedef bint (*passes_fn)(const void *own, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil


cdef struct Stage:
    passes_fn passes
    const void *own
    # Since that was last added to the counters.
    long long dropped


cdef inline bint pass_stages(Stage *stages, Py_ssize_t stage_count, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil:
    # Whether a message passes all of them; the first that it does not pass counts it.
    cdef Py_ssize_t index
    for index in range(stage_count):
        if not stages[index].passes(stages[index].own, parts, count):
            stages[index].dropped += 1
            return False
    return True
