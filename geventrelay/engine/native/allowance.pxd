# What one run of a burst may let pass; `geventrelay.engine.stages.allowance` is the same in Python.

from .libzmq cimport msg_size, zmq_msg_t


cdef struct Allowance:
    long long messages
    long long nbytes


cdef inline bint may_pass(const void *own, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil:
    # A `geventrelay.engine.native.stage.passes_fn`.
    cdef Allowance *left = <Allowance *>own
    cdef Py_ssize_t index
    if left.messages <= 0 or left.nbytes <= 0:
        return False
    left.messages -= 1
    for index in range(count):
        left.nbytes -= msg_size(&parts[index])
    return True
