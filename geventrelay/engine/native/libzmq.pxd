# libzmq's functions, called through pointers into the very library that pyzmq has loaded; libzmq.pyx fills them in.
# What zmq.h fixes for all of libzmq 4 stands here as a constant.

from libc.errno cimport EAGAIN, EINTR
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t

cdef enum:
    DONTWAIT = 1
    SNDMORE = 2
    EVENTS = 15
    SRCFD = 2
    EFSM = 156384712 + 51
    ETERM = 156384712 + 53

# zmq.h promises 64 bytes, aligned like a pointer (8), and nothing about what is in them. Messages may be moved about
# in memory: libzmq's own queues copy them bytewise.
cdef struct zmq_msg_t:
    uint64_t opaque[8]

ctypedef void (*free_fn)(void *data, void *hint) noexcept nogil

cdef:
    int (*msg_init)(zmq_msg_t *) noexcept nogil
    int (*msg_init_size)(zmq_msg_t *, size_t) noexcept nogil
    int (*msg_init_data)(zmq_msg_t *, void *, size_t, free_fn, void *) noexcept nogil
    int (*msg_recv)(zmq_msg_t *, void *, int) noexcept nogil
    int (*msg_send)(zmq_msg_t *, void *, int) noexcept nogil
    int (*msg_copy)(zmq_msg_t *, zmq_msg_t *) noexcept nogil
    int (*msg_close)(zmq_msg_t *) noexcept nogil
    int (*msg_more)(const zmq_msg_t *) noexcept nogil
    void *(*msg_data)(zmq_msg_t *) noexcept nogil
    size_t (*msg_size)(const zmq_msg_t *) noexcept nogil
    int (*msg_get)(const zmq_msg_t *, int) noexcept nogil
    const char *(*msg_gets)(const zmq_msg_t *, const char *) noexcept nogil
    int (*getsockopt)(void *, int, void *, size_t *) noexcept nogil
    int (*last_error)() noexcept nogil

cdef void *handle_of(socket) except? NULL
cdef object exception_of(int error)
cdef bint may_retry() noexcept nogil
cdef object take_raised()


cdef inline bint is_not_now(int error) noexcept nogil:
    # EFSM: a REQ or REP whose turn it is not; it becomes readable or writable when its turn comes.
    return error == EAGAIN or error == EFSM


cdef inline int receive_part(void *socket, zmq_msg_t *part, long long *nbytes) noexcept nogil:
    # Reads one part, and sets `nbytes` to its size. Returns an errno or 0.
    cdef int size, error
    while True:
        size = msg_recv(part, socket, DONTWAIT)
        if size >= 0:
            # What libzmq returns ends at INT_MAX; parts do not.
            nbytes[0] = size if size < INT_MAX else <long long>msg_size(part)
            return 0
        error = last_error()
        if error != EINTR or not may_retry():
            return error


cdef inline int send_part(void *socket, zmq_msg_t *part, bint more) noexcept nogil:
    # Sends one part; libzmq leaves an empty message in its place. Returns an errno or 0.
    cdef int error
    while True:
        if msg_send(part, socket, DONTWAIT | SNDMORE if more else DONTWAIT) >= 0:
            return 0
        error = last_error()
        if error != EINTR or not may_retry():
            return error
