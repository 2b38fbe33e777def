# Types for pump.py where it is compiled; that file says what all this is.

cimport cython

from .port cimport Port

cdef class Pump:
    cdef readonly object name
    cdef Port _source
    cdef tuple _outlets
    cdef tuple _destinations
    cdef readonly object _burst
    cdef bint _paused
    cdef object _gate
    cdef object __weakref__

    @cython.locals(source=Port, destination=Port, blocked=Port)
    cpdef run(self)
    cpdef Port _blocked_by(self)
