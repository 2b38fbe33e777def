# Types for pump.py where it is compiled; that file says what all this is.

cimport cython

from .readiness cimport Readiness

cdef class Pump:
    cdef readonly object name
    cdef Readiness _source
    cdef tuple _outlets
    cdef tuple _destinations
    cdef readonly object _burst
    cdef object _rated
    cdef bint _paused
    cdef object _resumed
    cdef bint _has_places
    cdef bint _is_waiting
    cdef public object on_waiting
    cdef public object on_received
    cdef object _on_uncut
    cdef object __weakref__

    @cython.locals(source=Readiness, destination=Readiness, blocked=Readiness)
    cpdef run(self)
    cpdef Readiness _blocked_by(self)
