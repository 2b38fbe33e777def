# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""libzmq's functions, found in the very library that pyzmq has loaded, and what they need of Python.

Nothing is included from libzmq and nothing linked: `geventrelay.engine.native.addresses` says where the functions are.
Importing this module raises ImportError where they cannot be had.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR

import inspect

import zmq

from .addresses import function_addresses


cdef int connect() except -1:
    global msg_init, msg_init_size, msg_init_data, msg_recv, msg_send, msg_copy, msg_close, msg_more, msg_data
    global msg_size, msg_get, msg_gets, getsockopt, last_error
    cdef dict at = function_addresses((
        "zmq_msg_init", "zmq_msg_init_size", "zmq_msg_init_data", "zmq_msg_recv", "zmq_msg_send", "zmq_msg_copy",
        "zmq_msg_close", "zmq_msg_more", "zmq_msg_data", "zmq_msg_size", "zmq_msg_get", "zmq_msg_gets",
        "zmq_getsockopt", "zmq_errno",
    ))
    msg_init = <int (*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_init"]
    msg_init_size = <int (*)(zmq_msg_t *, size_t) noexcept nogil><size_t>at["zmq_msg_init_size"]
    msg_init_data = (
        <int (*)(zmq_msg_t *, void *, size_t, free_fn, void *) noexcept nogil><size_t>at["zmq_msg_init_data"]
    )
    msg_recv = <int (*)(zmq_msg_t *, void *, int) noexcept nogil><size_t>at["zmq_msg_recv"]
    msg_send = <int (*)(zmq_msg_t *, void *, int) noexcept nogil><size_t>at["zmq_msg_send"]
    msg_copy = <int (*)(zmq_msg_t *, zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_copy"]
    msg_close = <int (*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_close"]
    msg_more = <int (*)(const zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_more"]
    msg_data = <void *(*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_data"]
    msg_size = <size_t (*)(const zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_size"]
    msg_get = <int (*)(const zmq_msg_t *, int) noexcept nogil><size_t>at["zmq_msg_get"]
    msg_gets = <const char *(*)(const zmq_msg_t *, const char *) noexcept nogil><size_t>at["zmq_msg_gets"]
    getsockopt = <int (*)(void *, int, void *, size_t *) noexcept nogil><size_t>at["zmq_getsockopt"]
    last_error = <int (*)() noexcept nogil><size_t>at["zmq_errno"]
    return 0


connect()

if (zmq.DONTWAIT, zmq.SNDMORE, zmq.EVENTS, zmq.SRCFD, zmq.EFSM, zmq.ETERM) != (
    DONTWAIT, SNDMORE, EVENTS, SRCFD, EFSM, ETERM
):
    raise ImportError(f"the native burst does not know the constants of libzmq {zmq.zmq_version()}")


# Sockets -----------------------------------------------------------------------------------------------------

cdef extern from "Python.h":
    ctypedef object (*descrgetfunc)(object, object, object)
    ctypedef struct PyTypeObject:
        descrgetfunc tp_descr_get

# pyzmq's property, and what reads it: to look it up each time, past the hook for unknown attributes, takes five times as
# long.
cdef object UNDERLYING = inspect.getattr_static(zmq.Socket, "underlying")
cdef type PROPERTY = type(UNDERLYING)
cdef descrgetfunc read_underlying = (<PyTypeObject *>PROPERTY).tp_descr_get


cdef void *handle_of(socket) except? NULL:
    """libzmq's handle of a socket; NULL of a closed one, for pyzmq forgets it at once.

    libzmq answers ENOTSOCK to NULL, so a closed socket fails just where it is used, and freed memory is never looked at.
    """
    return <void *><size_t>read_underlying(UNDERLYING, socket, None)


def events(socket):
    """The socket's EVENTS, as ``zmq.Socket.get(zmq.EVENTS)`` has them, for a tenth of the time. Does not yield.

    :param socket: the `zmq.Socket` to ask.
    :raises zmq.ZMQError: as ``zmq.Socket.get`` does.
    """
    cdef int value = 0, error
    cdef size_t size = sizeof(value)
    while getsockopt(handle_of(socket), EVENTS, &value, &size) < 0:
        error = last_error()
        if error != EINTR:
            raise exception_of(error)
        # Raises what a handler of the signal raises, such as KeyboardInterrupt.
        PyErr_CheckSignals()
    return value


# Faults ------------------------------------------------------------------------------------------------------

# What a signal handler has raised while a call without the GIL went on. One slot is enough: handlers run in the main
# thread alone, and a burst takes out at its end what it has put in.
cdef object raised_by_signal = None


cdef object exception_of(int error):
    """The exception that pyzmq raises for an errno."""
    if error == EAGAIN:
        return zmq.Again()
    if error == ETERM:
        return zmq.ContextTerminated()
    return zmq.ZMQError(error)


cdef bint may_retry() noexcept nogil:
    """After EINTR: run Python's signal handlers; False if one of them raised, see `take_raised`."""
    global raised_by_signal
    cdef bint quiet = True
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            raised_by_signal = error
            quiet = False
    return quiet


cdef object take_raised():
    """What a signal handler has raised in `may_retry`; None for nothing, and for the second time."""
    global raised_by_signal
    raised, raised_by_signal = raised_by_signal, None
    return raised
